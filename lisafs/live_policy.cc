#include "lisafs/live_policy.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/shared_page.h"

namespace lisafs {

StepResult<const LivePolicyPage*> MapLivePolicy(const Fd& file) {
  auto page = MapSharedPage<const LivePolicyPage>(file);
  if (!page) return FailStep("mapping the live policy", page.error());
  if ((*page)->magic != kLivePolicyMagic || (*page)->version != kLivePolicyVersion) {
    return FailStep("the live policy is not of this version", Errno(EINVAL));
  }
  return *page;
}

// Shared futexes: whoever waits and whoever wakes map the same file.
void AwaitPolicyChange(const LivePolicy& policy, uint32_t seen) {
  syscall(SYS_futex, &policy.changes, FUTEX_WAIT, seen, nullptr, nullptr, 0);
}

void WakeOnPolicyChange(const LivePolicy& policy) {
  syscall(SYS_futex, &policy.changes, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace lisafs
