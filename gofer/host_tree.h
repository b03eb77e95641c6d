#ifndef LISAFS_GOFER_HOST_TREE_H_
#define LISAFS_GOFER_HOST_TREE_H_

#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace lisafs {

// Opens a directory or a file of the host, with everything mounted below it, as a detached tree: it does not follow the
// host's later mounts, and it leads nowhere else. Set-id bits and devices have no effect in it; with `read_only` nobody
// can change it either. Needs CAP_SYS_ADMIN.
StepResult<Fd> OpenHostTree(const std::string& path, bool read_only);

}  // namespace lisafs

#endif  // LISAFS_GOFER_HOST_TREE_H_
