#include "lisafs/live_policy.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace lisafs {

StepResult<const LivePolicyPage*> MapLivePolicy(const Fd& file) {
  struct stat stat;
  if (fstat(file.get(), &stat) != 0) return FailStepWithErrno("the file of the live policy");
  if (stat.st_size < static_cast<off_t>(sizeof(LivePolicyPage))) {
    return FailStep("the file of the live policy is too short", Errno(EINVAL));
  }
  void* mapped = mmap(nullptr, sizeof(LivePolicyPage), PROT_READ, MAP_SHARED, file.get(), 0);
  if (mapped == MAP_FAILED) return FailStepWithErrno("mapping the live policy");
  const auto* page = static_cast<const LivePolicyPage*>(mapped);
  if (page->magic != kLivePolicyMagic || page->version != kLivePolicyVersion) {
    return FailStep("the live policy is not of this version", Errno(EINVAL));
  }
  return page;
}

// Shared futexes: whoever waits and whoever wakes map the same file.
void AwaitPolicyChange(const LivePolicy& policy, uint32_t seen) {
  syscall(SYS_futex, &policy.changes, FUTEX_WAIT, seen, nullptr, nullptr, 0);
}

void WakeOnPolicyChange(const LivePolicy& policy) {
  syscall(SYS_futex, &policy.changes, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace lisafs
