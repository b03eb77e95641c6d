// What listing directories costs on a mount of lisafs that nobody else changes, beside the same directories in memory
// by themselves: of several sizes, with and without a look at each entry's attributes, when it has not been seen before
// and when it has. Both in turns, the middle of each; microseconds for a whole directory. As root. The other programs
// are found in TEST_SRCDIR.

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "base/program.h"
#include "tests/filesystem/mounted_directory.h"

namespace lisafs {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kSizes[] = {10, 100, 1000, 10'000};
constexpr int kColdRounds = 15;

double Microseconds(Clock::time_point since) {
  return std::chrono::duration<double, std::micro>(Clock::now() - since).count();
}

// Microseconds for all of the directory.
double List(const std::string& path, int size, bool stats) {
  const auto start = Clock::now();
  DIR* list = opendir(path.c_str());
  if (list == nullptr) DieErrno(path);
  int entries = 0;
  while (const dirent* entry = readdir(list)) {
    struct stat stat;
    if (stats && fstatat(dirfd(list), entry->d_name, &stat, AT_SYMLINK_NOFOLLOW) != 0) DieErrno(entry->d_name);
    ++entries;
  }
  closedir(list);
  const double took = Microseconds(start);
  if (entries != size + 2) Die(path, "lists " + std::to_string(entries) + " entries");
  return took;
}

void Fill(const std::string& path, int size) {
  if (mkdir(path.c_str(), 0755) != 0) DieErrno(path);
  for (int i = 0; i < size; ++i) {
    if (mknod((path + "/" + std::to_string(i)).c_str(), S_IFREG | 0644, 0) != 0) DieErrno(path);
  }
}

class Results {
 public:
  ~Results() { printf("]\n"); }
  void Add(const std::string& work, const char* system, std::vector<double> times) {
    std::nth_element(times.begin(), times.begin() + static_cast<ptrdiff_t>(times.size()) / 2, times.end());
    printf("%s{\"work\":\"%s\",\"system\":\"%s\",\"value\":%.2f,\"unit\":\"us\"}", separator_, work.c_str(), system,
           times[times.size() / 2]);
    separator_ = ",\n";
  }

 private:
  const char* separator_ = "[";
};

void Run() {
  if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    DieErrno("a mount namespace");
  }
  if (mount("tmpfs", "/tmp", "tmpfs", 0, nullptr) != 0) DieErrno("files in memory");
  tests::MountedDirectory files({.exclusive = true});
  if (!files.ok()) Die("listing", "cannot be set up");
  Results results;
  for (int size : kSizes) {
    for (bool stats : {false, true}) {
      const std::string work = (stats ? "list with stat " : "list ") + std::to_string(size);
      auto measure = [&](const std::string& how, int rounds, auto&& directory) {
        std::vector<double> native, lisafs;
        for (int round = 0; round < rounds; ++round) {
          native.push_back(List(files.OnHost(directory(round)), size, stats));
          lisafs.push_back(List(files / directory(round), size, stats));
        }
        results.Add(work + ", " + how, "native", std::move(native));
        results.Add(work + ", " + how, "lisafs", std::move(lisafs));
      };
      auto cold = [&](int round) { return work + " " + std::to_string(round); };
      for (int round = 0; round < kColdRounds; ++round) Fill(files.OnHost(cold(round)), size);
      measure("cold", kColdRounds, cold);
      measure("warm", std::max(100'000 / size, 50), [&](int) { return cold(0); });
    }
  }
}

}  // namespace
}  // namespace lisafs

int main() {
  lisafs::SetProgramName("listing");
  lisafs::Run();
  return lisafs::kExitSuccess;
}
