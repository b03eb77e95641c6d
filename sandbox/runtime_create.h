#ifndef LISAFS_SANDBOX_RUNTIME_CREATE_H_
#define LISAFS_SANDBOX_RUNTIME_CREATE_H_

#include <string>

#include "absl/status/status.h"
#include "sandbox/runtime_arguments.h"

namespace lisafs {

// Prepares the container that `arguments` (of create or run) ask for: afterwards the calling process is in a mount
// namespace in which the container's file systems are mounted, and its bundle's config.json names them. The low-level
// runtime, executed with its own arguments, does the rest. When the process ends, all of it is gone.
//
// To be called while the process has one thread. After an error the process has nothing to do but to end.
absl::Status PrepareContainer(const RuntimeArguments& arguments);

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_RUNTIME_CREATE_H_
