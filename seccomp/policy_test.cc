#include "seccomp/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "seccomp/policy_testing.h"

namespace lisafs {
namespace {

// What a child needs to end and to say why, also when it is built with a sanitizer.
SeccompPolicy Minimal() {
  SeccompPolicy policy;
  policy.Allow(SCMP_SYS(exit_group), "the end").Allow(SCMP_SYS(write), "stderr");
  for (int call : {SCMP_SYS(sigaltstack), SCMP_SYS(mmap), SCMP_SYS(munmap)}) policy.Allow(call, "sanitizers");
  return policy;
}

TEST(SeccompPolicy, KillsWhatIsNotAllowed) {
  auto outcome = [](int number) {
    return OutcomeOf([number] {
      SeccompPolicy policy = Minimal();
      InstallOrExit(policy.Allow(SYS_getppid, "test"));
      syscall(number);
    });
  };
  EXPECT_EQ(outcome(SYS_getppid), kSurvived);
  EXPECT_EQ(outcome(SYS_getuid), kKilled);
  EXPECT_EQ(outcome(100'000), kKilled);
}

#ifdef __x86_64__
TEST(SeccompPolicy, KillsCallsOfOtherArchitectures) {
  constexpr int kX32 = 0x40000000;
  auto with_getpid = [] {
    SeccompPolicy policy = Minimal();
    InstallOrExit(policy.Allow(SYS_getpid, "test").Allow(20 /* the same for i386 */, "test"));
  };
  EXPECT_EQ(OutcomeOf([&] {
              with_getpid();
              syscall(kX32 | SYS_getpid);
            }),
            kKilled);
  EXPECT_EQ(OutcomeOf([&] {
              with_getpid();
              int number = 20;
              asm volatile("int $0x80" : "+a"(number) : : "memory");
            }),
            kKilled);
}
#endif

// What a child says that breaks its policy, which names violations.
std::string LastWords(const std::function<void()>& body, std::string& outcome) {
  int ends[2];
  if (pipe(ends) < 0) return "no pipe";
  outcome = OutcomeOf([&] {
    dup2(ends[1], STDERR_FILENO);
    SeccompPolicy policy = Minimal();
    policy.Allow(SYS_futex, "threads").Allow(SYS_madvise, "threads").Allow(SYS_exit, "threads");
    if (!policy.Install(OnViolation::kNameAndKill)) _exit(99);
    body();
  });
  close(ends[1]);
  char text[1000];
  ssize_t n = read(ends[0], text, sizeof text);
  close(ends[0]);
  return {text, static_cast<size_t>(std::max<ssize_t>(n, 0))};
}

TEST(SeccompPolicy, NamesAViolation) {
  std::string outcome;
  std::string said = LastWords([] { syscall(SYS_openat, AT_FDCWD, nullptr, O_RDONLY, 0x1234, 0, 7); }, outcome);
  EXPECT_EQ(outcome, kKilled);
  EXPECT_EQ(said.find("seccomp: openat (" + std::to_string(SYS_openat) +
                      ") is not allowed, with 0xffffff9c 0x0 0x0 0x1234 0x0 0x7, at 0x"),
            0u)
      << said;
  EXPECT_EQ(said.find('\n'), said.size() - 1) << "one line: " << said;
  said = LastWords([] { syscall(100'000); }, outcome);
  EXPECT_EQ(outcome, kKilled);
  EXPECT_EQ(said.find("seccomp: system call (100000) is not allowed"), 0u) << said;
}

TEST(SeccompPolicy, ViolationsOfManyThreadsAtOnceEndTheProcess) {
  EXPECT_EQ(OutcomeOf([] {
              std::atomic<bool> go = false;
              for (int i = 0; i < 4; ++i) {
                std::thread([&] {
                  while (!go) continue;
                  syscall(SYS_getuid);
                }).detach();
              }
              close(STDERR_FILENO);
              if (!Minimal().Install(OnViolation::kNameAndKill)) _exit(99);
              go = true;
              while (true) continue;
            }),
            kKilled);
}

TEST(SeccompPolicy, RefusesWithAnErrno) {
  EXPECT_EQ(OutcomeOf([] {
              SeccompPolicy policy = Minimal();
              InstallOrExit(policy.Refuse(SYS_getppid, ENOSYS, "test"));
              _exit(syscall(SYS_getppid) == -1 && errno == ENOSYS ? 0 : 1);
            }),
            kSurvived);
}

TEST(SeccompPolicy, Conditions) {
  constexpr long kHighGarbage = 0x7'0000'0000;
  struct {
    const char* name;
    ArgCondition condition;
    long argument;
    bool allowed;
  } cases[] = {
      {"is", ArgIs(1, 5, ""), 5, true},
      {"is, whatever the upper half", ArgIs(1, 5, ""), kHighGarbage | 5, true},
      {"is another", ArgIs(1, 5, ""), 4, false},
      {"is negative", ArgIs(1, -100, ""), -100, true},
      {"is negative, zero-extended", ArgIs(1, -100, ""), static_cast<uint32_t>(-100), true},
      {"has all", ArgHas(1, 6, ""), 7, true},
      {"has one", ArgHas(1, 6, ""), 5, false},
      {"lacks", ArgLacks(1, 6, ""), 9, true},
      {"lacks not all", ArgLacks(1, 6, ""), 2, false},
      {"masked", ArgMasked(1, 0xf, 0x3, ""), 0xf3, true},
      {"masked otherwise", ArgMasked(1, 0xf, 0x3, ""), 0xf2, false},
      {"descriptor 0", ArgIsDescriptor(1), 0, true},
      {"descriptor", ArgIsDescriptor(1), 1'000'000, true},
      {"AT_FDCWD", ArgIsDescriptor(1), AT_FDCWD, false},
      {"AT_FDCWD, zero-extended", ArgIsDescriptor(1), static_cast<uint32_t>(AT_FDCWD), false},
      {"AT_FDCWD and garbage", ArgIsDescriptor(1), kHighGarbage | static_cast<uint32_t>(AT_FDCWD), false},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(OutcomeOf([&] {
                SeccompPolicy policy = Minimal();
                InstallOrExit(policy.Allow(SYS_lseek, "test", {c.condition}));
                syscall(SYS_lseek, -1, c.argument, 0);
              }),
              c.allowed ? kSurvived : kKilled)
        << c.name;
  }
}

TEST(SeccompPolicy, RulesForOneCallAddUp) {
  auto outcome = [](int whence, long offset) {
    return OutcomeOf([=] {
      SeccompPolicy policy = Minimal();
      policy.Allow(SYS_lseek, "test", {ArgIs(2, 1, ""), ArgHas(1, 4, "")})
          .Allow(SYS_lseek, "test", {ArgIs(2, 2, "")})
          .Refuse(SYS_lseek, EDOM, "test", {ArgIs(2, 3, "")});
      InstallOrExit(policy);
      if (syscall(SYS_lseek, -1, offset, whence) == -1 && errno == EDOM) _exit(33);
    });
  };
  EXPECT_EQ(outcome(1, 4), kSurvived);
  EXPECT_EQ(outcome(1, 0), kKilled);
  EXPECT_EQ(outcome(2, 0), kSurvived);
  EXPECT_EQ(outcome(3, 0), "exit 33");
  EXPECT_EQ(outcome(4, 4), kKilled);
}

// Some rules of a program are shared, and its own may admit more.
TEST(SeccompPolicy, AnUnconditionalRuleWinsWhereverItStands) {
  for (bool first : {true, false}) {
    EXPECT_EQ(OutcomeOf([first] {
                SeccompPolicy policy = Minimal();
                if (first) policy.Allow(SYS_lseek, "test");
                policy.Allow(SYS_lseek, "test", {ArgIs(2, 1, "")});
                if (!first) policy.Allow(SYS_lseek, "test");
                InstallOrExit(policy);
                syscall(SYS_lseek, -1, 0, 5);
              }),
              kSurvived)
        << (first ? "first" : "last");
  }
}

TEST(SeccompPolicy, HoldsForThreadsThatRunAlready) {
  EXPECT_EQ(OutcomeOf([] {
              int ends[2];
              if (pipe(ends) < 0) _exit(1);
              std::thread other([&] {
                char byte;
                if (read(ends[0], &byte, 1) == 1) getuid();
              });
              SeccompPolicy policy = Minimal();
              InstallOrExit(policy.Allow(SYS_read, "test").Allow(SYS_futex, "test"));
              if (write(ends[1], "", 1) == 1) other.join();
            }),
            kKilled);
}

TEST(SeccompPolicy, SaysWhatFailed) {
  SeccompPolicy policy;
  policy.Allow(SYS_lseek, "test", {ArgIs(6, 1, "there is no such argument")});
  auto installed = policy.Install();
  ASSERT_FALSE(installed);
  EXPECT_EQ(installed.error().what, "add a seccomp rule for lseek");
  EXPECT_EQ(installed.error().error, Errno(EINVAL));
}

TEST(SyscallName, KnowsYoungCallsAndNumbersThatAreNone) {
  EXPECT_EQ(SyscallName(SYS_openat), "openat");
  EXPECT_EQ(SyscallName(__NR_fchmodat2), "fchmodat2");
  EXPECT_EQ(SyscallName(100'000), "system call 100000");
}

}  // namespace
}  // namespace lisafs
