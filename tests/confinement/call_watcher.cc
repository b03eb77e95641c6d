#include "tests/confinement/call_watcher.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <set>
#include <span>
#include <string>

#include "tests/support/files.h"

namespace lisafs::tests {
namespace {

constexpr size_t kMaxRules = 512;
constexpr size_t kMaxCalls = 1024;
constexpr long kOptions = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE;

bool Matches(const SeccompPolicy::Rule& rule, uint64_t call, std::span<const uint64_t> args) {
  if (rule.syscall < 0 || static_cast<uint64_t>(rule.syscall) != call) return false;
  for (const ArgCondition& condition : rule.conditions) {
    if ((args[condition.arg] & condition.mask) != condition.value) return false;
  }
  return true;
}

}  // namespace

struct CallWatcher::Seen {
  std::atomic<bool> attached;
  std::atomic<bool> rules[kMaxRules];
  std::atomic<bool> unmatched[kMaxCalls];

  void Note(std::span<const SeccompPolicy::Rule> policy, uint64_t call, std::span<const uint64_t> args) {
    bool matched = false;
    for (size_t i = 0; i < policy.size(); ++i) {
      if (!Matches(policy[i], call, args)) continue;
      rules[i] = matched = true;
    }
    if (!matched && call < kMaxCalls) unmatched[call] = true;
  }

  // In the child, until the process ends or the test kills the child, with which the tracing ends.
  void Trace(pid_t pid, std::span<const SeccompPolicy::Rule> policy) {
    // Whoever is not traced yet may start a thread meanwhile; those that are traced ones' come to the tracer by
    // themselves.
    std::set<std::string> known;
    for (size_t before = SIZE_MAX; before != known.size();) {
      before = known.size();
      for (const std::string& thread : ListDirectory("/proc/" + std::to_string(pid) + "/task")) {
        if (!known.insert(thread).second) continue;
        const pid_t tid = std::stoi(thread);
        const bool seized = ptrace(PTRACE_SEIZE, tid, nullptr, kOptions) == 0;
        if (seized ? ptrace(PTRACE_INTERRUPT, tid, nullptr, nullptr) != 0 : errno != EPERM && errno != ESRCH) _exit(1);
      }
    }
    if (known.empty()) _exit(1);
    attached = true;
    int status;
    for (pid_t tid; (tid = waitpid(-1, &status, __WALL)) > 0;) {
      if (!WIFSTOPPED(status)) continue;
      long deliver = 0;
      __ptrace_syscall_info info;
      if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
        if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof info, &info) > 0 && info.op == PTRACE_SYSCALL_INFO_ENTRY) {
          Note(policy, info.entry.nr, info.entry.args);
        }
      } else if (status >> 16 == 0) {
        deliver = WSTOPSIG(status);
      }
      ptrace(PTRACE_SYSCALL, tid, nullptr, deliver);
    }
    while (true) pause();  // So that the number stays this child's.
  }
};

CallWatcher::CallWatcher(pid_t pid, const SeccompPolicy& policy) : rules_(policy.rules()) {
  void* shared = mmap(nullptr, sizeof(Seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED || rules_.size() > kMaxRules) abort();
  seen_ = new (shared) Seen();
  tracer_ = fork();
  if (tracer_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    // A connection that the test closes is to be closed.
    syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 0);
    seen_->Trace(pid, rules_);
  }
  EXPECT_TRUE(Eventually(kPatience, [&] { return seen_->attached.load(); })) << "cannot trace " << pid;
}

CallWatcher::~CallWatcher() {
  kill(tracer_, SIGKILL);
  while (waitpid(tracer_, nullptr, 0) < 0 && errno == EINTR) continue;
  munmap(seen_, sizeof(Seen));
}

std::vector<std::string> CallWatcher::Unused() const {
  std::vector<std::string> unused;
  for (size_t i = 0; i < rules_.size(); ++i) {
    if (!seen_->rules[i]) unused.push_back(RuleName(rules_[i]));
  }
  return unused;
}

std::vector<std::string> CallWatcher::Unmatched() const {
  std::vector<std::string> unmatched;
  for (size_t call = 0; call < kMaxCalls; ++call) {
    if (seen_->unmatched[call]) unmatched.push_back(SyscallName(static_cast<int>(call)));
  }
  return unmatched;
}

std::string RuleName(const SeccompPolicy::Rule& rule) {
  std::string conditions;
  for (const ArgCondition& condition : rule.conditions) {
    conditions += (conditions.empty() ? " (" : "; ") + std::to_string(condition.arg) + ": " + condition.text;
  }
  return SyscallName(rule.syscall) + (conditions.empty() ? "" : conditions + ")");
}

}  // namespace lisafs::tests
