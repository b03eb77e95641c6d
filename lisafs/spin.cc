#include "lisafs/spin.h"

// <sched.h> has this, too.
#define sched_param sched_param_of_linux
#include <linux/sched/types.h>
#undef sched_param
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace lisafs {

namespace {

// Those that this process may use. Found out before main, since a confined process cannot ask any more.
const cpu_set_t kCpus = [] {
  cpu_set_t cpus;
  if (sched_getaffinity(0, sizeof cpus, &cpus) != 0) CPU_ZERO(&cpus);
  return cpus;
}();

}  // namespace

const bool kOneCpu = CPU_COUNT(&kCpus) == 1;

// The kernel prefers who asks for the shorter time slice; this is the longest that there is.
void LetWakersRunFirst() {
  sched_attr attributes = {};
  if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0) return;
  if (attributes.sched_policy != SCHED_OTHER) return;
  attributes.sched_runtime = 100'000'000;
  syscall(SYS_sched_setattr, 0, &attributes, 0);
}

void LeaveCpu() {
  cpu_set_t others = kCpus;
  CPU_CLR(sched_getcpu(), &others);
  if (sched_setaffinity(0, sizeof others, &others) == 0) sched_setaffinity(0, sizeof kCpus, &kCpus);
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
