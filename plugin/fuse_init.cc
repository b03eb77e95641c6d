#include "plugin/fuse_init.h"

#include <algorithm>

namespace lisafs {
namespace {

constexpr uint32_t kOldestMinor = 33;
constexpr uint32_t kPageSize = 4096;

// FUSE_AUTO_INVAL_DATA: cached pages go when the host's file changes, so that they may outlive an open.
// FUSE_HANDLE_KILLPRIV_V2: set-id bits are cleared here and on the host, without a GETXATTR before every write.
// FUSE_POSIX_ACL: the kernel heeds access control lists; where there is one, the mode alone would admit too many.
// FUSE_DONT_MASK: the umask is applied here, since it is not where the directory has a default access control list.
// FUSE_ATOMIC_O_TRUNC: open and truncate are one request.
// Not asked for: locks (the kernel's own serve one container) and write-back caching (the host could not see writes).
constexpr uint64_t kWanted = FUSE_ASYNC_READ | FUSE_ASYNC_DIO | FUSE_BIG_WRITES | FUSE_PARALLEL_DIROPS |
                             FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_ATOMIC_O_TRUNC | FUSE_MAX_PAGES |
                             FUSE_HANDLE_KILLPRIV_V2 | FUSE_POSIX_ACL | FUSE_DONT_MASK | FUSE_CACHE_SYMLINKS |
                             FUSE_AUTO_INVAL_DATA | FUSE_INIT_EXT;

}  // namespace

Result<fuse_init_out> Negotiate(const fuse_init_in& offer, uint32_t stack_depth) {
  fuse_init_out answer = {};
  answer.major = FUSE_KERNEL_VERSION;
  answer.minor = FUSE_KERNEL_MINOR_VERSION;
  // A kernel with a newer major version sees ours and asks again with that.
  if (offer.major > FUSE_KERNEL_VERSION) return answer;
  if (offer.major < FUSE_KERNEL_VERSION || offer.minor < kOldestMinor) return Fail(EPROTO);

  uint64_t offered = offer.flags;
  if (offered & FUSE_INIT_EXT) offered |= uint64_t{offer.flags2} << 32;
  uint64_t taken = offered & (stack_depth == 0 ? kWanted : kWanted | kFusePassthrough);
  if (taken & kFusePassthrough) SetMaxStackDepth(answer, stack_depth);
  answer.minor = std::min<uint32_t>(offer.minor, FUSE_KERNEL_MINOR_VERSION);
  answer.flags = static_cast<uint32_t>(taken);
  answer.flags2 = static_cast<uint32_t>(taken >> 32);
  answer.max_readahead = offer.max_readahead;
  answer.max_write = kMaxTransfer;
  answer.max_pages = kMaxTransfer / kPageSize;
  answer.max_background = 32;
  answer.congestion_threshold = 24;
  answer.time_gran = 1;  // Nanoseconds.
  return answer;
}

bool TakeIoUring(const fuse_init_in& offer, fuse_init_out& answer) {
  constexpr uint32_t kFlag = kFuseOverIoUring >> 32;
  if (!(answer.flags & FUSE_INIT_EXT) || !(offer.flags2 & kFlag)) return false;
  answer.flags2 |= kFlag;
  return true;
}

bool TakesPassthrough(const fuse_init_out& answer) { return answer.flags2 & (kFusePassthrough >> 32); }

}  // namespace lisafs
