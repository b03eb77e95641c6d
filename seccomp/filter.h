#ifndef LISAFS_SECCOMP_FILTER_H_
#define LISAFS_SECCOMP_FILTER_H_

#include <seccomp.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"

namespace lisafs {

// libseccomp's filter, as all of ours are: for every thread of the process, with no_new_privs, killing the process for
// a call of another architecture. Errors name the step, with the kernel's errno.
class SeccompFilter {
 public:
  // What no rule is about gets `default_action` (SCMP_ACT_*).
  static StepResult<SeccompFilter> Make(uint32_t default_action);

  // Fails rather than adding a rule that means something else; `what` is the step's name then. Does nothing for a call
  // that this architecture does not have, which SCMP_SYS makes negative (such as poll where there is only ppoll).
  StepResult<void> Add(uint32_t action, int syscall, std::span<const scmp_arg_cmp> comparisons, std::string what);

  StepResult<void> Load() const;

 private:
  explicit SeccompFilter(scmp_filter_ctx context) : context_(context, seccomp_release) {}

  std::unique_ptr<void, void (*)(scmp_filter_ctx)> context_;
};

}  // namespace lisafs

#endif  // LISAFS_SECCOMP_FILTER_H_
