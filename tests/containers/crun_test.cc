// crun as the low-level runtime. It wants cgroup v2 alone, so on a host with another arrangement it runs in a mount
// namespace that has been given just that.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/containers/host.h"

namespace lisafs::tests {
namespace {

using testing::HasSubstr;

class Crun : public Host {
 protected:
  void SetUp() override {
    if (!RunProgram({"crun", "--version"}).ok()) GTEST_SKIP() << "crun is not installed";
    Host::SetUp();
    if (IsSkipped()) return;
    Bundle bundle = BusyboxBundle("try");
    bundle.Write();
    Ran plain = Command({"crun"}, {"run", "--bundle", bundle.path(), Id("try")});
    if (!plain.ok()) GTEST_SKIP() << "crun does not run here even without LISAFS: " << plain.err;
  }

  Ran Command(std::vector<std::string> runtime, const std::vector<std::string>& arguments) {
    std::vector<std::string> argv = {
        "unshare", "--mount", "sh", "-c", "mount -t cgroup2 none /sys/fs/cgroup && exec \"$@\"", "sh"};
    argv.insert(argv.end(), runtime.begin(), runtime.end());
    argv.insert(argv.end(), {"--root", Path("crun"), "--cgroup-manager=disabled"});
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return RunProgram(argv);
  }
  Ran Runtime(const std::vector<std::string>& arguments) {
    if (PlainRuntime()) return Command({"crun"}, arguments);
    return Command({Program("lisafs-runtime"), "--runtime", "crun", "--lisafsd", socket()}, arguments);
  }
};

TEST_F(Crun, RunsAScript) {
  MakeDirectory(Path("data"));
  WriteFile(Path("file"), "file\n");
  Bundle bundle = BusyboxBundle("bundle");
  bundle.AddBind(Path("data"), "/data");
  bundle.AddBind(Path("file"), "/etc/file", {"ro"});
  bundle.SetScript("cat /etc/file; echo x > /etc/file; echo written > /data/out; cat /proc/self/mountinfo; exit 6");
  bundle.Write();
  Ran ran = Runtime({"run", "--bundle", bundle.path(), Id("crun")});
  EXPECT_EQ(ran.status, 6) << ran;
  EXPECT_THAT(ran.out, HasSubstr("file\n"));
  EXPECT_THAT(ran.err, HasSubstr("Read-only file system"));
  if (!PlainRuntime()) {
    EXPECT_THAT(ran.out, HasSubstr(" - fuse.lisafs lisafs "));
  }
  EXPECT_EQ(ReadFile(Path("data/out")), "written\n");
}

TEST_F(Crun, CreateStartExecKillDelete) {
  Bundle bundle = BusyboxBundle("bundle");
  bundle.SetScript("sleep 1000");
  bundle.Write();
  std::string id = Id("steps");
  Ran created = Runtime({"create", "--bundle", bundle.path(), id});
  ASSERT_TRUE(created.ok()) << created;
  EXPECT_THAT(Runtime({"state", id}).out, HasSubstr("\"created\""));
  EXPECT_TRUE(Runtime({"start", id}).ok());
  Ran executed = Runtime({"exec", id, "cat", "/etc/group"});
  EXPECT_THAT(executed.out, HasSubstr("root:x:0:\n")) << executed;
  if (!PlainRuntime()) {
    MakeDirectory(Path("source"));
    WriteFile(Path("source/file"), "added");
    Ran added = Control({"mount", "add", id, Path("source"), "/new/data", "--create"});
    EXPECT_TRUE(added.ok()) << added;
    EXPECT_EQ(Runtime({"exec", id, "cat", "/new/data/file"}).out, "added");
    Ran removed = Control({"mount", "remove", id, "/new/data"});
    EXPECT_TRUE(removed.ok()) << removed;
    EXPECT_EQ(Runtime({"exec", id, "ls", "-A", "/new/data"}).out, "");
  }
  EXPECT_TRUE(Runtime({"kill", id, "KILL"}).ok());
  EXPECT_TRUE(Eventually(kPatience, [&] {
    return Runtime({"state", id}).out.find("\"stopped\"") != std::string::npos;
  }));
  Ran deleted = Runtime({"delete", id});
  EXPECT_TRUE(deleted.ok()) << deleted;
}

}  // namespace
}  // namespace lisafs::tests
