#include "seccomp/deny_list.h"

#include <errno.h>

#include <memory>
#include <utility>

#include "seccomp/policy.h"

namespace lisafs {
namespace {

// libseccomp returns negated errnos.
StepResult<void> Check(int result, std::string what) {
  if (result < 0) return FailStep(std::move(what), Errno(-result));
  return {};
}

}  // namespace

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
  std::unique_ptr<void, void (*)(scmp_filter_ctx)> filter(seccomp_init(SCMP_ACT_ALLOW), seccomp_release);
  if (!filter) return FailStep("seccomp_init", Errno(ENOMEM));
  const std::pair<scmp_filter_attr, uint32_t> attributes[] = {
      {SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS},
      {SCMP_FLTATR_CTL_NNP, 1},
      {SCMP_FLTATR_CTL_TSYNC, 1},
      {SCMP_FLTATR_CTL_OPTIMIZE, 2},  // A binary search over the calls, not a list.
      {SCMP_FLTATR_API_SYSRAWRC, 1},  // The kernel's errnos rather than libseccomp's.
  };
  for (const auto& [attribute, value] : attributes) {
    auto set = Check(seccomp_attr_set(filter.get(), attribute, value), "set a seccomp filter's attribute");
    if (!set) return set;
  }
  for (const Rule& rule : rules_) {
    // What SCMP_SYS gives for a call that this architecture does not have.
    if (rule.syscall < 0) continue;
    std::vector<scmp_arg_cmp> comparisons;
    for (const DenyCondition& condition : rule.conditions) comparisons.push_back(condition.comparison);
    auto added = Check(seccomp_rule_add_exact_array(filter.get(), SCMP_ACT_KILL_PROCESS, rule.syscall,
                                                    comparisons.size(), comparisons.data()),
                       "forbid " + SyscallName(rule.syscall));
    if (!added) return added;
  }
  return Check(seccomp_load(filter.get()), "load the seccomp filter");
}

}  // namespace lisafs
