#include "seccomp/trusted_deny_list.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "seccomp/policy_testing.h"

namespace lisafs {
namespace {

std::string Outcome(const TrustedDenyListOptions& options, void (*call)()) {
  return OutcomeOf([&] {
    if (auto installed = TrustedDenyList(options).Install(); !installed) _exit(99);
    call();
  });
}

struct Case {
  const char* name;
  void (*call)();
};

const Case kForbidden[] = {
    {"bpf", [] { syscall(SYS_bpf, 0, nullptr, 0); }},
    {"a module", [] { syscall(SYS_finit_module, -1, "", 0); }},
    {"kexec", [] { syscall(SYS_kexec_load, 0, 0, nullptr, 0); }},
    {"perf", [] { syscall(SYS_perf_event_open, nullptr, 0, -1, -1, 0); }},
    {"userfaultfd", [] { syscall(SYS_userfaultfd, 0); }},
    {"another's memory", [] { syscall(SYS_process_vm_readv, getppid(), nullptr, 0, nullptr, 0, 0); }},
    {"a key", [] { syscall(SYS_add_key, "user", "lisafs", "", 0, 0); }},
    {"reading keys", [] { syscall(SYS_keyctl, KEYCTL_READ, 0, nullptr, 0); }},
    {"keys, by a number that means the same", [] { syscall(SYS_keyctl, (1L << 32) | 1, nullptr); }},
    {"typing", [] { ioctl(0, TIOCSTI, "x"); }},
    {"the clock", [] { syscall(SYS_clock_settime, CLOCK_REALTIME, nullptr); }},
    {"swap", [] { syscall(SYS_swapon, "/none", 0); }},
    {"a handle", [] { syscall(SYS_open_by_handle_at, -1, nullptr, 0); }},
    {"a disk", [] { mknod("/none/x", S_IFBLK | 0600, 0); }},
    {"a character device", [] { mknodat(AT_FDCWD, "/none/x", S_IFCHR | 0600, makedev(1, 3)); }},
    {"packets", [] { socket(AF_PACKET, SOCK_RAW, 0); }},
    {"raw packets", [] { socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, 1); }},
    {"a ring", [] { syscall(SYS_io_uring_setup, 1, nullptr); }},
    {"a program without a name", [] { syscall(SYS_execveat, -1, "", nullptr, nullptr, AT_EMPTY_PATH); }},
#ifndef __SANITIZE_ADDRESS__
    {"tracing", [] { ptrace(PTRACE_TRACEME, 0, nullptr, nullptr); }},
#endif
};

TEST(TrustedDenyList, ForbidsWhatNobodyNeeds) {
  for (const Case& c : kForbidden) {
    EXPECT_EQ(Outcome({}, c.call), kKilled) << c.name;
    EXPECT_EQ(Outcome({}, c.call), kKilled) << c.name;
  }
}

void Spawn() {
  char name[] = "true";
  char* argv[] = {name, nullptr};
  pid_t pid;
  int status = 1;
  if (posix_spawnp(&pid, "true", nullptr, nullptr, argv, environ) != 0 || waitpid(pid, &status, 0) != pid) _exit(1);
  if (status != 0) _exit(2);
}

TEST(TrustedDenyList, LeavesWhatIsNeeded) {
  constexpr Case kNeeded[] = {
      {"files and sockets",
       [] {
         if (open("/", O_RDONLY) < 0 || socket(AF_UNIX, SOCK_STREAM, 0) < 0) _exit(1);
         // Whether there is IPv4 is not the question.
         socket(AF_INET, SOCK_STREAM, 0);
       }},
      {"a FIFO and a whiteout, which are no devices",
       [] {
         mknod("/none/x", S_IFIFO | 0600, 0);
         mknodat(AT_FDCWD, "/none/x", S_IFCHR | 0600, 0);
       }},
      {"a new session keyring", [] { syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr); }},
      {"namespaces and mounts",
       [] {
         syscall(SYS_setns, -1, 0);
         syscall(SYS_open_tree, -1, "", 0);
         syscall(SYS_pidfd_getfd, -1, 0, 0);
       }},
  };
  for (const Case& c : kNeeded) {
    EXPECT_EQ(Outcome({}, c.call), kSurvived) << c.name;
    EXPECT_EQ(Outcome({}, c.call), kSurvived) << c.name;
  }
}

TEST(TrustedDenyList, LeavesProgramsThreadsAndRingsToThoseWhoNeedThem) {
  EXPECT_EQ(Outcome({}, Spawn), kSurvived);
  EXPECT_EQ(Outcome({}, [] { std::thread([] {}).join(); }), kSurvived);
  EXPECT_EQ(Outcome({.fuse_io_uring = true}, [] { syscall(SYS_io_uring_setup, 0, nullptr); }), kSurvived);
}

// What is started has no way round.
TEST(TrustedDenyList, IsInherited) {
  EXPECT_EQ(Outcome({},
                    [] {
                      const pid_t pid = fork();
                      if (pid == 0) {
                        syscall(SYS_bpf, 0, nullptr, 0);
                        _exit(0);
                      }
                      int status = 0;
                      waitpid(pid, &status, 0);
                      _exit(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS ? 0 : 1);
                    }),
            kSurvived);
}

}  // namespace
}  // namespace lisafs
