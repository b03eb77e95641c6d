#ifndef LISAFS_SECCOMP_WAKER_POLICY_H_
#define LISAFS_SECCOMP_WAKER_POLICY_H_

#include <fcntl.h>

#include "seccomp/policy.h"

namespace lisafs {

// How the waker opens a file by its path, and the mount of a single file by the name of its descriptor in
// /proc/self/fd. Without waiting for who holds a lease, or reads from a FIFO that is there by now.
inline constexpr int kReopenForWriting = O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
inline constexpr int kOpenForWriting = kReopenForWriting | O_NOFOLLOW;

// For the waker, which repeats in a container's file systems what others have done there. It reads and writes no file
// and is given no descriptor.
struct WakerPolicyOptions {
  int proc_self_fd;
  int ready_fd;
};
SeccompPolicy WakerPolicy(const WakerPolicyOptions& options);

}  // namespace lisafs

#endif  // LISAFS_SECCOMP_WAKER_POLICY_H_
