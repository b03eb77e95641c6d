#ifndef LISAFS_SANDBOX_RUNSC_GOFER_H_
#define LISAFS_SANDBOX_RUNSC_GOFER_H_

#include <span>

namespace lisafs {

// Stands in for the gofer that runsc has started: sees to it that lisafsd starts one of ours on runsc's connections,
// tells the sentry what its mounts are, and stays until that gofer ends. `argv` is what runsc gave its gofer. Returns
// only when it fails, which it has reported then.
void StandInForRunscGofer(std::span<const char* const> argv);

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_RUNSC_GOFER_H_
