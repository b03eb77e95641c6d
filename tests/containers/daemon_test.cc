// lisafs-runtime and the lisafsd that it finds, or starts.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/containers/host.h"

namespace lisafs::tests {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

class Daemon : public Host {
 protected:
  void SetUp() override {
    if (PlainRuntime()) GTEST_SKIP() << "without LISAFS";
    Host::SetUp();
  }
  // Nothing but defaults: the socket and the state lie below /run/lisafs, which is the test's own.
  std::vector<std::string> DefaultCommand(const std::vector<std::string>& arguments) {
    std::vector<std::string> argv = {Program("lisafs-runtime"), "--root", Path("runc")};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return argv;
  }

  // What a lisafsd that is ended has not tidied up yet is left to the next one, which does not come here.
  bool HasNoSandboxes() {
    Ran ran = RunProgram({Program("lisafsctl"), "--json", "sandboxes"});
    auto parsed = nlohmann::json::parse(ran.out, nullptr, /*allow_exceptions=*/false);
    return ran.ok() && parsed.is_object() && parsed.value("sandboxes", nlohmann::json::array()).empty();
  }
};

TEST_F(Daemon, IsStartedWhenNoneRuns) {
  Bundle bundle = BusyboxBundle("bundle");
  bundle.SetScript("echo from the container");
  bundle.Write();
  size_t before = Daemons().size();
  Ran ran = RunProgram(DefaultCommand({"run", "--bundle", bundle.path(), Id("default")}));
  EXPECT_EQ(ran.out, "from the container\n") << ran;
  EXPECT_EQ(Daemons().size(), before + 1);
  // The second container finds it.
  EXPECT_TRUE(RunProgram(DefaultCommand({"run", "--bundle", bundle.path(), Id("default")})).ok());
  EXPECT_EQ(Daemons().size(), before + 1);
  Ran listed = RunProgram({Program("lisafsctl"), "sandboxes"});
  EXPECT_TRUE(listed.ok()) << listed;
  EXPECT_TRUE(Eventually(kPatience, [&] { return HasNoSandboxes(); }));

  std::vector<pid_t> daemons = Daemons();
  for (pid_t pid : daemons) {
    if (ReadFile("/proc/" + std::to_string(pid) + "/cmdline").value_or("").find(socket()) == std::string::npos) {
      // Of the standard signals it ignores SIGPIPE alone, whatever its starter ignored.
      EXPECT_EQ(std::stoull(ProcessStatus(pid, "SigIgn"), nullptr, 16) & 0x7fffffff, 1u << (SIGPIPE - 1));
      kill(pid, SIGTERM);
    }
  }
  EXPECT_TRUE(Eventually(kPatience, [&] { return Daemons().size() == before; }));
}

TEST_F(Daemon, IsStartedOnceByTenAtATime) {
  Bundle bundle = BusyboxBundle("bundle");
  bundle.SetScript("echo ok");
  bundle.Write();
  size_t before = Daemons().size();
  std::vector<Process> running;
  for (int i = 0; i < 10; i++) {
    running.emplace_back(DefaultCommand({"run", "--bundle", bundle.path(), Id(std::to_string(i))}), RunOptions{});
  }
  for (Process& process : running) {
    Ran ran = process.Wait();
    EXPECT_EQ(ran.out, "ok\n") << ran;
  }
  EXPECT_TRUE(Eventually(kPatience, [&] { return Daemons().size() == before + 1; }));
  EXPECT_TRUE(Eventually(kPatience, [&] { return HasNoSandboxes(); }));
  for (pid_t pid : Daemons()) {
    if (ReadFile("/proc/" + std::to_string(pid) + "/cmdline").value_or("").find(socket()) == std::string::npos) {
      kill(pid, SIGTERM);
    }
  }
  EXPECT_TRUE(Eventually(kPatience, [&] { return Daemons().size() == before; }));
}

TEST_F(Daemon, SocketThatNobodyServesIsReplaced) {
  Bundle bundle = BusyboxBundle("bundle");
  bundle.SetScript("echo ok");
  KillDaemon();  // Its socket stays behind.
  EXPECT_EQ(RunContainer(bundle, Id("stale")).out, "ok\n");
  EXPECT_EQ(Daemons().size(), 1u);
  StopDaemons();
  StartDaemon();
}

TEST_F(Daemon, OperatorSeesTheSandbox) {
  MakeDirectory(Path("data"));
  Bundle bundle = BusyboxBundle("bundle");
  bundle.AddBind(Path("data"), "/data", {"ro", "nosuid"});
  bundle.SetScript("sleep 1000");
  Container container(*this, bundle, Id("operator"));
  container.Exec("ls /data; cat /etc/passwd");

  Ran sandboxes = Control({"sandboxes"});
  EXPECT_THAT(sandboxes.out, HasSubstr(container.id()));
  EXPECT_THAT(sandboxes.out, HasSubstr("running"));
  Ran mounts = Control({"mounts", container.id()});
  EXPECT_THAT(mounts.out, HasSubstr("/data"));
  EXPECT_THAT(mounts.out, HasSubstr(Path("data")));
  EXPECT_THAT(mounts.out, HasSubstr(bundle.rootfs()));
  Ran statistics = Control({"stats", container.id()});
  EXPECT_THAT(statistics.out, HasSubstr("Walk"));
  EXPECT_EQ(Control({"mounts", "no-such-sandbox"}).status, 1);
}

}  // namespace
}  // namespace lisafs::tests
