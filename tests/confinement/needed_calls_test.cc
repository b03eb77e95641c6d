// Each system call that a policy allows is needed: programs at work are watched, and a rule that no call has matched by
// the end fails the test, unless it is for what does not happen to a program at work.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/fd.h"
#include "lisafs/messages.h"
#include "seccomp/broker_policy.h"
#include "seccomp/gofer_policy.h"
#include "seccomp/plugin_policy.h"
#include "tests/confinement/call_watcher.h"
#include "tests/conformance/suite.h"
#include "tests/filesystem/mounted_directory.h"
#include "tests/support/files.h"
#include "tests/support/process.h"

namespace lisafs::tests {
namespace {

// By the beginning of a rule's name.
const std::map<std::string, std::string> kNotAtWork = {
    {"tgkill", "abort"},
    {"getpid", "abort"},
    {"gettid", "abort, and locks that check their owner"},
    {"rt_sigaction", "abort"},
    {"rt_sigreturn", "the end of a signal's handler"},
    {"sigaltstack", "builds with sanitizers"},
    {"writev", "libc's words before it aborts"},
    {"sendto", "the plugin's socket lane, at the start"},
    {"poll", "a socket or a device that does not wait by itself"},
    {"write", "errors, and the line that says ready"},
    {"munmap", "libc's choice"},
    {"restart_syscall", "a process that was stopped"},
    {"clock_gettime", "a clock without vDSO"},
    {"clock_nanosleep", "waiting for what seldom happens"},
    {"getrandom", "libc's choice"},
    {"brk", "libc's choice"},
    {"mremap", "libc's choice"},
    {"madvise", "libc's choice"},
    {"openat (0: AT_FDCWD)", "libc's choice"},
    {"sched_getaffinity", "at the start"},
    {"sched_yield", "a busy machine"},
    {"ppoll", "poll, where there is only this"},
    {"futex (1: FUTEX_WAKE_BITSET)", "condition variables of libcs to come"},
    {"futex (1: FUTEX_WAIT_BITSET)", "a thread that has to wait for another"},
    {"futex (1: FUTEX_WAIT)", "a thread that has to wait for another"},
    {"fchmodat (", "Linux before 6.6"},
};

void ExpectExcused(const std::vector<std::string>& unused) {
  for (const std::string& rule : unused) {
    bool excused = std::ranges::any_of(kNotAtWork, [&](const auto& each) { return rule.starts_with(each.first); });
    EXPECT_TRUE(excused) << rule << " is allowed, and nothing made use of it";
  }
}

// Of all rules, but for those that `but` has too.
void ExpectAllUsed(const CallWatcher& watcher, const SeccompPolicy& but = {}) {
  std::set<std::string> others;
  for (const SeccompPolicy::Rule& rule : but.rules()) others.insert(RuleName(rule));
  std::vector<std::string> unused = watcher.Unused();
  std::erase_if(unused, [&](const std::string& rule) { return others.contains(rule); });
  ExpectExcused(unused);
  EXPECT_EQ(watcher.Unmatched(), std::vector<std::string>{});
}

// The gofer serves as a child of the process that was started.
pid_t ServingPid(const Process& started) {
  const std::string pid = std::to_string(started.pid());
  pid_t child = 0;
  Eventually(kPatience, [&] {
    std::ifstream("/proc/" + pid + "/task/" + pid + "/children") >> child;
    return child > 0 && ProcessStatus(child, "Seccomp") == "2";
  });
  return child;
}

// The number of the gofer's fanotify group.
int WatchFd(pid_t gofer) {
  const std::string directory = "/proc/" + std::to_string(gofer) + "/fd/";
  for (const std::string& number : ListDirectory(directory)) {
    std::error_code error;
    if (std::filesystem::read_symlink(directory + number, error) == "anon_inode:[fanotify]") return std::stoi(number);
  }
  return -1;
}

// The number that /proc/self/fd has in the gofer.
int ProcSelfFd(pid_t gofer) {
  const std::string directory = "/proc/" + std::to_string(gofer) + "/fd/";
  for (const std::string& number : ListDirectory(directory)) {
    struct statfs system;
    if (statfs((directory + number).c_str(), &system) == 0 && system.f_type == PROC_SUPER_MAGIC)
      return std::stoi(number);
  }
  ADD_FAILURE() << "the gofer has no /proc/self/fd";
  return -1;
}

class GoferCallsTest : public testing::TestWithParam<conformance::Serving> {};

// A case with the lane that it is run over.
struct Planned {
  const conformance::Case* test_case;
  bool over_channel;
};
// What is run on one connection: all cases that can share one, or one that cannot.
using Plan = std::vector<Planned>;

std::vector<Plan> PlanFor(const conformance::Serving& serving, bool own_connection) {
  using Over = conformance::Case::Over;
  std::vector<Plan> connections;
  for (const conformance::Case& each : conformance::AllCases()) {
    if (!each.RunsOn(serving) || each.own_connection != own_connection) continue;
    for (bool over_channel : {false, true}) {
      if (each.over == (over_channel ? Over::kSocket : Over::kChannel)) continue;
      if (own_connection || connections.empty()) connections.emplace_back();
      connections.back().push_back({&each, over_channel});
    }
  }
  return connections;
}

// The rules that a gofer made no use of while all this was asked of it.
std::set<std::string> UnusedBy(const std::vector<Plan>& connections, const conformance::Serving& serving) {
  TempDir directory;
  EXPECT_EQ(chmod(directory.path().c_str(), 0777), 0);
  const std::string options = std::string(serving.read_only ? ":ro" : "") +
                              (serving.sockets ? ":uds-open:uds-create" : "") + (serving.fifos ? ":fifo" : "");
  std::vector<std::string> command = {DataFile("gofer/lisafs-gofer"), "--name-violations"};
  std::vector<Fd> servers, clients;
  for (size_t i = 0; i < connections.size(); ++i) {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    servers.emplace_back(ends[0]);
    clients.emplace_back(ends[1]);
    EXPECT_EQ(fcntl(ends[1], F_SETFD, FD_CLOEXEC), 0);
    command.insert(command.end(), {"--serve", std::to_string(ends[0]) + "=" + directory.path() + options});
  }
  Process gofer(command, {});
  servers.clear();
  const pid_t pid = ServingPid(gofer);
  CallWatcher watcher(pid, GoferPolicy({.proc_self_fd = ProcSelfFd(pid),
                                        .read_only = serving.read_only,
                                        .open_sockets = serving.sockets,
                                        .create_sockets = serving.sockets}));
  std::vector<std::string> errors;
  const auto expectations = conformance::Expectations::Parse("", errors);
  for (size_t i = 0; i < connections.size(); ++i) {
    conformance::Session session(std::move(clients[i]), directory.path(), serving, expectations);
    // Whether the answers are right is not the question here: under a tracer they come late.
    for (const auto& [test_case, over_channel] : connections[i]) session.Run(*test_case, over_channel);
  }
  // The sessions are over.
  Ran ran = gofer.Wait(kPatience);
  EXPECT_TRUE(ran.ok()) << ran;
  EXPECT_EQ(watcher.Unmatched(), std::vector<std::string>{});
  const std::vector<std::string> unused = watcher.Unused();
  return {unused.begin(), unused.end()};
}

// At work: all that the conformance suite asks of a server.
TEST_P(GoferCallsTest, EachIsNeeded) {
  if (geteuid() != 0) GTEST_SKIP() << "tracing, and lisafs-gofer, want root";
  umask(0);
  const auto sharing = UnusedBy(PlanFor(GetParam(), false), GetParam());
  const auto alone = UnusedBy(PlanFor(GetParam(), true), GetParam());
  std::vector<std::string> unused;
  std::ranges::set_intersection(sharing, alone, std::back_inserter(unused));
  ExpectExcused(unused);
}

INSTANTIATE_TEST_SUITE_P(Mounts, GoferCallsTest,
                         testing::Values(conformance::Serving{.sockets = true, .fifos = true},
                                         conformance::Serving{.read_only = true}),
                         [](const auto& info) { return info.param.read_only ? "ReadOnly" : "WritableWithSockets"; });

void Check(bool holds, const char* what) { EXPECT_TRUE(holds) << what << ": " << strerror(errno); }
#define CHECK_CALL(call) Check((call) >= 0, #call)

// What containers do to files.
void UseFiles(const MountedDirectory& files) {
  std::string block(300'000, 'x');
  for (const char* name : {"one", "two"}) {
    Fd file(open((files / name).c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644));
    CHECK_CALL(file.get());
    CHECK_CALL(write(file.get(), block.data(), block.size()));
    CHECK_CALL(fallocate(file.get(), FALLOC_FL_KEEP_SIZE, 0, 1 << 20));
    CHECK_CALL(lseek(file.get(), 0, SEEK_DATA));
    CHECK_CALL(lseek(file.get(), 0, SEEK_HOLE));
    CHECK_CALL(fdatasync(file.get()));
    CHECK_CALL(fsync(file.get()));
    CHECK_CALL(posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED));
    CHECK_CALL(pread(file.get(), block.data(), block.size(), 0));
    CHECK_CALL(ftruncate(file.get(), 100'000));
  }
  Fd from(open((files / "one").c_str(), O_RDONLY | O_CLOEXEC)), to(open((files / "two").c_str(), O_RDWR | O_CLOEXEC));
  CHECK_CALL(copy_file_range(from.get(), nullptr, to.get(), nullptr, 50'000, 0));
  CHECK_CALL(mkdir((files / "directory").c_str(), 0755));
  CHECK_CALL(rename((files / "one").c_str(), (files / "directory/one").c_str()));
  CHECK_CALL(symlink("target", (files / "link").c_str()));
  EXPECT_FALSE(ListDirectory(files.mounted()).empty());
  CHECK_CALL(unlink((files / "two").c_str()));
}

// What a gofer may do only if it is to tell what others change. The suite's client does not listen.
TEST(WatchingCallsTest, EachIsNeeded) {
  if (geteuid() != 0) GTEST_SKIP() << "tracing, and FUSE, want root";
  MountedDirectory files({.watch = true});
  ASSERT_TRUE(files.ok());
  const pid_t gofer = files.gofer_pid();
  const int watch_fd = WatchFd(gofer);
  if (watch_fd < 0) GTEST_SKIP() << "the kernel tells no changes";
  const int proc_self_fd = ProcSelfFd(gofer);
  const SeccompPolicy without = GoferPolicy({.proc_self_fd = proc_self_fd});
  CallWatcher watcher(gofer, GoferPolicy({.proc_self_fd = proc_self_fd, .watch_fd = watch_fd}));
  UseFiles(files);
  CHECK_CALL(mkdir(files.OnHost("directory/new").c_str(), 0755));
  EXPECT_TRUE(Eventually(kPatience, [&] {
    struct stat found;
    return stat((files / "directory/new").c_str(), &found) == 0;
  }));
  EXPECT_TRUE(files.Unmount());
  EXPECT_TRUE(files.BothEnd());
  ExpectAllUsed(watcher, without);
}

TEST(PluginCallsTest, EachIsNeeded) {
  if (geteuid() != 0) GTEST_SKIP() << "tracing, and FUSE, want root";
  MountedDirectory files({});
  ASSERT_TRUE(files.ok());
  CallWatcher watcher(files.plugin_pid(), PluginPolicy(files.io_uring()));
  UseFiles(files);
  // Whoever waits for the gofer is then told.
  files.KillGofer();
  EXPECT_TRUE(Eventually(kPatience, [&] {
    return std::ranges::none_of(watcher.Unused(), [](const std::string& rule) { return rule.starts_with("shutdown"); });
  }));
  EXPECT_TRUE(files.Unmount());
  EXPECT_TRUE(files.BothEnd());
  ExpectAllUsed(watcher);
}

TEST(BrokerCallsTest, EachIsNeeded) {
  if (geteuid() != 0) GTEST_SKIP() << "tracing, and FUSE, want root";
  MountedDirectory files({.passthrough = true});
  ASSERT_TRUE(files.ok());
  CallWatcher watcher(files.broker_pid(), BrokerPolicy());
  UseFiles(files);
  const bool passed_through = files.Calls(Mid::kOpenBacking) > 0;
  // A file that was closed is given up a moment later, and at the end not at all.
  auto asks_for = [&](const std::string& rule) { return rule.starts_with("ioctl"); };
  Eventually(passed_through ? kPatience : std::chrono::seconds(0),
             [&] { return std::ranges::none_of(watcher.Unused(), asks_for); });
  EXPECT_TRUE(files.Unmount());
  EXPECT_TRUE(files.BothEnd());
  if (!passed_through) GTEST_SKIP() << "the kernel passes nothing through";
  ExpectAllUsed(watcher);
}

}  // namespace
}  // namespace lisafs::tests
