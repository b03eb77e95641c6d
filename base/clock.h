#ifndef LISAFS_BASE_CLOCK_H_
#define LISAFS_BASE_CLOCK_H_

#include <stdint.h>
#include <time.h>

namespace lisafs {

// CLOCK_MONOTONIC. Some 25 ns, and no system call where the kernel's vDSO can read the hardware.
inline uint64_t MonotonicNanoseconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace lisafs

#endif  // LISAFS_BASE_CLOCK_H_
