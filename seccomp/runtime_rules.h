#ifndef LISAFS_SECCOMP_RUNTIME_RULES_H_
#define LISAFS_SECCOMP_RUNTIME_RULES_H_

#include "seccomp/policy.h"

namespace lisafs {

// What libc and the C++ library do by themselves in a program with threads: memory, threads, locks, time, signals, a
// last word on stderr.
void AllowRuntime(SeccompPolicy& policy);

// What a LISAFS endpoint of either side does: the socket, descriptors that come with messages, channels.
void AllowTransport(SeccompPolicy& policy);

}  // namespace lisafs

#endif  // LISAFS_SECCOMP_RUNTIME_RULES_H_
