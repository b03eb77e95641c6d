// The real programs, stopped just before they read the first byte that may be an attacker's: what are they by then?

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limits.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/waking.h"
#include "confine/confine.h"
#include "lisafs/counters.h"
#include "sandbox/detached_tree.h"
#include "sandbox/fuse_mount.h"
#include "tests/confinement/traced_program.h"
#include "tests/support/files.h"

namespace lisafs::tests {
namespace {

constexpr uint64_t Bit(int capability) { return uint64_t{1} << capability; }

std::string ReadLink(const std::string& path) {
  char target[PATH_MAX];
  ssize_t n = readlink(path.c_str(), target, sizeof target);
  return n < 0 ? "" : std::string(target, n);
}

std::string Proc(pid_t pid, const std::string& name) { return "/proc/" + std::to_string(pid) + "/" + name; }

// What /proc/PID/fd/N says a descriptor of this process is.
std::string NameOf(int fd) { return ReadLink(Proc(getpid(), "fd/" + std::to_string(fd))); }

// A duplicate that programs inherit.
Fd Inheritable(int fd) { return Fd(fcntl(fd, F_DUPFD, 100)); }

struct Program {
  std::string name;
  uint64_t capabilities;
  std::string options;  // Of its mount.
};
void PrintTo(const Program& program, std::ostream* out) { *out << program.name; }

// Starts the programs as lisafsd would, but traced.
class ConfinementTest : public testing::TestWithParam<Program> {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "namespaces and mounts need root";
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    peer_ = Fd(ends[0]);
    connection_ = Inheritable(Fd(ends[1]).get());
    // So that there is something to read from the start.
    ASSERT_EQ(write(peer_.get(), "\xff\xff\xff\xff\xff\xff\xff\xff", 8), 8);
    watched_.insert(NameOf(connection_.get()));

    ready_ = Inheritable(Fd(memfd_create("ready", MFD_CLOEXEC)).get());
    leaked_ = Inheritable(Fd(memfd_create("leaked", MFD_CLOEXEC)).get());
    if (GetParam().name == "lisafs-gofer") return StartGofer();
    if (GetParam().name == "lisafs-plugin") return StartPlugin();
    if (GetParam().name == "lisafs-waker") return StartWaker();
    StartBroker();
  }

  void StartGofer() {
    WriteFile(directory_ / "file", "content");
    auto tree = OpenDetachedTree(directory_.path(), {}, false);
    ASSERT_TRUE(tree.ok()) << tree.status();
    tree_ = Inheritable(tree->fd.get());
    Fd counters(memfd_create("counters", MFD_CLOEXEC));
    ASSERT_EQ(ftruncate(counters.get(), sizeof(CountersPage)), 0);
    ASSERT_EQ(pwrite(counters.get(), &kCountersMagic, sizeof kCountersMagic, offsetof(CountersPage, magic)), 8);
    ASSERT_EQ(pwrite(counters.get(), &kCountersVersion, sizeof kCountersVersion, offsetof(CountersPage, version)), 4);
    counters_ = Inheritable(counters.get());
    Start("gofer/lisafs-gofer",
          {"--mount", std::to_string(connection_.get()) + ":" + std::to_string(tree_.get()) + GetParam().options,
           "--counters", std::to_string(counters_.get())});
  }

  void StartPlugin() {
    auto fuse = MakeFuseMount(S_IFDIR, {});
    if (!fuse.ok()) GTEST_SKIP() << fuse.status();
    fuse_device_ = Inheritable(fuse->device.get());
    fuse_mount_ = std::move(fuse->mount);
    watched_.insert(NameOf(fuse_device_.get()));
    Start("plugin/lisafs-plugin",
          {"--mount", std::to_string(fuse_device_.get()) + ":" + std::to_string(connection_.get())});
  }

  void StartBroker() {
    auto fuse = MakeFuseMount(S_IFDIR, {});
    if (!fuse.ok()) GTEST_SKIP() << fuse.status();
    fuse_device_ = Inheritable(fuse->device.get());
    fuse_mount_ = std::move(fuse->mount);
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    plugin_lifeline_ = Fd(ends[1]);
    lifeline_ = Inheritable(Fd(ends[0]).get());
    Start("broker/lisafs-broker", {"--device", "0=" + std::to_string(fuse_device_.get()), "--gofer",
                                   std::to_string(connection_.get()), "--lifeline", std::to_string(lifeline_.get())});
  }

  void StartWaker() {
    auto tree = OpenDetachedTree(directory_.path(), {}, false);
    ASSERT_TRUE(tree.ok()) << tree.status();
    tree_ = Inheritable(tree->fd.get());
    const Fd container(static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0)));
    container_ = Inheritable(container.get());
    Start("waker/lisafs-waker", {"--mount", std::to_string(tree_.get()) + ":" + std::to_string(connection_.get()),
                                 "--container", std::to_string(container_.get())});
  }

  // Lets the program run until it is about to read from a watched descriptor, whatever its number is by then.
  void Start(const std::string& path, const std::vector<std::string>& arguments) {
    std::vector<std::string> argv = {DataFile(path)};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    argv.insert(argv.end(), {"--ready-fd", std::to_string(ready_.get())});
    program_.emplace(argv);
    first_read_ = program_->RunUntil([&](const SystemCall& call) {
      static const std::set<uint64_t> kReading = {SYS_read,    SYS_readv,         SYS_pread64, SYS_preadv,
                                                  SYS_preadv2, SYS_recvfrom,      SYS_recvmsg, SYS_recvmmsg,
                                                  SYS_splice,  SYS_io_uring_enter};
      calls_before_.push_back(call.number);
      return kReading.contains(call.number) &&
             watched_.contains(ReadLink(Proc(call.pid, "fd/" + std::to_string(static_cast<int>(call.args[0])))));
    });
    ASSERT_TRUE(first_read_) << "it ended without reading";
    pid_ = std::stoi(ProcessStatus(first_read_->pid, "Tgid"));  // A thread may have been about to read.
  }

  TempDir directory_;
  Fd peer_, connection_, ready_, leaked_;
  Fd tree_, counters_;
  Fd fuse_device_, fuse_mount_;
  Fd lifeline_, plugin_lifeline_, container_;
  std::set<std::string> watched_;
  std::optional<TracedProgram> program_;
  std::optional<SystemCall> first_read_;
  std::vector<uint64_t> calls_before_;  // That one, by any of the processes.
  pid_t pid_ = 0;
};

std::string Hex(uint64_t bits) {
  char text[20];
  snprintf(text, sizeof text, "%016lx", static_cast<unsigned long>(bits));
  return text;
}

TEST_P(ConfinementTest, StatusOfEveryThreadShowsIt) {
  for (const std::string& thread : ListDirectory(Proc(pid_, "task"))) {
    pid_t tid = std::stoi(thread);
    EXPECT_EQ(ProcessStatus(tid, "Seccomp"), "2");
    EXPECT_EQ(ProcessStatus(tid, "NoNewPrivs"), "1");
    EXPECT_EQ(ProcessStatus(tid, "CapEff"), Hex(GetParam().capabilities));
    EXPECT_EQ(ProcessStatus(tid, "CapPrm"), Hex(GetParam().capabilities));
    for (const char* empty : {"CapInh", "CapBnd", "CapAmb"}) EXPECT_EQ(ProcessStatus(tid, empty), Hex(0)) << empty;
    EXPECT_EQ(ProcessStatus(tid, "Groups"), "");
  }
}

TEST_P(ConfinementTest, NamespacesAreItsOwn) {
  for (const char* kind : {"mnt", "pid", "net", "ipc", "uts", "cgroup"}) {
    std::string name = std::string("ns/") + kind;
    EXPECT_NE(ReadLink(Proc(pid_, name)), "") << kind;
    EXPECT_NE(ReadLink(Proc(pid_, name)), ReadLink(Proc(getpid(), name))) << kind;
  }
  EXPECT_TRUE(ProcessStatus(pid_, "NSpid").ends_with("\t1")) << ProcessStatus(pid_, "NSpid");
}

TEST_P(ConfinementTest, RootIsEmpty) {
  struct stat root;
  ASSERT_EQ(stat(Proc(pid_, "root").c_str(), &root), 0);
  EXPECT_TRUE(ListDirectory(Proc(pid_, "root")).empty());
  std::string mounts = ReadFile(Proc(pid_, "mountinfo")).value_or("");
  EXPECT_EQ(std::count(mounts.begin(), mounts.end(), '\n'), 1) << mounts;
  EXPECT_NE(mounts.find(" / / ro,"), std::string::npos) << mounts;
}

TEST_P(ConfinementTest, NoNetworkInterfaceIsUp) {
  Fd own(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  Fd other(open(Proc(pid_, "ns/net").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(setns(other.get(), CLONE_NEWNET), 0);
  Fd any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  struct if_nameindex* interfaces = if_nameindex();
  ASSERT_EQ(setns(own.get(), CLONE_NEWNET), 0);
  ASSERT_TRUE(any.valid() && interfaces != nullptr);
  for (auto* i = interfaces; i->if_index != 0; ++i) {
    ifreq request = {};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", i->if_name);
    ASSERT_EQ(ioctl(any.get(), SIOCGIFFLAGS, &request), 0);  // Of the namespace that the socket was made in.
    EXPECT_EQ(request.ifr_flags & IFF_UP, 0) << i->if_name;
  }
  if_freenameindex(interfaces);
}

TEST_P(ConfinementTest, HoldsNoDescriptorThatItWasNotGiven) {
  std::set<std::string> named = {NameOf(connection_.get()), NameOf(ready_.get()), "/dev/null", NameOf(STDOUT_FILENO),
                                 NameOf(STDERR_FILENO)};
  if (tree_) named.insert(NameOf(tree_.get()));
  if (counters_) named.insert(NameOf(counters_.get()));
  if (lifeline_) named.insert(NameOf(lifeline_.get()));
  if (fuse_device_) named.insert(NameOf(fuse_device_.get()));
  if (container_) named.insert(NameOf(container_.get()));
  if (GetParam().name == "lisafs-plugin") {
    // It makes these itself.
    for (int number : {kFirstWakerFd, kFirstOwnWakerFd}) {
      const std::string name = ReadLink(Proc(pid_, "fd/" + std::to_string(number)));
      EXPECT_THAT(name, testing::StartsWith("socket:"));
      named.insert(name);
    }
  }
  for (const std::string& number : ListDirectory(Proc(pid_, "fd"))) {
    std::string name = ReadLink(Proc(pid_, "fd/" + number));
    EXPECT_NE(name, NameOf(leaked_.get()));
    // Its own /proc/self/fd, as the mount has it.
    bool own_fds = name.ends_with("/fd");
    EXPECT_TRUE(named.contains(name) || own_fds) << number << " is " << name;
  }
}

// Nothing shows from outside whether a process is under Landlock; confine/file_access_test.cc says what it then may.
TEST_P(ConfinementTest, IsUnderLandlockWhereThereIsOne) {
  if (LandlockVersion() < 2) GTEST_SKIP() << "the kernel's Landlock is of version " << LandlockVersion();
  auto landlock = std::ranges::find(calls_before_, static_cast<uint64_t>(SYS_landlock_restrict_self));
  if (GetParam().name == "lisafs-broker") {
    // The kernel opens what is passed through with the broker's credentials, and would refuse. It has no call that
    // takes a path.
    EXPECT_EQ(landlock, calls_before_.end());
    return;
  }
  ASSERT_NE(landlock, calls_before_.end());
  EXPECT_NE(std::find(landlock, calls_before_.end(), static_cast<uint64_t>(SYS_seccomp)), calls_before_.end());
}

TEST_P(ConfinementTest, LimitsAreSet) {
  const std::string limits = ReadFile(Proc(pid_, "limits")).value_or("");
  auto line = [&](std::string_view name) {
    size_t begin = limits.find(name);
    return begin == std::string::npos ? "" : limits.substr(begin, limits.find('\n', begin) - begin);
  };
  EXPECT_TRUE(line("Max core file size").starts_with("Max core file size        0                    0 ")) << limits;
  // The plugin is limited by its sandbox's cgroup alone.
  EXPECT_EQ(line("Max data size").find("unlimited") == std::string::npos, GetParam().name == "lisafs-gofer") << limits;
}

TEST_P(ConfinementTest, DiesOfAnyOtherSystemCall) {
  std::vector<uint64_t> calls = {SYS_execve, SYS_socket, SYS_openat2, SYS_ptrace,     SYS_mount,
                                 SYS_setns,  SYS_kill,   SYS_prctl,   SYS_prlimit64,  SYS_io_uring_setup,
                                 SYS_bpf,    SYS_ioctl,  SYS_keyctl,  SYS_pidfd_getfd};
  for (uint64_t call : calls) {
    if (!program_) SetUp();  // Each death needs a program of its own.
    ASSERT_TRUE(first_read_);
    int status = program_->MakeInstead(*first_read_, call);
    EXPECT_TRUE(status != -1 && WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) << "call " << call << ": " << status;
    program_.reset();
    if (HasFatalFailure()) return;
  }
}

constexpr uint64_t kFileCapabilities = Bit(CAP_CHOWN) | Bit(CAP_DAC_OVERRIDE) | Bit(CAP_DAC_READ_SEARCH) |
                                       Bit(CAP_FOWNER) | Bit(CAP_FSETID) | Bit(CAP_SETFCAP);

INSTANTIATE_TEST_SUITE_P(
    Programs, ConfinementTest,
    testing::Values(Program{"lisafs-gofer", kFileCapabilities, ""},
                    Program{"lisafs-gofer", Bit(CAP_DAC_READ_SEARCH), ":ro"},
                    Program{"lisafs-gofer", kFileCapabilities | Bit(CAP_SETUID) | Bit(CAP_SETGID), ":uds-open"},
                    Program{"lisafs-gofer",
                            Bit(CAP_DAC_READ_SEARCH) | Bit(CAP_DAC_OVERRIDE) | Bit(CAP_SETUID) | Bit(CAP_SETGID),
                            ":ro:uds-open"},
                    Program{"lisafs-plugin", 0, ""}, Program{"lisafs-broker", Bit(CAP_SYS_ADMIN), ""},
                    Program{"lisafs-waker", Bit(CAP_DAC_OVERRIDE) | Bit(CAP_FOWNER), ""}),
    [](const auto& info) {
      std::string name = info.param.name.substr(strlen("lisafs-"));
      name[0] = static_cast<char>(toupper(name[0]));
      if (info.param.options.find("ro") != std::string::npos) name += "ReadOnly";
      if (info.param.options.find("uds") != std::string::npos) name += "WithSockets";
      return name;
    });

}  // namespace
}  // namespace lisafs::tests
