#ifndef LISAFS_SECCOMP_TRUSTED_DENY_LIST_H_
#define LISAFS_SECCOMP_TRUSTED_DENY_LIST_H_

#include "seccomp/deny_list.h"

namespace lisafs {

struct TrustedDenyListOptions {
  bool fuse_io_uring = false;  // A plugin makes rings before it has its filter.
};

// What neither lisafsd nor the programs that it starts need, nor lisafs-runtime's hook and what that starts: the calls
// by which root, once somebody leads it, becomes the kernel, looks into other processes, or changes the machine.
SeccompDenyList TrustedDenyList(const TrustedDenyListOptions& options);

}  // namespace lisafs

#endif  // LISAFS_SECCOMP_TRUSTED_DENY_LIST_H_
