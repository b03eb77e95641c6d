#include "lisafs/spin.h"

// <sched.h> has this, too.
#define sched_param sched_param_of_linux
#include <linux/sched/types.h>
#undef sched_param
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace lisafs {

const bool kOneCpu = [] {
  cpu_set_t cpus;
  return sched_getaffinity(0, sizeof cpus, &cpus) == 0 && CPU_COUNT(&cpus) == 1;
}();

// The kernel prefers who asks for the shorter time slice; this is the longest that there is.
void LetWakersRunFirst() {
  sched_attr attributes = {};
  if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0) return;
  if (attributes.sched_policy != SCHED_OTHER) return;
  attributes.sched_runtime = 100'000'000;
  syscall(SYS_sched_setattr, 0, &attributes, 0);
}

void YieldCpu() { sched_yield(); }

void PauseSpinning() {
  if (kOneCpu) {
    YieldCpu();
    return;
  }
#if defined(__x86_64__)
  __builtin_ia32_pause();
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb");
#endif
}

}  // namespace lisafs
