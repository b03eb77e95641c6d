#ifndef LISAFS_SECCOMP_POLICY_H_
#define LISAFS_SECCOMP_POLICY_H_

#include <seccomp.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

// fchmodat2 is younger than Debian's libseccomp and kernel headers. New calls have one number on every architecture.
#ifndef __NR_fchmodat2
#define __NR_fchmodat2 452  // NOLINT(bugprone-reserved-identifier): the headers' name
#endif

// Which system calls a process may make, as a list that says for each why it is needed:
//
//   SeccompPolicy policy;
//   policy.Allow(SCMP_SYS(fsync), "FSync")
//       .Allow(SCMP_SYS(openat), "walking", {ArgIsDescriptor(0), ArgHas(2, O_NOFOLLOW, "O_NOFOLLOW")})
//       .Refuse(SCMP_SYS(clone3), ENOSYS, "libc then uses clone, whose flags can be checked");
//   if (auto installed = policy.Install(); !installed) Die(installed.error().what, …);
//
// Everything else kills the process, as does a call by another architecture's numbers. The kernel's log then has a line
// of type 1326 with the call's number; OnViolation::kNameAndKill has the process say more.

namespace lisafs {

// A condition on one argument of a call (the first is 0): (argument & mask) == value.
struct ArgCondition {
  unsigned arg;
  uint64_t mask;
  uint64_t value;
  std::string text;  // What it means, for documentation.
};

// Most arguments are 32 bits wide, and the kernel ignores the register's other half: a condition must ignore it too, or
// it can be got around. `text` names what is compared, e.g. "F_GETFL".
ArgCondition ArgIs(unsigned arg, int value, std::string text);
// All of `flags` are set; none of `flags` is set.
ArgCondition ArgHas(unsigned arg, uint32_t flags, std::string text);
ArgCondition ArgLacks(unsigned arg, uint32_t flags, std::string text);
// The bits in `mask` are those in `value`, e.g. flags of which one must be set and others must not.
ArgCondition ArgMasked(unsigned arg, uint32_t mask, uint32_t value, std::string text);
// A descriptor, not AT_FDCWD or another negative number.
ArgCondition ArgIsDescriptor(unsigned arg);

enum class OnViolation {
  kKill,
  // Likewise, but the process first says on stderr which call it was and with which arguments, as far as it can: for
  // finding mistakes in a policy. The handler that does it is the process's own, and needs write to be
  // allowed. A process that was taken over may remove it and live on, but the call is not made.
  kNameAndKill,
};

class SeccompPolicy {
 public:
  struct Rule {
    int syscall;
    int error;  // 0: the call is made. Otherwise it is not, and this is its errno.
    std::string why;
    std::vector<ArgCondition> conditions;  // All must hold; at most one for each argument.
  };

  // Rules for one call add up: it is enough that one of them matches. Calls that a hot path makes should have no
  // conditions where none is needed: the kernel remembers them and does not run the filter.
  SeccompPolicy& Allow(int syscall, std::string why, std::vector<ArgCondition> conditions = {});
  SeccompPolicy& Refuse(int syscall, int error, std::string why, std::vector<ArgCondition> conditions = {});

  const std::vector<Rule>& rules() const { return rules_; }

  // Puts the calling process, all its threads, under this policy for good, and sets no_new_privs.
  StepResult<void> Install(OnViolation on_violation = OnViolation::kKill) const;

 private:
  std::vector<Rule> rules_;
};

// "openat"; of the machine's own architecture.
std::string SyscallName(int syscall);

}  // namespace lisafs

#endif  // LISAFS_SECCOMP_POLICY_H_
