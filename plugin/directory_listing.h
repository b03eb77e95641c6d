#ifndef LISAFS_PLUGIN_DIRECTORY_LISTING_H_
#define LISAFS_PLUGIN_DIRECTORY_LISTING_H_

#include <cstdint>
#include <mutex>
#include <optional>
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
    const Statx* stat = nullptr;  // What the file is now, if ForEachWithStat found out.
  };
  // Calls `take` with the entries from the one at `position` on, in order, until it returns false or there are no more.
  // `take` must not use the listing.
  template <typename F>
  Status ForEach(uint64_t position, F&& take) {
    std::lock_guard lock(mutex_);
    return ForEachHere(position, take);
  }
  // The same with attributes, as long as the server gives them with the listing, of the entries that fit in about
  // `size` bytes; fewer entries than there are may be taken, but not none.
  template <typename F>
  Status ForEachWithStat(uint64_t position, uint32_t size, F&& take) {
    std::lock_guard lock(mutex_);
    if (!client_.Supports(Mid::kListStat)) return ForEachHere(position, take);
    while (position > entries_.size() && !complete_) LISAFS_RETURN_IF_ERROR(Fetch());
    if (position > entries_.size() || (position == entries_.size() && complete_)) return {};
    std::vector<std::optional<Statx>> stats;
    LISAFS_RETURN_IF_ERROR(FetchStats(position, size, &stats));
    for (const std::optional<Statx>& stat : stats) {
      Entry entry = At(position++);
      if (stat) entry.stat = &*stat;
      if (!take(entry)) return {};
    }
    return stats.empty() ? ForEachHere(position, take) : Status();
  }

  // Begins again with what is in the directory now.
  void Rewind();

 private:
  struct Stored {
    uint64_t ino;
    uint32_t dev_major, dev_minor;
    uint64_t off;  // The server's position behind it.
    uint64_t name_offset;
    uint8_t type;
    uint8_t name_size;
  };
  // These hold mutex_.
  template <typename F>
  Status ForEachHere(uint64_t position, F& take) {
    for (; true; ++position) {
      while (position >= entries_.size() && !complete_) LISAFS_RETURN_IF_ERROR(Fetch());
      if (position >= entries_.size() || !take(At(position))) return {};
    }
  }
  Entry At(uint64_t position) const;
  void Add(const Stored& entry, std::string_view name);
  // Gets more entries.
  Status Fetch();
  // Gets attributes for the entries from `position` on, as many as the server gives for `size` bytes, and adds entries
  // that were not known. An entry that is no longer there has none. `stats` may be null.
  Status FetchStats(uint64_t position, uint32_t size, std::vector<std::optional<Statx>>* stats);

  Client& client_;
  const Fdid fd_;
  std::mutex mutex_;
  bool from_start_ = true;  // The next request begins at the directory's start.
  bool in_step_ = true;     // The server's own position is behind the last entry, or from_start_.
  bool complete_ = false;
  std::vector<Stored> entries_;
  std::string names_;
};

}  // namespace lisafs

#endif  // LISAFS_PLUGIN_DIRECTORY_LISTING_H_
