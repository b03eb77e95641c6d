#ifndef LISAFS_SANDBOX_FOREIGN_FDS_H_
#define LISAFS_SANDBOX_FOREIGN_FDS_H_

#include <sys/types.h>

#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "base/fd.h"

namespace lisafs {

// Duplicates descriptors of another process (pidfd_getfd(2)), in order.
//
// NOT_FOUND: no such process, or it has no such descriptor. PERMISSION_DENIED: it may not be traced by this one.
absl::StatusOr<std::vector<Fd>> DuplicateForeignFds(pid_t pid, std::span<const int> numbers);

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_FOREIGN_FDS_H_
