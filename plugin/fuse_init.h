#ifndef LISAFS_PLUGIN_FUSE_INIT_H_
#define LISAFS_PLUGIN_FUSE_INIT_H_

#include "base/result.h"
#include "plugin/fuse_kernel.h"

namespace lisafs {

// Answers the kernel's FUSE_INIT: takes of what it offers what this file system wants. EPROTO for a kernel older than
// Linux 5.12 (FUSE 7.33), which lacks what the answers to other requests rely on.
//
// `stack_depth`, if not 0, asks for passthrough too, with this as the depth that the file system counts as stacked.
Result<fuse_init_out> Negotiate(const fuse_init_in& offer, uint32_t stack_depth = 0);
bool TakesPassthrough(const fuse_init_out& answer);

// Takes FUSE over io_uring as well, if the kernel offers it.
bool TakeIoUring(const fuse_init_in& offer, fuse_init_out& answer);

}  // namespace lisafs

#endif  // LISAFS_PLUGIN_FUSE_INIT_H_
