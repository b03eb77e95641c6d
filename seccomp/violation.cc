#include "seccomp/violation.h"

#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

#include "seccomp/policy.h"

namespace lisafs {
namespace {

// Looked up beforehand: a handler must not allocate, and the call may have come from within malloc.
constexpr int kNamed = 512;
std::array<std::string, kNamed>& Names() {
  static auto& names = *new std::array<std::string, kNamed>;
  return names;
}

std::array<uint64_t, 6> Arguments(const ucontext_t& context) {
#if defined(__x86_64__)
  auto argument = [&](int which) { return static_cast<uint64_t>(context.uc_mcontext.gregs[which]); };
  return {argument(REG_RDI), argument(REG_RSI), argument(REG_RDX),
          argument(REG_R10), argument(REG_R8),  argument(REG_R9)};
#elif defined(__aarch64__)
  const auto& registers = context.uc_mcontext.regs;
  return {registers[0], registers[1], registers[2], registers[3], registers[4], registers[5]};
#else
#error "say here where this architecture has a system call's arguments"
#endif
}

// A line on the stack.
class Line {
 public:
  void Add(std::string_view text) {
    size_t n = text.copy(text_ + size_, sizeof text_ - size_);
    size_ += n;
  }
  void AddNumber(uint64_t number, int base) {
    char digits[24];
    auto end = std::to_chars(digits, digits + sizeof digits, number, base).ptr;
    Add({digits, static_cast<size_t>(end - digits)});
  }
  void Write() const {
    if (write(STDERR_FILENO, text_, size_) < 0) return;
  }

 private:
  char text_[320];
  size_t size_ = 0;
};

void NameAndDie(int, siginfo_t* info, void* context) {
  const std::array<uint64_t, 6> arguments = Arguments(*static_cast<const ucontext_t*>(context));
  const int call = info->si_syscall;
  Line line;
  line.Add("seccomp: ");
  line.Add(call >= 0 && call < kNamed ? std::string_view(Names()[call]) : "system call");
  line.Add(" (");
  line.AddNumber(static_cast<unsigned>(call), 10);
  line.Add(") is not allowed, with");
  for (uint64_t argument : arguments) {
    line.Add(" 0x");
    line.AddNumber(argument, 16);
  }
  line.Add(", at 0x");
  line.AddNumber(reinterpret_cast<uint64_t>(info->si_call_addr), 16);
  line.Add("\n");
  line.Write();
  // The handler is gone by now: made again, the call ends the process.
  syscall(call, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
  _exit(128 + SIGSYS);
}

}  // namespace

void NameViolations() {
  for (int call = 0; call < kNamed; ++call) Names()[call] = SyscallName(call);
  struct sigaction action = {};
  action.sa_sigaction = NameAndDie;
  action.sa_flags = SA_SIGINFO | SA_RESETHAND;
  sigaction(SIGSYS, &action, nullptr);
}

}  // namespace lisafs
