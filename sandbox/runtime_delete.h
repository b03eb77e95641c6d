#ifndef LISAFS_SANDBOX_RUNTIME_DELETE_H_
#define LISAFS_SANDBOX_RUNTIME_DELETE_H_

#include <string>

#include "absl/status/statusor.h"
#include "sandbox/runtime_arguments.h"

namespace lisafs {

// Has the low-level runtime at `runtime` delete the container, and then, if the container is gone, lisafsd its sandbox:
// when this returns, nothing of it is left. Gives the low-level runtime's exit status.
//
// To be called while the process has one thread.
absl::StatusOr<int> DeleteContainer(const std::string& runtime, const RuntimeArguments& arguments);

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_RUNTIME_DELETE_H_
