// That requests come over io_uring where they should; semantics_uring_test and others say that they are served alike.

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <cstdint>
#include <sstream>
#include <string>
#include <string_view>

#include "tests/filesystem/mounted_directory.h"

namespace lisafs::tests {
namespace {

struct Waiting {
  int threads = 0;
  uint64_t switches = 0;  // How often they have slept.
};

// The plugin's threads that wait in a system call.
Waiting ThreadsIn(pid_t pid, long syscall) {
  Waiting waiting;
  const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
  for (const std::string& task : ListDirectory(tasks)) {
    if (ReadFile(tasks + "/" + task + "/syscall").value_or("").rfind(std::to_string(syscall) + " ", 0) != 0) continue;
    ++waiting.threads;
    std::istringstream status(ReadFile(tasks + "/" + task + "/status").value_or(""));
    for (std::string line; std::getline(status, line);) {
      constexpr std::string_view kKey = "voluntary_ctxt_switches:";
      if (line.rfind(kKey, 0) == 0) waiting.switches += std::stoull(line.substr(kKey.size()));
    }
  }
  return waiting;
}

bool OnEveryCpu(const MountedDirectory& files, int rounds) {
  cpu_set_t before;
  sched_getaffinity(0, sizeof before, &before);
  bool well = true;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &before)) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
    for (int i = 0; i < rounds; ++i) {
      struct stat info;
      // A name that is not there is asked for each time that it is another.
      well = well && stat((files / (std::to_string(cpu) + "." + std::to_string(i))).c_str(), &info) < 0;
    }
  }
  sched_setaffinity(0, sizeof before, &before);
  return well;
}

TEST(FuseOverIoUring, RequestsComeOverRings) {
  MountedDirectory files({});
  ASSERT_TRUE(files.ok());
  if (!files.io_uring()) GTEST_SKIP() << "this kernel has no FUSE over io_uring";
  ASSERT_EQ(access(files.mounted().c_str(), F_OK), 0);
  // The threads are about to wait; one that was not there yet would count from nothing.
  EXPECT_TRUE(Eventually(kPatience, [&] {
    return ThreadsIn(files.plugin_pid(), SYS_io_uring_enter).threads >= get_nprocs() &&
           ThreadsIn(files.plugin_pid(), SYS_read).threads >= 1;
  }));
  files.AwaitQuiet();
  const Waiting before = ThreadsIn(files.plugin_pid(), SYS_io_uring_enter);
  const Waiting readers = ThreadsIn(files.plugin_pid(), SYS_read);
  EXPECT_GE(before.threads, get_nprocs());
  EXPECT_GE(readers.threads, 1);
  constexpr int kRounds = 50;
  EXPECT_TRUE(OnEveryCpu(files, kRounds));
  files.AwaitQuiet();
  const uint64_t made = uint64_t{kRounds} * static_cast<uint64_t>(get_nprocs());
  EXPECT_GE(ThreadsIn(files.plugin_pid(), SYS_io_uring_enter).switches, before.switches + made / 2);
  EXPECT_LT(ThreadsIn(files.plugin_pid(), SYS_read).switches, readers.switches + made / 2);
}

}  // namespace
}  // namespace lisafs::tests
