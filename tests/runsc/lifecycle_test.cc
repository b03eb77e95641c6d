// A container's life under runsc on lisafs-gofer: what an operator sees of it, and its ends.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/fd.h"
#include "tests/runsc/runsc_host.h"

namespace lisafs::tests {
namespace {

using Json = nlohmann::json;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class Lifecycle : public RunscHost {
 protected:
  // One that does nothing, with a directory of the host at /data.
  Bundle IdleBundle(const std::string& name) {
    Bundle bundle = BusyboxBundle(name);
    MakeDirectory(Path("data"));
    bundle.AddBind(Path("data"), "/data");
    bundle.SetArguments({"/bin/sleep", "1000"});
    return bundle;
  }
};

class LifecycleInAllModes : public Lifecycle {};

TEST_P(LifecycleInAllModes, LisafsGoferServes) {
  Bundle bundle = IdleBundle("bundle");
  Container container(*this, bundle, Id("served"));
  Ran ran = container.Exec("for i in 1 2 3; do echo $i > /data/$i; done; ls /data; ls / > /dev/null");
  EXPECT_EQ(ran.out, "1\n2\n3\n") << ran;
  EXPECT_THAT(ListDirectory(Path("data")), SizeIs(3));

  Json sandbox = Sandbox(container.id());
  ASSERT_TRUE(sandbox.is_object());
  EXPECT_EQ(sandbox.value("state", ""), "STATE_RUNNING");
  EXPECT_TRUE(sandbox.value("hasOwnClient", false)) << sandbox;
  EXPECT_EQ(sandbox.value("pluginPid", 0), 0) << sandbox;
  ASSERT_THAT(sandbox.value("mounts", Json::array()), SizeIs(2)) << sandbox;
  EXPECT_EQ(sandbox["mounts"][0]["spec"].value("readOnly", false), GetParam().overlay);
  EXPECT_FALSE(sandbox["mounts"][1]["spec"].value("readOnly", false));

  // It is ours that was asked, and there is no other.
  for (const char* target : {"/", "/data"}) EXPECT_EQ(Calls(container.id(), target, "Mount"), 1u) << target;
  if (GetParam().directfs) {
    EXPECT_EQ(Calls(container.id(), "/data", "Channel"), 0u);
  } else {
    EXPECT_EQ(Calls(container.id(), "/data", "OpenCreateAt"), 3u);
    EXPECT_GE(Calls(container.id(), "/", "Walk"), 1u);
    EXPECT_GE(Calls(container.id(), "/", "Channel"), 1u);
  }
  // What stands in for runsc's gofer holds none of the descriptors that runsc had, such as its stderr.
  auto stand_ins = Find("--until-closed");
  ASSERT_THAT(stand_ins, SizeIs(1));
  std::string fds = "/proc/" + std::to_string(stand_ins[0].pid) + "/fd";
  for (const std::string& fd : ListDirectory(fds)) {
    std::error_code error;
    std::string file = std::filesystem::read_symlink(fds + "/" + fd, error);
    EXPECT_THAT(file, testing::MatchesRegex(".*/null|pipe:.*|anon_inode:.*")) << fd;
  }
  EXPECT_EQ(std::filesystem::read_symlink(fds + "/2"), "/dev/null");
  auto gofers = Find("lisafs-gofer");
  ASSERT_THAT(gofers, SizeIs(1));
  EXPECT_EQ(gofers[0].pid, sandbox.value("goferPid", 0));
  EXPECT_THAT(Find("runsc-gofer"), IsEmpty());

  EXPECT_TRUE(container.Delete().ok());
  EXPECT_THAT(Sandboxes(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(, LifecycleInAllModes, testing::ValuesIn(AllRunscModes()), RunscModeName);

TEST_P(Lifecycle, CreateAndStart) {
  Bundle bundle = IdleBundle("bundle");
  bundle.SetScript("echo started > /data/file");
  bundle.Write();
  std::string id = Id("create");
  Ran ran = Runtime({"create", "--bundle", bundle.path(), id});
  ASSERT_TRUE(ran.ok()) << ran;
  EXPECT_FALSE(ReadFile(Path("data/file")));
  EXPECT_TRUE(Sandbox(id).is_object());
  EXPECT_TRUE(Runtime({"start", id}).ok());
  EXPECT_TRUE(Eventually(kPatience, [&] { return ReadFile(Path("data/file")) == "started\n"; }));
  // The gofer goes with the sentry, without anybody's help.
  EXPECT_TRUE(Eventually(kPatience, [&] { return Sandboxes().empty(); }));
  EXPECT_TRUE(Eventually(kPatience, [&] { return Runtime({"delete", id}).ok(); }));
}

TEST_P(Lifecycle, SentryDies) {
  Bundle bundle = IdleBundle("bundle");
  Container container(*this, bundle, Id("sentry"));
  kill(container.pid(), SIGKILL);
  EXPECT_TRUE(Eventually(kPatience, [&] { return Sandboxes().empty(); }));
  EXPECT_TRUE(Eventually(kPatience, [&] { return Find("--until-closed").empty(); }));
}

TEST_P(Lifecycle, GoferDies) {
  Bundle bundle = IdleBundle("bundle");
  Container container(*this, bundle, Id("gofer"));
  kill(Sandbox(container.id()).value("goferPid", 0), SIGKILL);
  EXPECT_TRUE(Eventually(kPatience, [&] { return Sandbox(container.id()).value("state", "") == "STATE_FAILED"; }));
  EXPECT_EQ(Sandbox(container.id()).value("failure", ""), "gofer killed by signal 9");
  // What stood in for runsc's gofer is gone, too, and nobody waits for answers.
  EXPECT_TRUE(Eventually(kPatience, [&] { return Find("--until-closed").empty(); }));
  Ran ran = container.Exec("cat /data/1");
  EXPECT_FALSE(ran.ok() || ran.timed_out) << ran;
  EXPECT_TRUE(container.Delete().ok());
  EXPECT_THAT(Sandboxes(), IsEmpty());
}

TEST_P(Lifecycle, DaemonRestarts) {
  Bundle bundle = IdleBundle("bundle");
  Container container(*this, bundle, Id("daemon"));
  KillDaemon();
  EXPECT_EQ(container.Exec("echo x > /data/file && cat /data/file").out, "x\n");
  StartDaemon();
  EXPECT_EQ(Sandbox(container.id()).value("state", ""), "STATE_RUNNING");
  EXPECT_GE(Calls(container.id(), "/data", "OpenCreateAt"), 1u);
  // Whoever has no plugin is not missed one.
  EXPECT_TRUE(container.Exec("sleep 1").ok());
  EXPECT_EQ(Sandbox(container.id()).value("state", ""), "STATE_RUNNING");
}

// Two containers in one sentry, as engines for pods make them: runsc starts the second one's gofer when it starts it.
TEST_P(Lifecycle, Pod) {
  auto in_pod = [&](const std::string& name, const char* type) {
    Bundle bundle = IdleBundle(name);
    bundle.config()["annotations"] = {{"io.kubernetes.cri.container-type", type},
                                      {"io.kubernetes.cri.sandbox-id", Id("first")}};
    return bundle;
  };
  Container first(*this, in_pod("first", "sandbox"), Id("first"));
  Container second(*this, in_pod("second", "container"), Id("second"));
  EXPECT_EQ(second.Exec("echo second > /data/file && cat /data/file").out, "second\n");
  EXPECT_EQ(first.Exec("cat /data/file").out, "second\n");
  EXPECT_THAT(Sandboxes(), SizeIs(2));
  EXPECT_GE(Calls(second.id(), "/data", "OpenCreateAt"), 1u);
  EXPECT_TRUE(second.Delete().ok());
  EXPECT_TRUE(Sandbox(first.id()).is_object());
  EXPECT_TRUE(first.Delete().ok());
}

// A socket and a FIFO in the directory that the container has, and programs of the host at their other ends: reached
// only with runsc's flags for that.
TEST_P(Lifecycle, HostSocketsAndFifos) {
  Bundle bundle = IdleBundle("bundle");
  std::filesystem::copy_file(DataFile("tests/containers/probe"), bundle.rootfs() + "/bin/probe");
  ASSERT_EQ(mkfifo(Path("data/fifo").c_str(), 0666), 0);
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  Path("data/socket").copy(address.sun_path, sizeof address.sun_path - 1);
  Fd listening(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(bind(listening.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(listening.get(), 1), 0);
  // Open for both, so that neither end waits for the other to be opened.
  Fd fifo(open(Path("data/fifo").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(write(fifo.get(), "through a FIFO\n", 15), 15);
  std::thread host([&] {
    Fd connection(accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
    EXPECT_TRUE(connection && write(connection.get(), "through a socket\n", 17) == 17);
  });

  {
    Container without(*this, bundle, Id("without"));
    EXPECT_FALSE(without.Exec("probe connect /data/socket").ok());
    EXPECT_FALSE(without.Exec("timeout 5 head -n 1 /data/fifo").ok());
  }
  AddRuntimeFlags({"--host-uds=open", "--host-fifo=open"});
  {
    Container with(*this, bundle, Id("with"));
    EXPECT_EQ(with.Exec("probe connect /data/socket").out, "through a socket\n");
    EXPECT_EQ(with.Exec("timeout 50 head -n 1 /data/fifo").out, "through a FIFO\n");
    EXPECT_GE(Calls(with.id(), "/data", "Connect") + Calls(with.id(), "/data", "ConnectWithCreds"), 1u);
  }
  shutdown(listening.get(), SHUT_RDWR);
  host.join();
}

TEST_P(Lifecycle, SaysWhyNot) {
  struct Case {
    const char* name;
    std::string message;
    std::function<void(Bundle&)> change;
  };
  const Case kCases[] = {
      {"source", "mount /missing: source", [&](Bundle& b) { b.AddBind(Path("missing"), "/missing"); }},
      {"hook", "hooks.createContainer",
       [](Bundle& b) {
         b.config()["hooks"]["createContainer"] = {{{"path", "/bin/true"}}};
       }},
      {"user", "user namespace",
       [](Bundle& b) {
         b.config()["linux"]["namespaces"].push_back({{"type", "user"}});
         Json map = {{{"containerID", 0}, {"hostID", 100000}, {"size", 65536}}};
         b.config()["linux"]["uidMappings"] = b.config()["linux"]["gidMappings"] = map;
       }},
  };
  for (const Case& wrong : kCases) {
    Bundle bundle = IdleBundle(wrong.name);
    wrong.change(bundle);
    Ran ran = RunContainer(bundle, Id(wrong.name));
    EXPECT_EQ(ran.status, 1) << ran;
    EXPECT_THAT(ran.err, HasSubstr(wrong.message));
  }
}

// What only lisafsd finds out, runsc's caller learns too.
TEST_P(Lifecycle, SaysWhatLisafsdSays) {
  Bundle bundle = IdleBundle("bundle");
  for (int i = 0; i < 70; ++i) bundle.AddBind(Path("data"), "/data/" + std::to_string(i));
  Ran ran = RunContainer(bundle, Id("many"));
  EXPECT_FALSE(ran.ok()) << ran;
  EXPECT_THAT(ran.err, HasSubstr("mounts: more than 64"));
  EXPECT_THAT(Sandboxes(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(, Lifecycle, testing::ValuesIn(PlainRunscModes()), RunscModeName);

}  // namespace
}  // namespace lisafs::tests
