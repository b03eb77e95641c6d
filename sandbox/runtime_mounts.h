#ifndef LISAFS_SANDBOX_RUNTIME_MOUNTS_H_
#define LISAFS_SANDBOX_RUNTIME_MOUNTS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// The mount namespace between the host's and the container's: the runtime wrapper makes it, the low-level runtime works
// in it, and it is gone when that ends. The container's file systems stand below kMountDirectory
// there.

namespace lisafs {

inline constexpr char kMountDirectory[] = "/run/lisafs/mnt";

// Puts the calling thread into a mount namespace of its own, in which what the host mounts and unmounts shows, and from
// which nothing goes back, with an empty tmpfs on kMountDirectory. To be called while the process has one thread.
absl::Status EnterMountNamespace();

// Makes a directory or a file on that tmpfs to mount on, and gives its path.
absl::StatusOr<std::string> StageMountPoint(const std::string& name, bool directory);

// Makes a file with that content on it, and gives its path.
absl::StatusOr<std::string> StageFile(const std::string& name, const std::string& text);

// Shows `text` to whoever opens the existing file `path` in this namespace.
absl::Status ReplaceFile(const std::string& path, const std::string& text);

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_RUNTIME_MOUNTS_H_
