#ifndef LISAFS_CONTROL_GOFER_TREE_H_
#define LISAFS_CONTROL_GOFER_TREE_H_

#include <sys/types.h>

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace lisafs {

// A path that leads to the tree that a gofer serves as its mount number `mount`, counted from 0: by the descriptor that
// its command line names. FAILED_PRECONDITION: the process is gone, or has no such mount.
absl::StatusOr<std::string> GoferTreePath(pid_t gofer, size_t mount);

}  // namespace lisafs

#endif  // LISAFS_CONTROL_GOFER_TREE_H_
