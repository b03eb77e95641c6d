// What one file operation costs on its way from an application through FUSE, lisafs-plugin and lisafs-gofer to a file
// in memory and back: the middle time of one process, and the average of several that work at the same time. As root.
// With LISAFS_TEST_IO_URING set, FUSE over io_uring is switched on for the time of it. The other programs are found in
// TEST_SRCDIR.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <new>
#include <string>
#include <vector>

#include "base/program.h"
#include "tests/filesystem/mounted_directory.h"

namespace lisafs {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kOperations = 4000;

// `name` is never the same twice.
struct Work {
  const char* name;
  std::function<bool(int directory, const char* name)> operation;
};

const Work kWorks[] = {
    {"no such file",
     [](int directory, const char* name) {
       struct stat info;
       return fstatat(directory, name, &info, 0) < 0;
     }},
    {"chmod", [](int directory, const char*) { return fchmodat(directory, "file", 0600, 0) == 0; }},
    {"mkdir and rmdir",
     [](int directory, const char* name) {
       return mkdirat(directory, name, 0700) == 0 && unlinkat(directory, name, AT_REMOVEDIR) == 0;
     }},
};

// Microseconds of the middle one.
double Repeat(const Work& work, int directory) {
  std::vector<double> times;
  for (int i = 0; i < kOperations; ++i) {
    static int number = 0;
    const std::string name = std::to_string(getpid()) + "." + std::to_string(++number);
    const auto before = Clock::now();
    if (!work.operation(directory, name.c_str())) DieErrno(work.name);
    times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - before).count());
  }
  std::nth_element(times.begin(), times.begin() + kOperations / 2, times.end());
  return times[kOperations / 2];
}

// Microseconds that an operation takes each of `processes`.
double Together(const Work& work, int directory, int processes) {
  struct Shared {
    std::atomic<int> ready = 0;
    std::atomic<bool> go = false;
  };
  void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) DieErrno("mmap");
  auto* shared = new (memory) Shared;
  std::vector<pid_t> children;
  for (int i = 0; i < processes; ++i) {
    const pid_t child = fork();
    if (child < 0) DieErrno("fork");
    children.push_back(child);
    if (child > 0) continue;
    ++shared->ready;
    while (!shared->go) usleep(100);
    Repeat(work, directory);
    _exit(kExitSuccess);
  }
  while (shared->ready < processes) usleep(100);
  const auto start = Clock::now();
  shared->go = true;
  for (pid_t child : children) {
    int status;
    if (waitpid(child, &status, 0) != child || status != 0) Die(work.name, "failed");
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  munmap(memory, sizeof(Shared));
  return seconds / kOperations * 1e6;
}

void Run() {
  if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    DieErrno("a mount namespace");
  }
  if (mount("tmpfs", "/tmp", "tmpfs", 0, nullptr) != 0) DieErrno("files in memory");
  tests::MountedDirectory files({});
  if (!files.ok()) Die("fuse", "cannot be set up");
  if (creat(files.OnHost("file").c_str(), 0644) < 0) DieErrno("file");
  const int directory = open(files.mounted().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  const char* system = files.io_uring() ? "lisafs-uring" : "lisafs";
  const char* separator = "[";
  for (const Work& work : kWorks) {
    Repeat(work, directory);
    printf("%s{\"work\":\"%s\",\"system\":\"%s\",\"value\":%.2f,\"unit\":\"us\"}", separator, work.name, system,
           Repeat(work, directory));
    separator = ",\n";
    for (int processes : {2, 4}) {
      printf("%s{\"work\":\"%s, %d processes\",\"system\":\"%s\",\"value\":%.2f,\"unit\":\"us\"}", separator, work.name,
             processes, system, Together(work, directory, processes));
    }
  }
  printf("]\n");
  close(directory);
}

}  // namespace
}  // namespace lisafs

int main() {
  lisafs::SetProgramName("fuse");
  lisafs::Run();
  return lisafs::kExitSuccess;
}
