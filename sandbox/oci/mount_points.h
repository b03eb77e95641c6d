#ifndef LISAFS_SANDBOX_OCI_MOUNT_POINTS_H_
#define LISAFS_SANDBOX_OCI_MOUNT_POINTS_H_

#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/fd.h"

// Mount points in a container's root file system.
//
// A low-level runtime makes those that are missing, in a root that it makes read-only only when it is done. lisafs
// opens a read-only root read-only from the first moment, so they have to be there before.

namespace lisafs {

struct OciMountPoint {
  std::string path;  // Absolute, in the container.
  bool directory = true;
};

// Those of `mount_points`, in the order in which they are mounted on, that do not lie within one before them.
std::vector<OciMountPoint> PointsInRoot(std::span<const OciMountPoint> mount_points);

// A mount point that is there.
struct FoundMountPoint {
  std::string path;  // Without symbolic links: "/usr/lib/x" where "/lib" leads to "/usr/lib".
  Fd fd;             // O_PATH. Of a file that was made, open for writing.
};

// Makes what is missing of a path, with its parents, below the directory `root`, as if that was "/": symbolic links and
// ".." do not lead out of it, whatever it holds and whoever changes it meanwhile. The message names the path.
absl::StatusOr<FoundMountPoint> MakeMountPoint(const std::string& root, const OciMountPoint& mount_point);

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_OCI_MOUNT_POINTS_H_
