#include "seccomp/policy.h"

#include <stdlib.h>

#include <memory>
#include <utility>

#include "seccomp/violation.h"

namespace lisafs {
namespace {

constexpr uint64_t kLow32 = 0xffffffff;

// libseccomp returns negated errnos.
StepResult<void> Check(int result, std::string what) {
  if (result < 0) return FailStep(std::move(what), Errno(-result));
  return {};
}

StepResult<void> AddRule(scmp_filter_ctx filter, const SeccompPolicy::Rule& rule) {
  // What SCMP_SYS gives for a call that this architecture does not have, such as poll where there is only ppoll.
  if (rule.syscall < 0) return {};
  std::vector<scmp_arg_cmp> comparisons;
  for (const ArgCondition& c : rule.conditions) {
    comparisons.push_back({c.arg, SCMP_CMP_MASKED_EQ, c.mask, c.value});
  }
  // "exact": fails rather than making a rule that means something else.
  return Check(seccomp_rule_add_exact_array(filter, rule.error == 0 ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(rule.error),
                                            rule.syscall, comparisons.size(), comparisons.data()),
               "add a seccomp rule for " + SyscallName(rule.syscall));
}

}  // namespace

ArgCondition ArgIs(unsigned arg, int value, std::string text) {
  return {arg, kLow32, static_cast<uint32_t>(value), std::move(text)};
}

ArgCondition ArgHas(unsigned arg, uint32_t flags, std::string text) { return {arg, flags, flags, std::move(text)}; }

ArgCondition ArgLacks(unsigned arg, uint32_t flags, std::string text) {
  return {arg, flags, 0, "no " + std::move(text)};
}

ArgCondition ArgMasked(unsigned arg, uint32_t mask, uint32_t value, std::string text) {
  return {arg, mask, value, std::move(text)};
}

ArgCondition ArgIsDescriptor(unsigned arg) { return {arg, 0x80000000, 0, "a descriptor"}; }

SeccompPolicy& SeccompPolicy::Allow(int syscall, std::string why, std::vector<ArgCondition> conditions) {
  rules_.push_back({syscall, 0, std::move(why), std::move(conditions)});
  return *this;
}

SeccompPolicy& SeccompPolicy::Refuse(int syscall, int error, std::string why, std::vector<ArgCondition> conditions) {
  rules_.push_back({syscall, error, std::move(why), std::move(conditions)});
  return *this;
}

StepResult<void> SeccompPolicy::Install(OnViolation on_violation) const {
  const bool name = on_violation == OnViolation::kNameAndKill;
  if (name) NameViolations();
  std::unique_ptr<void, void (*)(scmp_filter_ctx)> filter(seccomp_init(name ? SCMP_ACT_TRAP : SCMP_ACT_KILL_PROCESS),
                                                          seccomp_release);
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
    if (auto added = AddRule(filter.get(), rule); !added) return added;
  }
  return Check(seccomp_load(filter.get()), "load the seccomp filter");
}

std::string SyscallName(int syscall) {
  if (syscall == __NR_fchmodat2) return "fchmodat2";
  std::unique_ptr<char, void (*)(void*)> name(seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, syscall), free);
  return name ? name.get() : "system call " + std::to_string(syscall);
}

}  // namespace lisafs
