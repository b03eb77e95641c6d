#include "lisafs/spin.h"

#include <sched.h>

namespace lisafs {

const bool kOneCpu = [] {
  cpu_set_t cpus;
  return sched_getaffinity(0, sizeof cpus, &cpus) == 0 && CPU_COUNT(&cpus) == 1;
}();

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
