#include "seccomp/deny_list.h"

#include <utility>

#include "seccomp/filter.h"
#include "seccomp/policy.h"

namespace lisafs {
DenyCondition DenyIs(unsigned arg, uint64_t value, std::string text) {
  return DenyMasked(arg, 0xffffffff, value, std::move(text));
}

DenyCondition DenyMasked(unsigned arg, uint64_t mask, uint64_t value, std::string text) {
  return {{arg, SCMP_CMP_MASKED_EQ, mask, value}, std::move(text)};
}

DenyCondition DenyAllBut(unsigned arg, uint64_t value, std::string text) {
  return {{arg, SCMP_CMP_NE, value, 0}, "not " + std::move(text)};
}

SeccompDenyList& SeccompDenyList::Forbid(int syscall, std::string why, std::vector<DenyCondition> conditions) {
  rules_.push_back({syscall, std::move(why), std::move(conditions)});
  return *this;
}

StepResult<void> SeccompDenyList::Install() const {
  auto filter = SeccompFilter::Make(SCMP_ACT_ALLOW);
  if (!filter) return tl::unexpected(filter.error());
  for (const Rule& rule : rules_) {
    std::vector<scmp_arg_cmp> comparisons;
    for (const DenyCondition& condition : rule.conditions) comparisons.push_back(condition.comparison);
    auto added = filter->Add(SCMP_ACT_KILL_PROCESS, rule.syscall, comparisons, "forbid " + SyscallName(rule.syscall));
    if (!added) return added;
  }
  return filter->Load();
}

}  // namespace lisafs
