// Programs that die, and disks that are full, under running containers.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

#include "tests/containers/host.h"

namespace lisafs::tests {
namespace {

using Json = nlohmann::json;
using std::chrono::seconds;
using testing::HasSubstr;

class Failure : public Host {
 protected:
  void SetUp() override {
    if (PlainRuntime()) GTEST_SKIP() << "without LISAFS";
    Host::SetUp();
  }

  // Its shell says again and again what it finds in /data/file. It starts no program, and has its own in memory whole:
  // a page of it that could not be read would kill it.
  Bundle ReaderBundle() {
    MakeDirectory(Path("data"));
    WriteFile(Path("data/file"), "content\n");
    Bundle bundle = BusyboxBundle("bundle");
    bundle.AddBind(Path("data"), "/data");
    // The file is never in the cache: it is new each time.
    bundle.SetScript(
        "cat /bin/busybox > /dev/null; n=0; while :; do n=$((n + 1)); "
        "if echo $n > /data/new$n && read line < /data/file; then echo $line; fi; done 2>&1");
    return bundle;
  }
  bool Says(const Container& container, const std::string& text) {
    return Eventually(kPatience, [&] { return container.out().find(text) != std::string::npos; });
  }

  Json StateOf(const std::string& id) { return Sandbox(id).value("state", ""); }
  pid_t PidOf(const std::string& id, const char* field) { return Sandbox(id).value(field, 0); }
};

TEST_F(Failure, KilledInitTakesEverythingWithIt) {
  Bundle bundle = ReaderBundle();
  Container container(*this, bundle, Id("init"));
  ASSERT_TRUE(Says(container, "content"));
  pid_t gofer = PidOf(container.id(), "goferPid"), plugin = PidOf(container.id(), "pluginPid");
  ASSERT_GT(gofer, 0);
  ASSERT_GT(plugin, 0);
  kill(container.pid(), SIGKILL);
  // Without anybody's help.
  EXPECT_TRUE(Eventually(kPatience, [&] { return Sandbox(container.id()).is_null(); }));
  EXPECT_TRUE(Eventually(kPatience, [&] { return kill(gofer, 0) != 0 && kill(plugin, 0) != 0; }));
  EXPECT_EQ(container.Status(), "stopped");
  Ran deleted = container.Delete();
  EXPECT_TRUE(deleted.ok()) << deleted;
}

TEST_F(Failure, KilledGoferGivesErrorsAndHangsNothing) {
  Bundle bundle = ReaderBundle();
  Container container(*this, bundle, Id("gofer"));
  ASSERT_TRUE(Says(container, "content"));
  kill(PidOf(container.id(), "goferPid"), SIGKILL);
  EXPECT_TRUE(Says(container, "Input/output error")) << container.out().substr(0, 1000);
  EXPECT_TRUE(Eventually(kPatience, [&] { return StateOf(container.id()) == "STATE_FAILED"; }));
  EXPECT_THAT(Sandbox(container.id()).value("failure", ""), HasSubstr("gofer"));
  Ran listed = Control({"sandboxes"});
  EXPECT_THAT(listed.out, HasSubstr("failed"));

  Ran executed = container.Exec("cat /etc/passwd");
  EXPECT_FALSE(executed.timed_out);
  EXPECT_EQ(container.Status(), "running");
  Ran deleted = container.Delete();
  EXPECT_TRUE(deleted.ok()) << deleted;
  EXPECT_TRUE(Sandbox(container.id()).is_null());
}

TEST_F(Failure, KilledPluginGivesErrorsAndHangsNothing) {
  Bundle bundle = ReaderBundle();
  Container container(*this, bundle, Id("plugin"));
  ASSERT_TRUE(Says(container, "content"));
  kill(PidOf(container.id(), "pluginPid"), SIGKILL);
  EXPECT_TRUE(Says(container, "not connected")) << container.out().substr(0, 1000);
  EXPECT_TRUE(Eventually(kPatience, [&] { return StateOf(container.id()) == "STATE_FAILED"; }));
  EXPECT_THAT(Sandbox(container.id()).value("failure", ""), HasSubstr("plugin"));
  EXPECT_FALSE(container.Exec("cat /etc/passwd").timed_out);
  Ran deleted = container.Delete();
  EXPECT_TRUE(deleted.ok()) << deleted;
  EXPECT_TRUE(Sandbox(container.id()).is_null());
}

TEST_F(Failure, ContainersGoOnWithoutLisafsd) {
  Bundle bundle = ReaderBundle();
  Container container(*this, bundle, Id("daemon"));
  Bundle short_lived = BusyboxBundle("short-lived");
  short_lived.SetScript("sleep 1000");
  Container other(*this, short_lived, Id("short-lived"));
  Json before = Sandbox(container.id());

  KillDaemon();
  EXPECT_EQ(container.Exec("echo new > /data/other && cat /data/other /data/file").out, "new\ncontent\n");
  kill(other.pid(), SIGKILL);
  EXPECT_TRUE(Eventually(kPatience, [&] { return other.Status() == "stopped"; }));

  StartDaemon();
  Json after = Sandbox(container.id());
  EXPECT_EQ(after.value("state", ""), "STATE_RUNNING");
  EXPECT_EQ(after.value("goferPid", 0), before.value("goferPid", -1));
  EXPECT_EQ(after.value("createTime", ""), before.value("createTime", "-"));
  EXPECT_TRUE(Eventually(kPatience, [&] { return Sandbox(other.id()).is_null(); }));
  EXPECT_THAT(Control({"stats", container.id()}).out, HasSubstr("Walk"));
  EXPECT_EQ(container.Exec("cat /data/file").out, "content\n");

  kill(PidOf(container.id(), "goferPid"), SIGKILL);  // An adopted sandbox is watched as its own.
  EXPECT_TRUE(Eventually(kPatience, [&] { return StateOf(container.id()) == "STATE_FAILED"; }));
  Ran deleted = container.Delete();
  EXPECT_TRUE(deleted.ok()) << deleted;
  EXPECT_TRUE(Sandbox(container.id()).is_null());
}

TEST_F(Failure, DeleteWorksWithoutLisafsd) {
  Bundle bundle = ReaderBundle();
  Container container(*this, bundle, Id("no-daemon"));
  KillDaemon();
  Ran deleted = container.Delete();
  EXPECT_TRUE(deleted.ok()) << deleted;
  // One has been started to do that, since the sandbox was known.
  StopDaemons();
  EXPECT_TRUE(Eventually(kPatience, [] { return Descendants().empty(); }));
  StartDaemon();
  EXPECT_TRUE(Sandboxes().empty());
}

TEST_F(Failure, FullDiskIsReportedAndPasses) {
  MakeDirectory(Path("small"));
  ASSERT_EQ(mount("tmpfs", Path("small").c_str(), "tmpfs", 0, "size=4m"), 0) << strerror(errno);
  Bundle bundle = BusyboxBundle("bundle");
  bundle.AddBind(Path("small"), "/small");
  bundle.SetScript(R"sh(
    echo kept > /small/kept
    dd if=/dev/zero of=/small/big bs=64k count=100 && echo no error
    cat /small/kept
    df -m /small | tail -n 1 | awk '{ print $2, $4 }'
    rm /small/big
    # Its space is free when the kernel has told the plugin that nobody uses it any more, and so on.
    for i in $(seq 600); do dd if=/dev/zero of=/small/again bs=64k count=16 2> /dev/null && break; sleep 0.1; done
    stat -c %s /small/again
  )sh");
  Ran ran = RunContainer(bundle, Id("full"));
  EXPECT_EQ(ran.out, "kept\n4 0\n1048576\n") << ran;
  EXPECT_THAT(ran.err, HasSubstr("No space left on device"));
}

// The source of a mount goes away: unmounted on the host while the container holds it.
TEST_F(Failure, SourceUnmountedOnTheHostStaysUsable) {
  MakeDirectory(Path("source"));
  ASSERT_EQ(mount("tmpfs", Path("source").c_str(), "tmpfs", 0, nullptr), 0) << strerror(errno);
  WriteFile(Path("source/file"), "content");
  Bundle bundle = BusyboxBundle("bundle");
  bundle.AddBind(Path("source"), "/data");
  bundle.SetScript("sleep 1000");
  Container container(*this, bundle, Id("unmounted"));
  ASSERT_EQ(umount2(Path("source").c_str(), 0), 0) << strerror(errno);  // Not busy, since the tree is a clone.
  EXPECT_EQ(container.Exec("cat /data/file").out, "content");
}

TEST_F(Failure, SourceRemovedOnTheHostGivesErrors) {
  MakeDirectory(Path("source"));
  WriteFile(Path("source/file"), "content");
  Bundle bundle = BusyboxBundle("bundle");
  bundle.AddBind(Path("source"), "/data");
  bundle.SetScript("sleep 1000");
  Container container(*this, bundle, Id("removed"));
  EXPECT_EQ(container.Exec("cat /data/file").out, "content");
  ASSERT_TRUE(RunProgram({"rm", "-r", Path("source")}).ok());
  Ran ran = container.Exec("sleep 1.1; cat /data/file; echo x > /data/new; ls -A /data");
  EXPECT_EQ(ran.out, "");
  EXPECT_THAT(ran.err, HasSubstr("/data/new: nonexistent directory"));
  EXPECT_THAT(ran.err, HasSubstr("'/data/file': No such file or directory"));
}

}  // namespace
}  // namespace lisafs::tests
