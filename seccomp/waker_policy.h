#ifndef LISAFS_SECCOMP_WAKER_POLICY_H_
#define LISAFS_SECCOMP_WAKER_POLICY_H_

#include "seccomp/policy.h"

namespace lisafs {

// For the waker, which repeats in a container's file systems what others have done there. It opens nothing, reads and
// writes no file and is given no descriptor.
SeccompPolicy WakerPolicy();

}  // namespace lisafs

#endif  // LISAFS_SECCOMP_WAKER_POLICY_H_
