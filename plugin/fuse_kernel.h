#ifndef LISAFS_PLUGIN_FUSE_KERNEL_H_
#define LISAFS_PLUGIN_FUSE_KERNEL_H_

#include <linux/fuse.h>
#include <stdint.h>

#include <cstddef>

#include "lisafs/messages.h"

// The kernel's side of FUSE: <linux/fuse.h>, and what is younger than the one Debian 12 ships (protocol 7.38).

namespace lisafs {

// FUSE 7.39, Linux 6.6: statx(2) with what GETATTR cannot say.
inline constexpr uint32_t kFuseStatx = 52;
struct FuseStatxIn {
  uint32_t getattr_flags;
  uint32_t reserved;
  uint64_t fh;
  uint32_t sx_flags;
  uint32_t sx_mask;
};
struct FuseStatxOut {
  uint64_t attr_valid;
  uint32_t attr_valid_nsec;
  uint32_t flags;
  uint64_t spare[2];
  Statx stat;  // struct fuse_statx begins as the wire's Statx does: both are struct statx's first 144 bytes.
  uint64_t stat_spare[14];
};
static_assert(sizeof(FuseStatxOut) == 288);

// FUSE 7.42, Linux 6.14: FUSE over io_uring, a flag of FUSE_INIT and what a request consists of there.
inline constexpr uint64_t kFuseOverIoUring = uint64_t{1} << 41;
struct FuseRingHeaders {
  std::byte in_out[128];  // A fuse_in_header, and then the answer's fuse_out_header.
  std::byte fixed[128];   // Arguments of a fixed size.
  struct {
    uint64_t flags;
    uint64_t commit_id;
    uint32_t payload_size;  // What follows, and then what follows the answer's header.
    uint32_t padding;
    uint64_t reserved;
  } entry;
};
static_assert(sizeof(FuseRingHeaders) == 288);

// FUSE 7.40, Linux 6.9: the kernel reads and writes a backing file by itself.
inline constexpr uint64_t kFusePassthrough = uint64_t{1} << 37;
inline constexpr uint32_t kFopenPassthrough = 1 << 7;
// The number of the backing file, in what used to be padding of fuse_open_out.
inline void SetBackingId(fuse_open_out& open, uint32_t id) { open.padding = id; }
// How deep the file system counts as stacked, 1 or 2; its backing files must be less deep. What was the first of
// fuse_init_out's unused fields.
inline void SetMaxStackDepth(fuse_init_out& init, uint32_t depth) { init.unused[0] = depth; }
inline uint32_t MaxStackDepth(const fuse_init_out& init) { return init.unused[0]; }

// The largest WRITE and READ that are asked for, and the longest name that Linux file systems know.
inline constexpr uint32_t kMaxTransfer = 1 << 20;
inline constexpr size_t kMaxName = 255;

}  // namespace lisafs

#endif  // LISAFS_PLUGIN_FUSE_KERNEL_H_
