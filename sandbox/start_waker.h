#ifndef LISAFS_SANDBOX_START_WAKER_H_
#define LISAFS_SANDBOX_START_WAKER_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

// Starting lisafs-waker, which wakes those who watch files in a container when others change them
// (docs/architecture.md, "Waking watchers"). It holds mounts of the container's file systems, ends with the container's
// first process, and is nobody's child.

namespace lisafs {

// A detached mount of the file system that is mounted at `path` in the calling thread's mount namespace, without what
// is mounted below it; with an empty path, of the mount `directory`. It can be written to, as far as the file system
// can.
StepResult<Fd> CloneForWaker(int directory, const std::string& path);

// `trees` are of the plugin's mounts, by their numbers. Those that it has no socket for are left out, and if none is
// left nothing is started. `container` is its first process. Gives the process that was started, for those to reap who
// stay: it ends as soon as it has started the one that lasts, and is 0 if there is none.
StepResult<pid_t> StartWaker(const std::string& program, pid_t plugin, pid_t container, std::vector<Fd> trees);

// Has the waker of the plugin's only mount end, if there is one.
void EndWaker(pid_t plugin);

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_START_WAKER_H_
