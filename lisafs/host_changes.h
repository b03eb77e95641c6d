#ifndef LISAFS_LISAFS_HOST_CHANGES_H_
#define LISAFS_LISAFS_HOST_CHANGES_H_

#include <stdint.h>

#include <string_view>

#include "lisafs/wire.h"

// What comes through the descriptor that Subscribe donates: each datagram is a sequence of HostChanges, none larger
// than kMaxHostChangesSize.

namespace lisafs {

inline constexpr size_t kMaxHostChangesSize = 32 << 10;

struct HostChange {
  enum : uint16_t {
    // Of the name: what it leads to.
    kCreated = 1,
    kDeleted = 2,
    kMovedFrom = 4,
    kMovedTo = 8,
    // Of the file that the name leads to, or without a name of the watched one itself.
    kModified = 16,
    kAttributes = 32,
    // That file is a directory.
    kIsDirectory = 64,
    // With kMovedFrom: the next change says where it moved to.
    kPaired = 128,
    // No more is known than that something changed somewhere; the other fields mean nothing.
    kLost = 256,
    // With kLost: nothing is watched any more.
    kUnwatched = 512,
    // Of the file, like kModified: somebody who could write to it has closed it.
    kClosed = 1024,
    // Of kModified, kAttributes and kClosed: it was not the client, by a descriptor that the server donated or passed
    // on.
    kByOthers = 2048,
  };
  uint64_t id = 0;  // What the client watches the directory, or the file, as.
  uint16_t what = 0;
  std::string_view name;
  LISAFS_FIELDS(id, what, name);
};

}  // namespace lisafs

#endif  // LISAFS_LISAFS_HOST_CHANGES_H_
