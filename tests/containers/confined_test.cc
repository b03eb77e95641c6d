// What a container's gofer and plugin can still do, seen from the host.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sstream>

#include "tests/containers/host.h"

namespace lisafs::tests {
namespace {

using testing::HasSubstr;

class Confined : public Host {
 protected:
  void SetUp() override {
    if (PlainRuntime()) GTEST_SKIP() << "without LISAFS";
    Host::SetUp();
  }

  static std::string ProcPath(pid_t pid, const std::string& name) {
    return "/proc/" + std::to_string(pid) + "/" + name;
  }

  static void ExpectConfined(pid_t pid) {
    ASSERT_GT(pid, 0);
    EXPECT_EQ(ProcessStatus(pid, "Seccomp"), "2");
    EXPECT_EQ(ProcessStatus(pid, "NoNewPrivs"), "1");
    for (const char* set : {"CapInh", "CapBnd", "CapAmb"})
      EXPECT_EQ(ProcessStatus(pid, set), "0000000000000000") << set;
    EXPECT_THAT(ProcessStatus(pid, "NSpid"), testing::MatchesRegex("[0-9\t]*\t1"));  // Process 1 of its own namespace.
    EXPECT_TRUE(ListDirectory(ProcPath(pid, "root")).empty());
    for (const char* ns : {"mnt", "pid", "net", "ipc", "uts", "cgroup"}) {
      struct stat own, its;
      ASSERT_EQ(stat((std::string("/proc/self/ns/") + ns).c_str(), &own), 0);
      ASSERT_EQ(stat(ProcPath(pid, std::string("ns/") + ns).c_str(), &its), 0);
      EXPECT_NE(own.st_ino, its.st_ino) << ns;
    }
    ExpectNoNetwork(pid);
  }

  static void ExpectNoNetwork(pid_t pid) {
    Ran links = RunProgram({"nsenter", "--net=" + ProcPath(pid, "ns/net"), "ip", "-o", "link", "show", "up"});
    if (links.status == 127 || links.err.find("No such file") != std::string::npos) {
      // Without iproute2: an interface that is up has a route or at least an address.
      EXPECT_EQ(ReadFile(ProcPath(pid, "net/fib_trie")).value_or(""), "");
      EXPECT_EQ(ReadFile(ProcPath(pid, "net/if_inet6")).value_or(""), "");
    } else {
      EXPECT_EQ(links.out, "") << links;
    }
  }
};

// What lisafsd may not do the processes that it starts may not either; the container is not among them.
TEST_F(Confined, LisafsdAndWhatItStartsAreFilteredAndTheContainerIsNot) {
  Bundle bundle = BusyboxBundle("bundle");
  bundle.SetScript("sleep 1000");
  Container container(*this, bundle, Id("filters"));
  ASSERT_EQ(Daemons().size(), 1u);
  const pid_t daemon = Daemons().front(), gofer = Sandbox(container.id()).value("goferPid", 0);
  EXPECT_EQ(ProcessStatus(daemon, "Seccomp"), "2");
  EXPECT_EQ(ProcessStatus(daemon, "Seccomp_filters"), "1");
  EXPECT_EQ(ProcessStatus(daemon, "NoNewPrivs"), "1");
  EXPECT_EQ(ProcessStatus(gofer, "Seccomp_filters"), "2");
  EXPECT_EQ(ProcessStatus(container.pid(), "Seccomp"), "0");
  EXPECT_EQ(ProcessStatus(container.pid(), "NoNewPrivs"), "0");
}

TEST_F(Confined, GoferAndPluginHoldNoMoreThanTheyNeed) {
  Bundle bundle = BusyboxBundle("bundle");
  bundle.SetScript("sleep 1000");
  Container container(*this, bundle, Id("confined"));
  nlohmann::json sandbox = Sandbox(container.id());
  pid_t gofer = sandbox.value("goferPid", 0), plugin = sandbox.value("pluginPid", 0);
  {
    SCOPED_TRACE("gofer");
    ExpectConfined(gofer);
    uint64_t capabilities = 0;
    for (int capability : {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID, CAP_SETFCAP}) {
      capabilities |= uint64_t{1} << capability;
    }
    EXPECT_EQ(std::stoull(ProcessStatus(gofer, "CapEff"), nullptr, 16), capabilities);
    EXPECT_EQ(std::stoull(ProcessStatus(gofer, "CapPrm"), nullptr, 16), capabilities);
  }
  {
    SCOPED_TRACE("plugin");
    ExpectConfined(plugin);
    EXPECT_TRUE(ListDirectory(ProcPath(plugin, "cwd")).empty());
    EXPECT_EQ(ProcessStatus(plugin, "CapEff"), "0000000000000000");
    EXPECT_EQ(ProcessStatus(plugin, "CapPrm"), "0000000000000000");
  }
}

TEST_F(Confined, NobodyElseIsInTheContainersCgroups) {
  Bundle bundle = BusyboxBundle("bundle");
  bundle.SetScript("sleep 1000");
  Container container(*this, bundle, Id("cgroup"));
  nlohmann::json sandbox = Sandbox(container.id());
  EXPECT_THAT(ReadFile(ProcPath(container.pid(), "cgroup")).value_or(""), HasSubstr(":/" + container.id() + "\n"));
  for (const char* program : {"goferPid", "pluginPid", "brokerPid"}) {
    const std::string cgroups = ReadFile(ProcPath(sandbox.value(program, 0), "cgroup")).value_or("");
    EXPECT_THAT(cgroups, HasSubstr(":/")) << program;
    EXPECT_THAT(cgroups, testing::Not(HasSubstr(":/" + container.id()))) << program;
  }
}

TEST_F(Confined, NothingShowsInTheHostsMounts) {
  std::vector<std::string> before = MountInfo();
  Bundle bundle = BusyboxBundle("bundle");
  bundle.SetScript("sleep 1000");
  Container container(*this, bundle, Id("unseen"));
  EXPECT_EQ(MountInfo(), before);
}

// The wrapper, the container and the plugin share a line of descent; none may hand the container a way to the host.
TEST_F(Confined, ContainerHoldsNoDescriptorOfTheHost) {
  Bundle bundle = BusyboxBundle("bundle");
  bundle.SetScript("for fd in /proc/self/fd/*; do readlink $fd; done; exec sleep 1000");
  Container container(*this, bundle, Id("descriptors"));
  EXPECT_TRUE(Eventually(kPatience, [&] { return !container.out().empty(); }));
  std::istringstream links(ReadFile(ProcPath(container.pid(), "mountinfo")).value_or(""));
  for (std::string line; std::getline(links, line);) EXPECT_THAT(line, testing::Not(HasSubstr("/run/lisafs")));
  for (const std::string& fd : ListDirectory(ProcPath(container.pid(), "fd"))) {
    char target[4096];
    ssize_t length = readlink(ProcPath(container.pid(), "fd/" + fd).c_str(), target, sizeof target);
    ASSERT_GE(length, 0);
    std::string name(target, length);
    // Standard input, output and error are the test's.
    EXPECT_TRUE(name.starts_with("/memfd:std")) << fd << " is " << name;
  }
}

}  // namespace
}  // namespace lisafs::tests
