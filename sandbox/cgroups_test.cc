#include "sandbox/cgroups.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

namespace lisafs {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(Cgroups, ReadsMemberships) {
  EXPECT_THAT(ParseCgroups("9:name=systemd:/a\n4:cpu,cpuacct:/\n0::/x:y/z\n"),
              ElementsAre(CgroupMembership{"name=systemd", "/a"}, CgroupMembership{"cpu,cpuacct", "/"},
                          CgroupMembership{"", "/x:y/z"}));
  EXPECT_THAT(ParseCgroups("nonsense\n1:memory\n1:memory:relative\n\n"), IsEmpty());
}

TEST(Cgroups, ReadsMounts) {
  EXPECT_THAT(
      ParseCgroupMounts("24 21 0:20 / /sys rw - sysfs sysfs rw\n"
                        "30 25 0:26 / /sys/fs/cgroup/cpu\\040x rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
                        "31 25 0:27 /slice /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n"
                        "broken - cgroup\n"),
      ElementsAre(CgroupMount{"rw,cpu,cpuacct", "/", "/sys/fs/cgroup/cpu x"},
                  CgroupMount{"", "/slice", "/sys/fs/cgroup"}));
}

TEST(Cgroups, FindsDirectories) {
  const std::vector<CgroupMount> mounts = {{"rw,memory", "/", "/hidden"},
                                           {"rw,memory", "/", "/m"},
                                           {"rw,cpu,cpuacct", "/outer", "/c"},
                                           {"", "/", "/u"},
                                           {"rw,name=systemd", "/", "/s"}};
  struct Case {
    CgroupMembership cgroup;
    const char* directory;
  };
  const Case cases[] = {
      {{"memory", "/box"}, "/m/box"},
      {{"cpuacct,cpu", "/outer/box"}, "/c/box"},
      {{"cpu", "/outer"}, "/c"},
      {{"cpu", "/outerbox"}, ""},
      {{"", "/box"}, "/u/box"},
      {{"name=systemd", "/box"}, "/s/box"},
      {{"", "/../box"}, ""},
      {{"pids", "/box"}, ""},
      {{"cpu,pids", "/outer/box"}, ""},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(CgroupDirectory(c.cgroup, mounts), c.directory) << c.cgroup.controllers << ":" << c.cgroup.path;
  }
}

// A process that waits to be killed.
class Sleeper {
 public:
  Sleeper() : pid_(fork()) {
    if (pid_ == 0) {
      while (true) pause();
    }
  }
  ~Sleeper() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
};

std::string CgroupsOf(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/cgroup");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(Cgroups, MovesAProcessWhereAnotherIs) {
  std::ifstream file("/proc/self/mountinfo");
  std::ostringstream mountinfo;
  mountinfo << file.rdbuf();
  std::string made;
  for (const CgroupMount& mount : ParseCgroupMounts(mountinfo.str())) {
    std::string directory = mount.mount_point + "/lisafs-cgroups-test-" + std::to_string(getpid());
    if (mount.controllers.find("freezer") != std::string::npos) continue;
    if (mount.root == "/" && mkdir(directory.c_str(), 0755) == 0) {
      made = directory;
      break;
    }
  }
  if (made.empty()) GTEST_SKIP() << "no cgroup can be made here";
  {
    Sleeper model, follower;
    std::ofstream(made + "/cgroup.procs") << model.pid() << std::flush;
    ASSERT_NE(CgroupsOf(model.pid()), CgroupsOf(follower.pid()));
    auto moved = MoveToCgroupsOf(model.pid(), follower.pid());
    EXPECT_TRUE(moved) << moved.error();
    EXPECT_EQ(CgroupsOf(model.pid()), CgroupsOf(follower.pid()));
    // Once more is no harm.
    EXPECT_TRUE(MoveToCgroupsOf(model.pid(), follower.pid()));
  }
  EXPECT_EQ(rmdir(made.c_str()), 0) << made;
}

}  // namespace
}  // namespace lisafs
