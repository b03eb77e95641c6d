// The commands of an OCI runtime, one after the other, as an engine gives them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <memory>
#include <sstream>

#include "tests/containers/host.h"

namespace lisafs::tests {
namespace {

using Json = nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

class Lifecycle : public Host {
 protected:
  std::string Status(const std::string& id) {
    Json state = Json::parse(Runtime({"state", id}).out, nullptr, /*allow_exceptions=*/false);
    return state.is_object() ? state.value("status", "") : "";
  }
  bool Gone(const std::string& id) { return PlainRuntime() || Sandbox(id).is_null(); }
};

TEST_F(Lifecycle, EveryCommandInItsOrder) {
  Bundle bundle = BusyboxBundle("bundle");
  bundle.SetScript("echo started > /mark; exec sleep 1000");
  bundle.Write();
  std::string id = Id("sequence");

  Process create(RuntimeCommand({"create", "--bundle", bundle.path(), "--pid-file", Path("pid"), id}), {});
  Ran created = create.Wait();
  ASSERT_TRUE(created.ok()) << created;
  EXPECT_EQ(Status(id), "created");
  pid_t pid = std::stoi(ReadFile(Path("pid")).value_or("0"));
  EXPECT_EQ(kill(pid, 0), 0);
  EXPECT_FALSE(ReadFile(bundle.rootfs() + "/mark").has_value());

  Json state = Json::parse(Runtime({"state", id}).out);
  EXPECT_EQ(state["id"], id);
  EXPECT_EQ(state["pid"], pid);
  EXPECT_EQ(state["bundle"], bundle.path());  // As the engine knows it.

  EXPECT_TRUE(Runtime({"start", id}).ok());
  EXPECT_EQ(Status(id), "running");
  EXPECT_TRUE(Eventually(kPatience, [&] { return ReadFile(bundle.rootfs() + "/mark") == "started\n"; }));

  Ran executed = Runtime({"exec", id, "sh", "-c", "cat /mark; exit 5"});
  EXPECT_EQ(executed.status, 5) << executed;
  EXPECT_EQ(executed.out, "started\n");
  EXPECT_EQ(Runtime({"exec", "--user", "1000:1000", id, "id", "-u"}).out, "1000\n");
  EXPECT_EQ(Runtime({"exec", "--cwd", "/tmp", id, "pwd"}).out, "/tmp\n");
  EXPECT_EQ(Runtime({"exec", id, "/no/such/program"}).status, 255);

  EXPECT_THAT(Runtime({"ps", id}).out, HasSubstr("sleep 1000"));
  EXPECT_THAT(Runtime({"list", "--quiet"}).out, HasSubstr(id + "\n"));
  Json statistics = Json::parse(Runtime({"events", "--stats", id}).out);
  EXPECT_EQ(statistics["id"], id);

  EXPECT_TRUE(Runtime({"pause", id}).ok());
  EXPECT_EQ(Status(id), "paused");
  EXPECT_NE(Runtime({"exec", id, "true"}).status, 0);
  EXPECT_NE(Runtime({"delete", id}).status, 0);  // It still runs.
  EXPECT_TRUE(Runtime({"resume", id}).ok());
  EXPECT_EQ(Runtime({"exec", id, "cat", "/mark"}).out, "started\n");

  EXPECT_TRUE(Runtime({"kill", id, "KILL"}).ok());
  EXPECT_TRUE(Eventually(kPatience, [&] { return Status(id) == "stopped"; }));
  Ran deleted = Runtime({"delete", id});
  EXPECT_TRUE(deleted.ok()) << deleted;
  EXPECT_TRUE(Gone(id));  // Already when delete returns.
  EXPECT_EQ(Status(id), "");
  EXPECT_EQ(Runtime({"state", id}).status, 1);
  EXPECT_NE(Runtime({"delete", id}).status, 0);
  // The engine's bundle is as it was.
  EXPECT_EQ(ReadFile(bundle.path() + "/config.json"), bundle.config().dump(2));
}

TEST_F(Lifecycle, CreatedButNeverStarted) {
  Bundle bundle = BusyboxBundle("bundle");
  bundle.Write();
  std::string id = Id("unstarted");
  Process create(RuntimeCommand({"create", "--bundle", bundle.path(), id}), {});
  ASSERT_TRUE(create.Wait().ok());
  EXPECT_TRUE(Runtime({"delete", "--force", id}).ok());
  EXPECT_TRUE(Gone(id));
}

TEST_F(Lifecycle, PauseUnderLoadStopsAndResumes) {
  Bundle bundle = BusyboxBundle("bundle");
  bundle.SetScript(
      "for n in 1 2 3; do while :; do cat /bin/busybox > /tmp/copy$n; ls -lR /bin > /tmp/list$n; done & done; wait");
  Container container(*this, bundle, Id("load"));
  // A busy cgroup of version 1 may take more patience to freeze than runc has.
  auto pause = [&] {
    Ran paused = Runtime({"pause", container.id()});
    EXPECT_FALSE(paused.timed_out) << paused;
    return paused.ok();
  };
  for (int i = 0; i < 10; i++) {
    ASSERT_TRUE(Eventually(kPatience, pause));
    Ran resumed = Runtime({"resume", container.id()});
    ASSERT_TRUE(resumed.ok()) << resumed;
    ASSERT_EQ(container.Exec("echo still here").out, "still here\n");
  }
  ASSERT_TRUE(Eventually(kPatience, pause));
  Ran deleted = container.Delete();  // Paused as it is.
  EXPECT_TRUE(deleted.ok()) << deleted;
  EXPECT_TRUE(Gone(container.id()));
}

TEST_F(Lifecycle, ExecMayOutliveNothing) {
  Bundle bundle = BusyboxBundle("bundle");
  bundle.SetScript("sleep 1000");
  Container container(*this, bundle, Id("exec"));
  Process exec(RuntimeCommand({"exec", container.id(), "sh", "-c", "echo in; sleep 1000"}), {});
  ASSERT_TRUE(Eventually(kPatience, [&] { return exec.out() == "in\n"; }));
  EXPECT_TRUE(container.Delete().ok());
  EXPECT_EQ(exec.Wait().status, 128 + SIGKILL);
}

TEST_F(Lifecycle, TheSameIdAgain) {
  Bundle bundle = BusyboxBundle("bundle");
  bundle.SetScript("sleep 1000");
  std::string id = Id("again");
  {
    Container container(*this, bundle, id);
    Ran second = RunContainer(bundle, id);
    EXPECT_NE(second.status, 0);
    EXPECT_THAT(second.err, HasSubstr("exists"));
    EXPECT_EQ(container.Exec("echo first lives").out, "first lives\n");
  }
  for (int i = 0; i < 3; i++) {
    Container container(*this, bundle, id);
    EXPECT_TRUE(container.Delete().ok());
  }
}

TEST_F(Lifecycle, TenAtOnce) {
  constexpr int kContainers = 10;
  std::vector<Bundle> bundles;
  std::vector<Process> running;
  MakeDirectory(Path("shared"));
  for (int i = 0; i < kContainers; i++) {
    std::string number = std::to_string(i);
    bundles.push_back(BusyboxBundle("bundle" + number));
    Bundle& bundle = bundles.back();
    bundle.AddBind(Path("shared"), "/shared");
    bundle.SetScript(
        "for n in $(seq 50); do echo $n >> /mine; cp /bin/busybox /tmp/b; cmp /bin/busybox /tmp/b; done; "
        "echo " +
        number + " > /shared/" + number + "; cat /mine | wc -l");
    bundle.Write();
    running.emplace_back(RuntimeCommand({"run", "--bundle", bundle.path(), Id(number)}), RunOptions{});
  }
  for (int i = 0; i < kContainers; i++) {
    Ran ran = running[i].Wait(std::chrono::minutes(2));
    EXPECT_TRUE(ran.ok()) << ran;
    EXPECT_EQ(ran.out, "50\n");
    EXPECT_EQ(ReadFile(Path("shared/" + std::to_string(i))), std::to_string(i) + "\n");
  }
}

TEST_F(Lifecycle, AFailedStartLeavesNothing) {
  Bundle bundle = BusyboxBundle("bundle");
  bundle.SetArguments({"/no/such/program"});
  for (int i = 0; i < 3; i++) {
    Ran ran = RunContainer(bundle, Id("no-program"));
    EXPECT_NE(ran.status, 0);
    EXPECT_THAT(ran.err, HasSubstr("/no/such/program"));
    EXPECT_TRUE(Eventually(kPatience, [&] { return Gone(Id("no-program")); }));
  }
  bundle.SetArguments({"/bin/true"});
  EXPECT_TRUE(RunContainer(bundle, Id("no-program")).ok());
}

TEST_F(Lifecycle, AKilledCreateLeavesNothing) {
  Bundle bundle = BusyboxBundle("bundle");
  bundle.SetScript("sleep 1000");
  bundle.Write();
  // Killed at another moment each time.
  for (int delay = 0; delay <= 100; delay += 10) {
    std::string id = Id("killed-" + std::to_string(delay));
    Process create(RuntimeCommand({"create", "--bundle", bundle.path(), id}), {});
    Ran ran = create.Wait(milliseconds(delay));
    Runtime({"delete", "--force", id});
    EXPECT_TRUE(Eventually(kPatience, [&] { return Gone(id); })) << "killed after " << delay << " ms";
    // The cgroups of a runc that was killed before it wrote its state down are its own to leave.
    EXPECT_TRUE(Eventually(kPatience, [&] {
      RunProgram({"find", "/sys/fs/cgroup", "-depth", "-type", "d", "-name", id, "-exec", "rmdir", "{}", ";"});
      return RunProgram({"find", "/sys/fs/cgroup", "-name", id}).out.empty();
    }));
  }
}

TEST_F(Lifecycle, HelpAndVersion) {
  if (PlainRuntime()) GTEST_SKIP() << "without LISAFS";
  Ran help = RunProgram({Program("lisafs-runtime"), "--help"});
  EXPECT_TRUE(help.ok()) << help;
  EXPECT_THAT(help.out, HasSubstr("--lisafsd"));
  Ran version = RunProgram({Program("lisafs-runtime"), "--version"});
  EXPECT_TRUE(version.ok()) << version;
  EXPECT_THAT(version.out, HasSubstr("lisafs-runtime"));
  EXPECT_THAT(version.out, HasSubstr("spec: "));  // As engines ask of runc.
}

}  // namespace
}  // namespace lisafs::tests
