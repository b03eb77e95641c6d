// A disk below a mount that stands still holds up those who use it, and nobody else.

#include <errno.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "tests/filesystem/mounted_directory.h"
#include "tests/support/stuck_disk.h"

namespace lisafs::tests {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

void StayOnCpu(int cpu) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  EXPECT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
}

std::vector<int> Cpus() {
  cpu_set_t set;
  EXPECT_EQ(sched_getaffinity(0, sizeof set, &set), 0);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

TEST(StuckDisk, HoldsUpOnlyWhoUsesIt) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  TempDir host;
  MakeDirectory(host / "stuck");
  StuckDisk disk(host / "stuck");
  ASSERT_EQ(disk.why_not(), "");
  MountedDirectory files({.host = host.path(), .recursive = true});
  ASSERT_TRUE(files.ok());
  // A mount has four channels to its gofer.
  constexpr int held_up = 3;
  // All from one CPU: a queue of requests of its own, where there are queues.
  const std::vector<int> cpus = Cpus();
  std::vector<std::thread> threads;
  for (int i = 0; i < held_up; ++i) {
    threads.emplace_back([&, path = files / "stuck/" + std::to_string(i)] {
      StayOnCpu(cpus.front());
      struct stat info;
      EXPECT_EQ(stat(path.c_str(), &info), -1);
      EXPECT_TRUE(errno == ENOTCONN || errno == ECONNABORTED) << errno;
    });
  }
  EXPECT_TRUE(Eventually(kPatience, [&] { return disk.waiting() >= held_up; })) << disk.waiting();

  std::thread others([&] {
    for (int cpu : cpus) {
      StayOnCpu(cpu);
      const auto start = steady_clock::now();
      for (int i = 0; i < 100; ++i) {
        const std::string path = files / std::to_string(i);
        struct stat info;
        EXPECT_EQ(mknod(path.c_str(), S_IFREG | 0600, 0), 0) << errno;
        WriteFile(path, "content");
        EXPECT_EQ(stat(path.c_str(), &info), 0) << errno;
        EXPECT_EQ(ReadFile(path), "content");
        EXPECT_EQ(unlink(path.c_str()), 0) << errno;
      }
      EXPECT_LT(steady_clock::now() - start, kPatience) << "CPU " << cpu;
    }
  });
  others.join();
  EXPECT_EQ(disk.waiting(), held_up);
  disk.Break();
  for (std::thread& thread : threads) thread.join();
  WriteFile(files / "after", "content");
  EXPECT_EQ(ReadFile(host / "after"), "content");
}

}  // namespace
}  // namespace lisafs::tests
