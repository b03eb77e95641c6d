#ifndef LISAFS_SANDBOX_MOUNT_ATTRIBUTES_H_
#define LISAFS_SANDBOX_MOUNT_ATTRIBUTES_H_

#include <sys/mount.h>

#include <cstdint>

namespace lisafs {

// What a mount forbids, whatever its file system would allow.
struct MountAttributes {
  bool read_only = false;
  bool nosuid = false;
  bool nodev = false;
  bool noexec = false;

  // As MOUNT_ATTR_* for fsmount(2) and mount_setattr(2).
  uint64_t Flags() const {
    return (read_only ? MOUNT_ATTR_RDONLY : 0) | (nosuid ? MOUNT_ATTR_NOSUID : 0) | (nodev ? MOUNT_ATTR_NODEV : 0) |
           (noexec ? MOUNT_ATTR_NOEXEC : 0);
  }
};

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_MOUNT_ATTRIBUTES_H_
