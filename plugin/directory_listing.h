#ifndef LISAFS_PLUGIN_DIRECTORY_LISTING_H_
#define LISAFS_PLUGIN_DIRECTORY_LISTING_H_

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "lisafs/client.h"

namespace lisafs {

// What an open directory lists, fetched as far as it was asked for and kept until it is rewound. So an entry's position
// is its place in the list, and a position that an application remembers stays good whatever happens to the directory
// meanwhile, as POSIX wants it. "." and ".." are not in it. For any thread.
class DirectoryListing {
 public:
  // `fd` is an open FD on the directory, which must live as long.
  DirectoryListing(Client& client, Fdid fd) : client_(client), fd_(fd) {}

  struct Entry {
    uint64_t ino;
    uint32_t dev_major, dev_minor;
    uint8_t type;  // DT_*.
    std::string_view name;
  };
  // Calls `take` with the entries from the one at `position` on, in order, until it returns false or there are no more.
  // `take` must not use the listing.
  template <typename F>
  Status ForEach(uint64_t position, F&& take) {
    std::lock_guard lock(mutex_);
    for (; true; ++position) {
      while (position >= entries_.size() && !complete_) LISAFS_RETURN_IF_ERROR(Fetch());
      if (position >= entries_.size() || !take(At(position))) return {};
    }
  }

  // Begins again with what is in the directory now.
  void Rewind();

 private:
  struct Stored {
    uint64_t ino;
    uint32_t dev_major, dev_minor;
    uint64_t name_offset;
    uint8_t type;
    uint8_t name_size;
  };
  Entry At(uint64_t position) const;
  Status Fetch();

  Client& client_;
  const Fdid fd_;
  std::mutex mutex_;
  bool from_start_ = true;  // The next request begins at the directory's start.
  bool complete_ = false;
  std::vector<Stored> entries_;
  std::string names_;
};

}  // namespace lisafs

#endif  // LISAFS_PLUGIN_DIRECTORY_LISTING_H_
