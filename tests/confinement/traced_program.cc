#include "tests/confinement/traced_program.h"

#include <elf.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace lisafs::tests {
namespace {

constexpr long kOptions = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                          PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;

void Continue(pid_t pid, int signal = 0) { ptrace(PTRACE_SYSCALL, pid, nullptr, static_cast<long>(signal)); }

bool IsSystemCallStop(int status) { return WIFSTOPPED(status) && WSTOPSIG(status) == (SIGTRAP | 0x80); }

// The signal to deliver when the process goes on after this stop.
int SignalOf(int status) {
  if (status >> 16 != 0 || IsSystemCallStop(status)) return 0;
  // A new process stops so, once, because it is traced.
  return WSTOPSIG(status) == SIGSTOP || WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
}

std::optional<SystemCall> EntryOf(pid_t pid) {
  __ptrace_syscall_info info;
  if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) <= 0) return std::nullopt;
  if (info.op != PTRACE_SYSCALL_INFO_ENTRY) return std::nullopt;
  SystemCall call = {pid, info.entry.nr, {}};
  std::ranges::copy(info.entry.args, call.args);
  return call;
}

void ReplaceCall(pid_t pid, uint64_t number) {
#if defined(__x86_64__)
  user_regs_struct registers;
  ptrace(PTRACE_GETREGS, pid, nullptr, &registers);
  registers.orig_rax = number;
  registers.rdi = registers.rsi = registers.rdx = registers.r10 = registers.r8 = registers.r9 = 0;
  ptrace(PTRACE_SETREGS, pid, nullptr, &registers);
#elif defined(__aarch64__)
  user_regs_struct registers;
  iovec whole = {&registers, sizeof registers};
  ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &whole);
  std::fill_n(registers.regs, 6, 0);
  ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &whole);
  int call = static_cast<int>(number);
  iovec part = {&call, sizeof call};
  ptrace(PTRACE_SETREGSET, pid, NT_ARM_SYSTEM_CALL, &part);
#else
#error "say here how this architecture's system call number is changed"
#endif
}

}  // namespace

TracedProgram::TracedProgram(const std::vector<std::string>& argv) {
  std::vector<char*> arguments;
  for (const std::string& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  pid_t pid = fork();
  if (pid == 0) {
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    raise(SIGSTOP);
    execv(arguments[0], arguments.data());
    _exit(127);
  }
  int status;
  if (pid < 0 || waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status)) abort();
  ptrace(PTRACE_SETOPTIONS, pid, nullptr, kOptions);
  live_.push_back(pid);
  waiting_ = pid;
}

TracedProgram::~TracedProgram() {
  for (pid_t pid : live_) kill(pid, SIGKILL);
  while (waitpid(-1, nullptr, __WALL) > 0) continue;
}

std::optional<SystemCall> TracedProgram::RunUntil(const std::function<bool(const SystemCall&)>& wanted) {
  Continue(std::exchange(waiting_, 0));
  int status;
  for (pid_t pid; (pid = waitpid(-1, &status, __WALL)) > 0;) {
    if (!WIFSTOPPED(status)) {
      std::erase(live_, pid);
      continue;
    }
    if (std::ranges::find(live_, pid) == live_.end()) live_.push_back(pid);
    if (IsSystemCallStop(status)) {
      auto call = EntryOf(pid);
      if (call && wanted(*call)) {
        waiting_ = pid;
        return call;
      }
    }
    Continue(pid, SignalOf(status));
  }
  return std::nullopt;
}

int TracedProgram::MakeInstead(const SystemCall& waiting, uint64_t number) {
  ReplaceCall(waiting.pid, number);
  Continue(std::exchange(waiting_, 0));
  int status;
  for (pid_t pid; (pid = waitpid(-1, &status, __WALL)) > 0;) {
    if (!WIFSTOPPED(status)) {
      std::erase(live_, pid);
      if (pid == waiting.pid) return status;
      continue;
    }
    if (pid == waiting.pid && IsSystemCallStop(status) && EntryOf(pid)) {
      waiting_ = pid;
      return -1;
    }
    Continue(pid, SignalOf(status));
  }
  return -1;
}

}  // namespace lisafs::tests
