// Containers that use up what they have: the plugin lives within their limits, and must live through it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>

#include "tests/containers/host.h"

namespace lisafs::tests {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using testing::HasSubstr;

class Limits : public Host {
 protected:
  Bundle ProbeBundle() {
    Bundle bundle = BusyboxBundle("bundle");
    std::filesystem::copy_file(DataFile("tests/containers/probe"), bundle.rootfs() + "/bin/probe");
    bundle.SetScript("exec sleep 1000");
    return bundle;
  }
};

TEST_F(Limits, MemoryHogIsKilledAndTheFilesStay) {
  Bundle bundle = ProbeBundle();
  bundle.config()["linux"]["resources"]["memory"] = {{"limit", 96 << 20}};
  Container container(*this, bundle, Id("memory"));
  for (int i = 0; i < 3; i++) {
    Ran ran = container.Exec("probe eat 500; echo $?");
    EXPECT_EQ(ran.out, "137\n") << ran;
    EXPECT_EQ(container.Exec("echo alive > /tmp/file; cat /tmp/file").out, "alive\n");
  }
  // Nor does a full page cache harm.
  Ran ran =
      container.Exec("dd if=/dev/zero of=/tmp/big bs=1M count=200 2> /dev/null && stat -c %s /tmp/big && rm /tmp/big");
  EXPECT_EQ(ran.out, "209715200\n") << ran;
}

TEST_F(Limits, WhoServesAContainerIsInACgroupOfTheirOwn) {
  if (PlainRuntime()) GTEST_SKIP() << "without LISAFS";
  Bundle bundle = ProbeBundle();
  const std::string id = Id("cgroup");
  Container container(*this, bundle, id);
  auto cgroups = [](int pid) { return ReadFile("/proc/" + std::to_string(pid) + "/cgroup").value_or(""); };
  // The one lisafsd and the next one with other limits.
  const std::pair<std::string, std::string> limits[] = {{"2147483648", "4096"}, {"1073741824", "77"}};
  for (const auto& [memory, pids] : limits) {
    const nlohmann::json sandbox = Sandbox(id);
    const int gofer = sandbox.value("goferPid", 0), plugin = sandbox.value("pluginPid", 0);
    const int broker = sandbox.value("brokerPid", 0);
    auto is_limited = [&](int pid) { return cgroups(pid).find("/lisafs/" + id + "\n") != std::string::npos; };
    // Nobody waits for it.
    if (!Eventually(kPatience, [&] { return is_limited(gofer); })) GTEST_SKIP() << "this host does not allow it";
    EXPECT_TRUE(Eventually(kPatience, [&] { return is_limited(plugin); })) << cgroups(plugin);
    EXPECT_TRUE(broker == 0 || Eventually(kPatience, [&] { return is_limited(broker); })) << cgroups(broker);
    // Whichever version has the controller.
    auto limit = [&](const std::string& hierarchy, const std::string& v1, const std::string& v2) {
      auto value = ReadFile("/sys/fs/cgroup/" + hierarchy + "/lisafs/" + id + "/" + v1);
      return value ? *value : ReadFile("/sys/fs/cgroup/lisafs/" + id + "/" + v2).value_or("none");
    };
    EXPECT_EQ(limit("memory", "memory.limit_in_bytes", "memory.max"), memory + "\n");
    EXPECT_EQ(limit("pids", "pids.max", "pids.max"), pids + "\n");
    WriteFile(Path("lisafsd.toml"), "[cgroup]\nmemory_bytes = 1073741824\npids = 77\n");
    if (pids == "77") break;
    KillDaemon();
    StartDaemon({"--config", Path("lisafsd.toml")});
  }
  // That nothing is left of it is seen at the test's end.
}

TEST_F(Limits, ForkBombLeavesTheFilesUsable) {
  Bundle bundle = ProbeBundle();
  bundle.config()["linux"]["resources"]["pids"] = {{"limit", 24}};
  bundle.SetScript(R"sh(
    (for i in $(seq 100); do sleep 1000 & done)
    while :; do read line < /etc/passwd; echo $line > /tmp/out; done
  )sh");
  Container container(*this, bundle, Id("pids"));
  EXPECT_TRUE(Eventually(kPatience, [&] {
    return ReadFile(bundle.rootfs() + "/tmp/out").value_or("").find("root:x:0:0") != std::string::npos;
  })) << container.out();
}

TEST_F(Limits, MoreOpenFilesThanThereAreDescriptors) {
  Bundle bundle = ProbeBundle();
  Container container(*this, bundle, Id("descriptors"));
  container.Exec("mkdir /one /two");
  Process one(RuntimeCommand({"exec", container.id(), "probe", "open", "/one", "100000"}), {});
  Process two(RuntimeCommand({"exec", container.id(), "probe", "open", "/two", "100000"}), {});
  for (Process* process : {&one, &two}) {
    Ran ran = process->Wait(minutes(2));
    EXPECT_TRUE(ran.ok()) << ran;
    // How many there are depends on the host's limits, which the gofer and the plugin are under as well.
    EXPECT_THAT(ran.out, testing::AnyOf("EMFILE\n", "ENFILE\n", "0\n"));
    EXPECT_THAT(ran.err, testing::MatchesRegex("[0-9]+ open\n"));  // What was open could be used.
  }
  EXPECT_EQ(container.Exec("ls /one /two | wc -l; echo works > /tmp/file; cat /tmp/file").out, "3\nworks\n");
}

// Engines may signal every process in the container's cgroup.
TEST_F(Limits, SignalsToAllDoNotEndThePlugin) {
  Bundle bundle = ProbeBundle();
  bundle.SetScript("trap 'echo caught' TERM HUP INT USR1; while :; do sleep 0.1; done");
  Container container(*this, bundle, Id("signals"));
  EXPECT_EQ(container.Exec("echo before").out, "before\n");
  for (const char* signal : {"TERM", "HUP", "INT", "USR1"}) {
    Ran ran = Runtime({"kill", "--all", container.id(), signal});
    EXPECT_TRUE(ran.ok()) << ran;
    EXPECT_EQ(container.Exec("cat /etc/group").out, "root:x:0:\nuser:x:1000:\n") << signal;
  }
  EXPECT_THAT(container.out(), HasSubstr("caught\n"));
  EXPECT_EQ(container.Status(), "running");
}

TEST_F(Limits, TheHostsWholeTree) {
  Bundle bundle = ProbeBundle();
  WriteFile(Path("mark"), "found");
  bundle.AddBind("/", "/host", {"rbind", "ro"});
  Container container(*this, bundle, Id("tree"));
  Ran ran =
      container.Exec("cat /host" + Path("mark") + "; test -e /host/etc/passwd && echo -n ' etc'; touch /host/tmp/x");
  EXPECT_EQ(ran.out, "found etc") << ran;
  EXPECT_THAT(ran.err, HasSubstr("Read-only file system"));
}

}  // namespace
}  // namespace lisafs::tests
