#ifndef LISAFS_SANDBOX_FUSE_MOUNT_H_
#define LISAFS_SANDBOX_FUSE_MOUNT_H_

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/fd.h"
#include "sandbox/mount_attributes.h"

// FUSE file systems, made with the kernel's mount API: each exists, as two descriptors, before it is mounted anywhere.

namespace lisafs {

struct FuseMount {
  // /dev/fuse: what the file system's server reads requests from. When its last holder closes it, the file system
  // answers ENOTCONN from then on.
  Fd device;
  // The file system as a detached mount. Until it is attached this descriptor alone keeps it; afterwards it must be
  // closed, or the file system outlives its mount point.
  Fd mount;
};

// Makes a file system of type fuse.lisafs whose root is of `root_type` (S_IFDIR or S_IFREG). Everybody may use it,
// under the kernel's permission checks. Its first request, FUSE_INIT, already waits on the device.
//
// FAILED_PRECONDITION: the kernel has no FUSE.
absl::StatusOr<FuseMount> MakeFuseMount(mode_t root_type, const MountAttributes& attributes);

// The number of a mount's file system, "MAJOR:MINOR", as in mountinfo. Asks its server nothing.
absl::StatusOr<std::string> FileSystemNumber(const Fd& mount);

// Has the kernel ask for the attributes of the file system's root again: whoever walks through it is then let in, or
// not, by what its server says now. `device` should be its /dev/fuse. INVALID_ARGUMENT: it is something else.
absl::Status ForgetRootAttributes(const Fd& device);

// Opens a path in the calling thread's mount namespace to mount on, without following a symbolic link at its end.
// NOT_FOUND: it does not exist. INVALID_ARGUMENT: it is not of `root_type`.
absl::StatusOr<Fd> OpenMountPoint(const std::string& path, mode_t root_type);

// Mounts a detached mount on a mount point from OpenMountPoint. To be called in the mount point's mount namespace.
absl::Status AttachMount(int mount, int mount_point);

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_FUSE_MOUNT_H_
