#ifndef LISAFS_SECCOMP_DENY_LIST_H_
#define LISAFS_SECCOMP_DENY_LIST_H_

#include <seccomp.h>

#include <string>
#include <vector>

#include "base/result.h"

// Which system calls a process may not make, though it may make all others: for programs that are trusted, and of which
// nobody can say what their libraries call, or what they start. What they start cannot make these calls either.
//
//   SeccompDenyList list;
//   list.Forbid(SCMP_SYS(bpf), "programs in the kernel");
//   if (auto installed = list.Install(); !installed) Die(installed.error().what, …);
//
// A forbidden call kills the process, as does any call by another architecture's numbers.

namespace lisafs {

// What an argument of a call (the first is 0) is compared with: forbidden where the comparison holds.
struct DenyCondition {
  scmp_arg_cmp comparison;
  std::string text;  // What it means, for documentation.
};

DenyCondition DenyIs(unsigned arg, uint64_t value, std::string text);
DenyCondition DenyMasked(unsigned arg, uint64_t mask, uint64_t value, std::string text);
// All values but this one, also those that only differ in bits that the kernel ignores.
DenyCondition DenyAllBut(unsigned arg, uint64_t value, std::string text);

class SeccompDenyList {
 public:
  struct Rule {
    int syscall;
    std::string why;
    std::vector<DenyCondition> conditions;  // All must hold; at most one for each argument.
  };

  // Rules for one call add up.
  SeccompDenyList& Forbid(int syscall, std::string why, std::vector<DenyCondition> conditions = {});

  const std::vector<Rule>& rules() const { return rules_; }

  // Puts the calling process, all its threads and all that they start under this list for good, and sets no_new_privs.
  StepResult<void> Install() const;

 private:
  std::vector<Rule> rules_;
};

}  // namespace lisafs

#endif  // LISAFS_SECCOMP_DENY_LIST_H_
