#include "seccomp/filter.h"

#include <errno.h>

#include <utility>

namespace lisafs {
namespace {

// libseccomp returns negated errnos.
StepResult<void> Check(int result, std::string what) {
  if (result < 0) return FailStep(std::move(what), Errno(-result));
  return {};
}

}  // namespace

StepResult<SeccompFilter> SeccompFilter::Make(uint32_t default_action) {
  SeccompFilter filter(seccomp_init(default_action));
  if (!filter.context_) return FailStep("seccomp_init", Errno(ENOMEM));
  const std::pair<scmp_filter_attr, uint32_t> attributes[] = {
      {SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS},
      {SCMP_FLTATR_CTL_NNP, 1},
      {SCMP_FLTATR_CTL_TSYNC, 1},
      {SCMP_FLTATR_CTL_OPTIMIZE, 2},  // A binary search over the calls, not a list.
      {SCMP_FLTATR_API_SYSRAWRC, 1},  // The kernel's errnos rather than libseccomp's.
  };
  for (const auto& [attribute, value] : attributes) {
    auto set = Check(seccomp_attr_set(filter.context_.get(), attribute, value), "set a seccomp filter's attribute");
    if (!set) return tl::unexpected(set.error());
  }
  return filter;
}

StepResult<void> SeccompFilter::Add(uint32_t action, int syscall, std::span<const scmp_arg_cmp> comparisons,
                                    std::string what) {
  if (syscall < 0) return {};
  return Check(seccomp_rule_add_exact_array(context_.get(), action, syscall, static_cast<unsigned>(comparisons.size()),
                                            comparisons.data()),
               std::move(what));
}

StepResult<void> SeccompFilter::Load() const { return Check(seccomp_load(context_.get()), "load the seccomp filter"); }

}  // namespace lisafs
