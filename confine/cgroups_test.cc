#include "confine/cgroups.h"

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
using ::testing::HasSubstr;
using ::testing::Not;

TEST(Cgroups, ReadsMounts) {
  EXPECT_THAT(
      ParseCgroupMounts("24 21 0:20 / /sys rw - sysfs sysfs rw\n"
                        "30 25 0:26 / /sys/fs/cgroup/cpu\\040x rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
                        "31 25 0:27 /slice /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n"
                        "broken - cgroup\n"),
      ElementsAre(CgroupMount{"rw,cpu,cpuacct", "/", "/sys/fs/cgroup/cpu x"},
                  CgroupMount{"", "/slice", "/sys/fs/cgroup"}));
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

TEST(Cgroups, TakesAProcessOut) {
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
    Sleeper sleeper;
    std::ofstream(made + "/cgroup.procs") << sleeper.pid() << std::flush;
    ASSERT_THAT(CgroupsOf(sleeper.pid()), HasSubstr("lisafs-cgroups-test"));
    LeaveCgroups(sleeper.pid());
    EXPECT_THAT(CgroupsOf(sleeper.pid()), Not(HasSubstr("lisafs-cgroups-test")));
    // Once more is no harm.
    LeaveCgroups(sleeper.pid());
  }
  EXPECT_EQ(rmdir(made.c_str()), 0) << made;
}

}  // namespace
}  // namespace lisafs
