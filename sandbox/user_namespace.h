#ifndef LISAFS_SANDBOX_USER_NAMESPACE_H_
#define LISAFS_SANDBOX_USER_NAMESPACE_H_

#include <sys/types.h>

#include <string>

#include "absl/status/statusor.h"
#include "base/fd.h"
#include "sandbox/id_map.h"

namespace lisafs {

// A new user namespace with these ids and nobody in it, which goes with its last descriptor. Its parent is this
// process's, its owner this process's user. `map` must be one that CheckIdRanges takes.
//
// Errors: the kernel has none, or allows no more, or these ids are not this process's to give.
absl::StatusOr<Fd> MakeUserNamespace(const IdMap& map);

// Which ids a process's user namespace has, as this process's own sees them; whatever the process is, they are the
// kernel's words. NOT_FOUND: no such process.
absl::StatusOr<IdMap> ReadIdMap(pid_t pid);
// The same of a namespace that is bound to a file, or is a link in /proc. The calling process must have one thread.
absl::StatusOr<IdMap> ReadIdMapOfNamespace(const std::string& path);

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_USER_NAMESPACE_H_
