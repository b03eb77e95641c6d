#ifndef LISAFS_BROKER_BROKER_H_
#define LISAFS_BROKER_BROKER_H_

#include <sys/ioctl.h>

#include <cstdint>
#include <vector>

#include "base/fd.h"

// The one privileged step of FUSE passthrough: telling a FUSE file system which host file may back its open files. It
// takes CAP_SYS_ADMIN, which the gofer must not have, and the FUSE device, which is the plugin's.

namespace lisafs {

// Younger than Debian 12's <linux/fuse.h>: FUSE 7.40, Linux 6.9.
struct FuseBackingMap {
  int32_t fd;
  uint32_t flags;
  uint64_t padding;
};
inline constexpr unsigned kFuseBackingOpen = _IOW(229, 1, FuseBackingMap);
inline constexpr unsigned kFuseBackingClose = _IOW(229, 2, uint32_t);

struct BrokerDevice {
  uint32_t mount;
  Fd device;  // Its /dev/fuse.
};

// Serves the gofer (protocol.h) until it is gone, breaks the protocol, or nobody holds the other end of `lifeline` any
// more: the plugin does, and once it has died its file systems must not be kept by us.
void ServeBroker(const Fd& gofer, const Fd& lifeline, const std::vector<BrokerDevice>& devices);

}  // namespace lisafs

#endif  // LISAFS_BROKER_BROKER_H_
