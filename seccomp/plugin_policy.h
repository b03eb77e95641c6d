#ifndef LISAFS_SECCOMP_PLUGIN_POLICY_H_
#define LISAFS_SECCOMP_PLUGIN_POLICY_H_

#include "seccomp/policy.h"

namespace lisafs {

// For the plugin, which works on descriptors it was given and opens nothing. To be made by the process that installs
// it, since it admits signals to that process.
SeccompPolicy PluginPolicy();

}  // namespace lisafs

#endif  // LISAFS_SECCOMP_PLUGIN_POLICY_H_
