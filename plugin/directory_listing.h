#ifndef LISAFS_PLUGIN_DIRECTORY_LISTING_H_
#define LISAFS_PLUGIN_DIRECTORY_LISTING_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "lisafs/client.h"

namespace lisafs {

// What a directory lists, one for all who list it: its entries as of the last look at the server, each with a number
// that it keeps as long as it is there, and that no other gets. New ones follow after all that there were.
//
// Who lists a directory goes on by position, and finds every entry that stays exactly once, whatever happens to the
// others and however often others look at the server meanwhile. The kernel caches what several readers were given, by
// position too. Lest it mixes what is now with what was, a position also says which generation of the listing it is of:
// a new one begins whenever a look finds something else than the last.
//
// "." and ".." are not in it. For any thread; whoever calls holds the listing's lock, but for Changed() and what says
// so.
class DirectoryListing {
 public:
  // As the kernel is told it, and takes it for no more than a number: 23 bits of generation and 40 of number. 0 is the
  // beginning of any generation, and the first generation's positions are small, as programs without 64-bit offsets
  // need them. Generations come round after 8 million, numbers never.
  struct Position {
    uint32_t generation = 0;
    uint64_t number = 0;

    static constexpr int kNumberBits = 40;
    static constexpr uint64_t kNumbers = uint64_t{1} << kNumberBits;
    static constexpr uint32_t kGenerations = 1 << 23;
    static Position Of(uint64_t value) {
      return {static_cast<uint32_t>(value >> kNumberBits) % kGenerations, value % kNumbers};
    }
    uint64_t value() const { return uint64_t{generation} << kNumberBits | number; }
  };
  // Numbers below it are for others to use.
  static constexpr uint64_t kFirstNumber = 2;

  struct Entry {
    uint64_t ino;
    uint32_t dev_major, dev_minor;
    uint8_t type;  // DT_*.
    std::string_view name;
    uint64_t number;
    uint64_t next;  // The position behind it.
  };
  // Attributes of entries by their numbers, in order.
  using Stats = std::vector<std::pair<uint64_t, Statx>>;

  [[nodiscard]] std::unique_lock<std::mutex> Lock() { return std::unique_lock(mutex_); }

  // Looks at the server, by an open FD of the directory. `stamp` stands for what the look is good for.
  // `stat_size`, if not 0, gets `stats` of the first entries, as
  // many as that many bytes of the server's answer hold.
  Status Refresh(Client& client, Fdid fd, uint64_t stamp, uint32_t stat_size, Stats* stats);
  // Those of entries from `from` on. What does not stand where it stood at the last look is left out.
  Result<Stats> GetStats(Client& client, Fdid fd, Position from, uint32_t stat_size);

  uint32_t generation() const { return generation_; }
  // Whether there was a look / and what it found is what is there, if nobody else changes names.
  bool is_known() const { return known_; }
  bool IsUnchanged(uint64_t stamp) const {
    return known_ && stamp_ == stamp && seen_changes_ == changes_.load(std::memory_order_acquire);
  }
  // Since the last look.
  std::chrono::nanoseconds age() const;
  // A name in the directory was made or removed, or may have been. Without the lock.
  void Changed() { changes_.fetch_add(1, std::memory_order_acq_rel); }

  // Calls `take` with the entries of `from.generation` that are still there, from `from` on, in order, until it returns
  // false or there are no more; of an unknown generation, with all. True if there were no more.
  template <typename F>
  bool ForEach(Position from, F&& take) {
    const size_t last = Last(from.generation);
    for (size_t i = Find(from.number); i < entries_.size(); ++i) {
      const Stored& entry = entries_[i];
      if (!IsOf(entry, from.generation)) continue;
      const Position next = i == last ? End(from.generation) : Position{from.generation, entry.number + 1};
      if (!take(Entry{entry.ino, entry.dev_major, entry.dev_minor, entry.type, Name(entry), entry.number,
                      next.value()})) {
        return false;
      }
    }
    return true;
  }
  // Whether there is nothing of any generation from `from` on.
  bool IsEnd(Position from) const { return Find(from.number) == entries_.size(); }
  // The position before the first entry of a generation, or its end if it has none.
  uint64_t Start(uint32_t generation) const {
    return (Last(generation) == entries_.size() ? End(generation) : Position{generation, kFirstNumber}).value();
  }

  // The kernel's cache is filled by readers one after another, each where the last one stopped, and is emptied only
  // once it has been filled to the end and the directory is found to have changed. Should all entries of a generation
  // be given to readers that do not ask whether there are more, and another generation begin, it would remain as it is,
  // of no use to anybody. So the new one is made to end where the old one does, until somebody gets there: the kernel
  // then takes its cache to be full, and out of date.
  //
  // Somebody begins to read the present generation / was given all up to `end` / asks for what is behind it.
  void Begun();
  void Given(Position end);
  void Ended(Position end);
  // Whether the kernel, once it has cached the present generation, would give nothing more to those who read an older
  // one: if what is cached ends where a page of it does, Linux (fuse_readdir_cached, 6.18) takes any position that it
  // does not find there for the end.
  bool HidesTheRestWhenCached() const;

 private:
  struct Stored {
    uint64_t ino;
    uint32_t dev_major, dev_minor;
    uint64_t number : Position::kNumberBits;
    uint64_t generation : 23;  // That it was new in.
    uint64_t before;           // The server's position before it.
    uint32_t name_offset;
    uint8_t name_size;
    uint8_t type;
  };
  // Entries of one look at the server, without numbers.
  struct Look {
    std::vector<Stored> entries;
    std::string names;
    std::vector<Statx> stats;  // Of the first ones.
    uint64_t position = 0;     // The server's, behind the last one.
    bool begun = false;
    bool complete = false;

    std::string_view Name(const Stored& entry) const {
      return std::string_view(names).substr(entry.name_offset, entry.name_size);
    }
    // False if it is none that can be listed.
    Result<bool> Add(Stored entry, std::string_view name, uint64_t next);
  };

  static Status FetchWithStats(Client& client, Fdid fd, uint32_t size, Look& look);
  static Status Fetch(Client& client, Fdid fd, Look& look);
  // Numbers the entries and makes them the listing. Gives their attributes.
  Stats Take(Look look);

  static bool IsOf(const Stored& entry, uint32_t generation) {
    return (generation - static_cast<uint32_t>(entry.generation)) % Position::kGenerations < Position::kGenerations / 2;
  }
  std::string_view Name(const Stored& entry) const {
    return std::string_view(names_).substr(entry.name_offset, entry.name_size);
  }
  // The first entry with this number or a higher one / the last one of a generation; entries_.size() if there is none.
  size_t Find(uint64_t number) const;
  size_t Last(uint32_t generation) const;
  Position End(uint32_t generation) const;

  std::mutex mutex_;
  std::atomic<uint64_t> changes_ = 0;
  uint64_t seen_changes_ = 0;
  uint64_t stamp_ = 0;
  std::chrono::nanoseconds looked_{};
  bool known_ = false;
  uint32_t generation_ = 0;
  uint64_t next_number_ = kFirstNumber;
  std::vector<Stored> entries_;  // By number.
  std::string names_;

  // The generation that its cache may be filled with, and its end once all of it was given.
  std::optional<uint32_t> filling_;
  std::optional<Position> filled_to_;
};

}  // namespace lisafs

#endif  // LISAFS_PLUGIN_DIRECTORY_LISTING_H_
