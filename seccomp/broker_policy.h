#ifndef LISAFS_SECCOMP_BROKER_POLICY_H_
#define LISAFS_SECCOMP_BROKER_POLICY_H_

#include "seccomp/policy.h"

namespace lisafs {

// For the broker, the one confined process with CAP_SYS_ADMIN: of what that allows, two requests to a FUSE device. It
// has one thread and opens nothing.
SeccompPolicy BrokerPolicy();

}  // namespace lisafs

#endif  // LISAFS_SECCOMP_BROKER_POLICY_H_
