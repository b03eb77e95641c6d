#ifndef LISAFS_SECCOMP_PLUGIN_POLICY_H_
#define LISAFS_SECCOMP_PLUGIN_POLICY_H_

#include "seccomp/policy.h"

namespace lisafs {

// For the plugin, which works on descriptors it was given and opens nothing. To be made by the process that installs
// it, since it admits signals to that process.
//
// `io_uring`: of a plugin whose rings are made and narrowed already (plugin/io_ring.h). It can make no others.
SeccompPolicy PluginPolicy(bool io_uring);

}  // namespace lisafs

#endif  // LISAFS_SECCOMP_PLUGIN_POLICY_H_
