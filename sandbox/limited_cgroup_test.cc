#include "sandbox/limited_cgroup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace lisafs {
namespace {

using testing::HasSubstr;

std::string Read(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// A directory that looks like one of version 2, on machines that have none with controllers. What the kernel makes with
// a cgroup has to be there before.
class Version2 : public testing::Test {
 protected:
  Version2() {
    char name[] = "/tmp/limited-cgroup-XXXXXX";
    root_ = mkdtemp(name);
    for (const char* cgroup : {"", "/lisafs", "/lisafs/one"}) {
      std::filesystem::create_directory(root_ + cgroup);
      for (const char* file : {"cgroup.subtree_control", "cgroup.procs", "memory.max", "pids.max"}) {
        std::ofstream(root_ + cgroup + "/" + file);
      }
    }
  }
  ~Version2() override { std::filesystem::remove_all(root_); }

  std::string root_;
};

TEST_F(Version2, HandsControllersDownAndSetsLimits) {
  const std::vector<CgroupMount> mounts = {{"", "/", root_}, {"rw,name=systemd", "/", "/elsewhere"}};
  const pid_t pids[] = {17};
  absl::Status entered = EnterLimitedCgroup(mounts, {.memory_bytes = 4096, .pids = 0}, "one", pids);
  ASSERT_TRUE(entered.ok()) << entered;
  EXPECT_EQ(Read(root_ + "/lisafs/one/memory.max"), "4096");
  EXPECT_EQ(Read(root_ + "/lisafs/one/pids.max"), "max");
  EXPECT_EQ(Read(root_ + "/lisafs/one/cgroup.procs"), "17");
  // A file keeps what was written first; the kernel takes both.
  EXPECT_EQ(Read(root_ + "/cgroup.subtree_control").substr(0, 5), "+pids");
  EXPECT_EQ(Read(root_ + "/lisafs/one/cgroup.subtree_control"), "");
}

TEST_F(Version2, SaysWhatTheHostDoesNotAllow) {
  std::filesystem::remove(root_ + "/cgroup.subtree_control");
  absl::Status entered = EnterLimitedCgroup({{"", "/", root_}}, {}, "one", {});
  EXPECT_THAT(std::string(entered.message()),
              HasSubstr("no limit of memory: " + root_ + "/cgroup.subtree_control: No such file"));
  EXPECT_EQ(EnterLimitedCgroup(std::vector<CgroupMount>(), {}, "one", {}).message(), "no cgroups are mounted");
}

// The real ones, whatever version they are of.
TEST(LimitedCgroup, LimitsAndGoesWithItsProcesses) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  const CgroupLimits limits = {
      .parent = "/lisafs-cgroup-test-" + std::to_string(getpid()), .memory_bytes = 64 << 20, .pids = 5};
  const pid_t child = fork();
  if (child == 0) {
    while (true) pause();
  }
  const pid_t pids[] = {child};
  absl::Status entered = EnterLimitedCgroup(limits, "one", pids);
  const std::string cgroups = Read("/proc/" + std::to_string(child) + "/cgroup");
  // Again, as the next lisafsd does.
  if (entered.ok()) entered = EnterLimitedCgroup(limits, "one", pids);
  absl::Status busy = RemoveLimitedCgroup(limits, "one");
  kill(child, SIGKILL);
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
  absl::Status removed = RemoveLimitedCgroup(limits, "one"), again = RemoveLimitedCgroup(limits, "one");
  for (const CgroupMount& mount : MountedCgroups()) rmdir((mount.mount_point + limits.parent).c_str());
  if (!entered.ok()) GTEST_SKIP() << "this host does not allow it: " << entered;
  EXPECT_THAT(cgroups, HasSubstr(limits.parent + "/one\n"));
  EXPECT_FALSE(busy.ok());
  EXPECT_TRUE(removed.ok()) << removed;
  EXPECT_TRUE(again.ok()) << again;
}

}  // namespace
}  // namespace lisafs
