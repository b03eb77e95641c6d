#ifndef LISAFS_LISAFS_ACCESS_RING_H_
#define LISAFS_LISAFS_ACCESS_RING_H_

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include <atomic>
#include <string_view>

// What the mounts of a server are asked for while somebody wants to know (LivePolicy::recordings), in the file that
// counters.h describes: one record after the other in a ring, whose oldest are overwritten. The writer waits for
// nobody, and nothing is kept of who reads: a reader remembers where it was, and sees by `end` that it came too late.
//
// Positions count bytes since the beginning; a byte's place is its position modulo the ring's size. Records follow each
// other without a gap, and may go on at the ring's start.

namespace lisafs {

// Bits of AccessRecord::what: what was asked for. Whether it was done is said by the last two.
inline constexpr uint16_t kLookedUp = 1 << 0;  // By name, or its attributes.
inline constexpr uint16_t kReadFrom = 1 << 1;  // Opened for it; a directory listed, a link or an attribute read.
inline constexpr uint16_t kWrittenTo = 1 << 2;
inline constexpr uint16_t kExecuted = 1 << 3;
inline constexpr uint16_t kMade = 1 << 4;               // Of whatever type, or a name that a file got.
inline constexpr uint16_t kRemoved = 1 << 5;            // A name that went.
inline constexpr uint16_t kAttributesChanged = 1 << 6;  // Extended ones too.
inline constexpr uint16_t kMissing = 1 << 7;            // Nothing was there.
inline constexpr uint16_t kRefused = 1 << 8;            // EACCES, EPERM, EROFS.
inline constexpr uint16_t kAllAccesses = (1 << 9) - 1;

// Followed by the path, from the mount's root on: "/etc/passwd", and "/" for the root. It is not terminated.
struct AccessRecord {
  uint16_t path_length;  // At most kMaxAccessPath. 0: the path was longer.
  uint16_t what;
  uint16_t mount;  // By the server's numbers.
  uint16_t padding;
};
inline constexpr size_t kMaxAccessPath = PATH_MAX;
inline constexpr size_t kMaxAccessRecord = sizeof(AccessRecord) + kMaxAccessPath;

struct AccessRing {
  static constexpr size_t kSize = 1 << 20;

  std::atomic<uint64_t> end = 0;      // Where the next record will be written.
  std::atomic<uint64_t> records = 0;  // How many there were.
  std::byte bytes[kSize] = {};
};

// Writes to a ring that is all zero at first. Calls do not overlap.
class AccessRingWriter {
 public:
  explicit AccessRingWriter(AccessRing& ring) : ring_(ring) {}

  void Append(uint16_t mount, uint16_t what, std::string_view path);

 private:
  void Write(const void* from, size_t size);

  AccessRing& ring_;
  uint64_t end_ = 0;
  uint64_t records_ = 0;
};

}  // namespace lisafs

#endif  // LISAFS_LISAFS_ACCESS_RING_H_
