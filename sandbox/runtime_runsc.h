#ifndef LISAFS_SANDBOX_RUNTIME_RUNSC_H_
#define LISAFS_SANDBOX_RUNTIME_RUNSC_H_

#include <span>
#include <string>

#include "absl/status/status.h"
#include "sandbox/runtime_arguments.h"

namespace lisafs {

// Prepares a runsc, at `path`, that may start a gofer: afterwards the calling process is in a mount namespace of its
// own, in which lisafs-runsc and the stand-in for the gofer find what they need. lisafs-runsc, executed as kRunscName
// with runsc's arguments, does the rest. `argv` is lisafs-runtime's.
//
// To be called while the process has one thread. After an error the process has nothing to do but to end.
absl::Status PrepareRunsc(const std::string& path, const RuntimeArguments& arguments,
                          std::span<const char* const> argv);

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_RUNTIME_RUNSC_H_
