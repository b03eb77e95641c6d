#ifndef LISAFS_WAKER_WAKER_H_
#define LISAFS_WAKER_WAKER_H_

#include <vector>

#include "base/fd.h"

namespace lisafs {

// A mount of the container's, and the plugin that serves it.
struct WokenMount {
  Fd tree;    // A detached mount of the file system, O_PATH.
  Fd root;    // Its root, opened for reading.
  Fd socket;  // See base/waking.h.
};

// Does in each mount what its plugin says, until the process `container` (a pidfd) has ended or no mount is left. A
// mount goes when its plugin's end of the socket is closed. `own_fds` is /proc/self/fd (OpenProcSelfFd), by which the
// mount of a single file is opened.
void ServeWaker(const Fd& container, const Fd& own_fds, std::vector<WokenMount> mounts);

}  // namespace lisafs

#endif  // LISAFS_WAKER_WAKER_H_
