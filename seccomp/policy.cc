#include "seccomp/policy.h"

#include <stdlib.h>

#include <memory>
#include <utility>

#include "seccomp/filter.h"
#include "seccomp/violation.h"

namespace lisafs {
namespace {

constexpr uint64_t kLow32 = 0xffffffff;

StepResult<void> AddRule(SeccompFilter& filter, const SeccompPolicy::Rule& rule) {
  std::vector<scmp_arg_cmp> comparisons;
  for (const ArgCondition& c : rule.conditions) {
    comparisons.push_back({c.arg, SCMP_CMP_MASKED_EQ, c.mask, c.value});
  }
  return filter.Add(rule.error == 0 ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(rule.error), rule.syscall, comparisons,
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
  auto filter = SeccompFilter::Make(name ? SCMP_ACT_TRAP : SCMP_ACT_KILL_PROCESS);
  if (!filter) return tl::unexpected(filter.error());
  for (const Rule& rule : rules_) {
    if (auto added = AddRule(*filter, rule); !added) return added;
  }
  return filter->Load();
}

std::string SyscallName(int syscall) {
  if (syscall == __NR_fchmodat2) return "fchmodat2";
  std::unique_ptr<char, void (*)(void*)> name(seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, syscall), free);
  return name ? name.get() : "system call " + std::to_string(syscall);
}

}  // namespace lisafs
