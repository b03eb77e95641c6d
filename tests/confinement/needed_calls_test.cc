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
#include <fstream>
#include <map>
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

void ExpectAllUsed(const CallWatcher& watcher) {
  for (const std::string& rule : watcher.Unused()) {
    bool excused = std::ranges::any_of(kNotAtWork, [&](const auto& each) { return rule.starts_with(each.first); });
    EXPECT_TRUE(excused) << rule << " is allowed, and nothing made use of it";
  }
  EXPECT_EQ(watcher.Unmatched(), std::vector<std::string>{});
}

// The gofer serves as a child of the process that was started.
pid_t ServingPid(const Process& started) {
  const std::string pid = std::to_string(started.pid());
  pid_t child = 0;
  Eventually(std::chrono::seconds(10), [&] {
    std::ifstream("/proc/" + pid + "/task/" + pid + "/children") >> child;
    return child > 0 && ProcessStatus(child, "Seccomp") == "2";
  });
  return child;
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

// At work: all that the conformance suite asks of a server.
TEST_P(GoferCallsTest, EachIsNeeded) {
  if (geteuid() != 0) GTEST_SKIP() << "tracing, and lisafs-gofer, want root";
  const conformance::Serving& serving = GetParam();
  umask(0);
  TempDir directory;
  ASSERT_EQ(chmod(directory.path().c_str(), 0777), 0);
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  Fd server(ends[0]), client(ends[1]);
  ASSERT_EQ(fcntl(client.get(), F_SETFD, FD_CLOEXEC), 0);
  const std::string options = std::string(serving.read_only ? ":ro" : "") +
                              (serving.sockets ? ":uds-open:uds-create" : "") + (serving.fifos ? ":fifo" : "");
  Process gofer({DataFile("gofer/lisafs-gofer"), "--name-violations", "--serve",
                 std::to_string(server.get()) + "=" + directory.path() + options},
                {});
  server.reset();
  const pid_t pid = ServingPid(gofer);
  CallWatcher watcher(pid, GoferPolicy({.proc_self_fd = ProcSelfFd(pid),
                                        .read_only = serving.read_only,
                                        .open_sockets = serving.sockets,
                                        .create_sockets = serving.sockets}));
  {
    std::vector<std::string> errors;
    const auto expectations = conformance::Expectations::Parse("", errors);
    conformance::Session session(std::move(client), directory.path(), serving, expectations);
    for (const conformance::Case& each : conformance::AllCases()) {
      // Whether the answers are right is not the question here: under a tracer they come late.
      if (!each.RunsOn(serving) || each.own_connection) continue;
      if (each.over != conformance::Case::Over::kChannel) session.Run(each, false);
      if (each.over != conformance::Case::Over::kSocket) session.Run(each, true);
    }
  }
  // The session is over.
  Ran ran = gofer.Wait(std::chrono::seconds(10));
  EXPECT_TRUE(ran.ok()) << ran;
  ExpectAllUsed(watcher);
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

TEST(PluginCallsTest, EachIsNeeded) {
  if (geteuid() != 0) GTEST_SKIP() << "tracing, and FUSE, want root";
  MountedDirectory files({});
  ASSERT_TRUE(files.ok());
  CallWatcher watcher(files.plugin_pid(), PluginPolicy(/*io_uring=*/false));
  UseFiles(files);
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
  Eventually(std::chrono::seconds(passed_through ? 10 : 0),
             [&] { return std::ranges::none_of(watcher.Unused(), asks_for); });
  EXPECT_TRUE(files.Unmount());
  EXPECT_TRUE(files.BothEnd());
  if (!passed_through) GTEST_SKIP() << "the kernel passes nothing through";
  ExpectAllUsed(watcher);
}

}  // namespace
}  // namespace lisafs::tests
