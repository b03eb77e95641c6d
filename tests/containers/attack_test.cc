// Root in a container against the processes that serve its files.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/containers/host.h"

namespace lisafs::tests {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

class Attack : public Host {
 protected:
  Bundle ProbeBundle() const {
    Bundle bundle = BusyboxBundle("bundle");
    std::filesystem::copy_file(DataFile("tests/containers/probe"), bundle.rootfs() + "/bin/probe");
    bundle.SetScript("exec sleep 1000");
    return bundle;
  }
  // Those that serve the container, and lisafsd.
  std::vector<pid_t> Servers(const Container& container) const {
    std::vector<pid_t> all = Daemons();
    nlohmann::json sandbox = Sandbox(container.id());
    for (const char* key : {"goferPid", "pluginPid", "brokerPid"}) {
      if (pid_t pid = sandbox.value(key, 0); pid > 0) all.push_back(pid);
    }
    EXPECT_GE(all.size(), 3u);
    return all;
  }
};

TEST_F(Attack, TheContainerSeesNoneOfThem) {
  Bundle bundle = ProbeBundle();
  Container container(*this, bundle, Id("alone"));
  Ran ran = container.Exec("cat /proc/[0-9]*/comm | sort -u | tr '\n' ' '; kill -9 -1; echo done");
  EXPECT_THAT(ran.out, testing::Not(HasSubstr("lisafs"))) << ran;
  EXPECT_TRUE(Sandbox(container.id()).value("failure", "").empty()) << "a signal to everybody reached them";
  for (pid_t pid : Servers(container)) EXPECT_EQ(kill(pid, 0), 0) << pid;
}

// One that shares the host's pid namespace sees them, as it sees all of root's processes: it can end these, but takes
// nothing from them.
TEST_F(Attack, WhoSeesThemTakesNothingFromThem) {
  Bundle bundle = ProbeBundle();
  nlohmann::json& namespaces = bundle.config()["linux"]["namespaces"];
  namespaces.erase(std::find(namespaces.begin(), namespaces.end(), nlohmann::json{{"type", "pid"}}));
  Container container(*this, bundle, Id("seeing"));
  // The probe sees what it is to see: itself.
  EXPECT_THAT(container.Exec("probe attack $$").out, HasSubstr("maps"));
  for (pid_t pid : Servers(container)) {
    Ran ran = container.Exec("cat /proc/" + std::to_string(pid) + "/comm; probe attack " + std::to_string(pid));
    EXPECT_THAT(ran.out, testing::MatchesRegex("lisafs[-a-z]*\n")) << "what it could do to " << pid << ": " << ran;
  }
  // They serve on.
  EXPECT_EQ(container.Exec("echo works > /tmp/file; cat /tmp/file").out, "works\n");
}

// What a container may always do is to harm itself: its files are gone, and nobody else's.
TEST_F(Attack, WhoEndsItsPluginHarmsItselfAlone) {
  Bundle bundle = ProbeBundle();
  Container other(*this, bundle, Id("other"));
  Bundle second = BusyboxBundle("second");
  second.config()["linux"]["namespaces"].erase(0);
  second.SetScript("exec sleep 1000");
  ASSERT_FALSE(second.config()["linux"]["namespaces"].dump().find("\"pid\"") != std::string::npos);
  Container container(*this, second, Id("self"));
  pid_t plugin = Sandbox(container.id()).value("pluginPid", 0);
  ASSERT_GT(plugin, 0);
  container.Exec("kill -9 " + std::to_string(plugin));
  EXPECT_TRUE(Eventually(kPatience, [&] { return !Sandbox(container.id()).value("failure", "").empty(); }));
  EXPECT_EQ(other.Exec("echo works > /tmp/file; cat /tmp/file").out, "works\n");
}

}  // namespace
}  // namespace lisafs::tests
