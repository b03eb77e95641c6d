#ifndef LISAFS_SANDBOX_RUNTIME_DELETE_H_
#define LISAFS_SANDBOX_RUNTIME_DELETE_H_

#include <string>
#include <tl/expected.hpp>

#include "sandbox/runtime_arguments.h"

namespace lisafs {

// Has the low-level runtime at `runtime` delete the container, and lisafsd its sandbox: when this returns, nothing of a
// container that could be deleted is left. Gives the low-level runtime's exit status; what lisafsd refuses is reported
// and does not keep the container. The error is a reason: the low-level runtime could not be started.
tl::expected<int, std::string> DeleteContainer(const std::string& runtime, const RuntimeArguments& arguments);

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_RUNTIME_DELETE_H_
