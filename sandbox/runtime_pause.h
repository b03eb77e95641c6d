#ifndef LISAFS_SANDBOX_RUNTIME_PAUSE_H_
#define LISAFS_SANDBOX_RUNTIME_PAUSE_H_

#include <string>
#include <tl/expected.hpp>

#include "sandbox/runtime_arguments.h"

// pause and resume where all cgroups are of version 2.
//
// A process that waits for a file cannot be frozen before it is answered. There the plugin, which answers, would be
// frozen with the container: the container would never be, and the low-level runtime would give up. So for as long as a
// container is paused its plugin is outside of its cgroup; it has nothing to do then.

namespace lisafs {

// Runs the low-level runtime at `runtime` with its arguments, of pause or resume, and gives its exit status. The error
// is a reason: it could not be started.
tl::expected<int, std::string> PauseOrResumeContainer(const std::string& runtime, const RuntimeArguments& arguments);

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_RUNTIME_PAUSE_H_
