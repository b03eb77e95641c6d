#include "plugin/directory_listing.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <tuple>
#include <unordered_map>

#include "base/clock.h"
#include "plugin/fuse_kernel.h"

namespace lisafs {
namespace {

// Bytes of struct linux_dirent64 to ask for at a time.
constexpr int32_t kFetchSize = 64 << 10;

// How many entries to look over for one that the server gives with its attributes.
constexpr size_t kReach = 64;

// The server is trusted with data, not with what the kernel takes for a name.
bool IsName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxName && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\0", 2)) == name.npos;
}

}  // namespace

Status DirectoryListing::Refresh(Client& client, Fdid fd, uint64_t stamp, uint32_t stat_size, Stats* stats) {
  const uint64_t changes = changes_.load(std::memory_order_acquire);
  const std::chrono::nanoseconds looked(MonotonicNanoseconds());
  Look look;
  if (stat_size != 0) LISAFS_RETURN_IF_ERROR(FetchWithStats(client, fd, stat_size, look));
  while (!look.complete) LISAFS_RETURN_IF_ERROR(Fetch(client, fd, look));
  Stats found = Take(std::move(look));
  if (stats != nullptr) *stats = std::move(found);
  seen_changes_ = changes;
  stamp_ = stamp;
  looked_ = looked;
  return {};
}

Result<bool> DirectoryListing::Look::Add(Stored entry, std::string_view name, uint64_t next) {
  const size_t offset = names.size();
  entry.before = std::exchange(position, next);
  names += name;
  // Judged by the copy: the original may be shared memory.
  if (!IsName(std::string_view(names).substr(offset))) {
    names.resize(offset);
    return false;
  }
  if (offset > std::numeric_limits<uint32_t>::max()) return Fail(EOVERFLOW);
  entry.name_offset = static_cast<uint32_t>(offset);
  entry.name_size = static_cast<uint8_t>(names.size() - offset);
  entries.push_back(entry);
  return true;
}

Status DirectoryListing::FetchWithStats(Client& client, Fdid fd, uint32_t size, Look& look) {
  look.begun = true;
  return client.Call<Mid::kListStat>({.fd = fd, .size = size}, [&](const ListStatResp& response) -> Status {
    look.complete = response.count == 0;
    Reader reader(response.dirents.bytes);
    for (uint16_t i = 0; i < response.count; ++i) {
      StatDirent dirent;
      std::apply([&](auto&... field) { (reader.Read(field), ...); }, dirent.Tie());
      if (!reader.ok()) return Fail(EPROTO);
      LISAFS_ASSIGN_OR_RETURN(bool added, look.Add({.ino = dirent.stat.ino,
                                                    .dev_major = dirent.stat.dev_major,
                                                    .dev_minor = dirent.stat.dev_minor,
                                                    .type = static_cast<uint8_t>(IFTODT(dirent.stat.mode))},
                                                   dirent.name, dirent.off));
      if (added) look.stats.push_back(dirent.stat);
    }
    return {};
  });
}

Status DirectoryListing::Fetch(Client& client, Fdid fd, Look& look) {
  // A negative count starts at the beginning.
  const Getdents64Req request{.fd = fd, .count = look.begun ? kFetchSize : -kFetchSize};
  look.begun = true;
  return client.Call<Mid::kGetdents64>(request, [&](const Getdents64Resp& response) -> Status {
    look.complete = response.count == 0;
    Reader reader(response.dirents.bytes);
    for (uint16_t i = 0; i < response.count; ++i) {
      Dirent dirent;
      std::apply([&](auto&... field) { (reader.Read(field), ...); }, dirent.Tie());
      if (!reader.ok()) return Fail(EPROTO);
      auto added = look.Add(
          {.ino = dirent.ino, .dev_major = dirent.dev_major, .dev_minor = dirent.dev_minor, .type = dirent.type},
          dirent.name, dirent.off);
      if (!added) return Fail(added.error());
    }
    return {};
  });
}

DirectoryListing::Stats DirectoryListing::Take(Look look) {
  constexpr uint64_t kNew = 0;
  // Mostly the server gives the same names in the same order as before.
  std::unordered_map<std::string_view, size_t> by_name;
  auto find = [&](std::string_view name, size_t expected) {
    if (expected < entries_.size() && Name(entries_[expected]) == name) return expected;
    if (by_name.empty()) {
      for (size_t i = 0; i < entries_.size(); ++i) by_name.emplace(Name(entries_[i]), i);
    }
    auto found = by_name.find(name);
    return found == by_name.end() ? entries_.size() : found->second;
  };
  std::vector<bool> stays(entries_.size());
  bool differs = false;
  size_t expected = 0, kept = 0, kept_stats = 0;
  for (size_t i = 0; i < look.entries.size(); ++i) {
    Stored entry = look.entries[i];
    const size_t same = find(look.Name(entry), expected);
    if (same < entries_.size()) {
      // One that went and came again while the server was looking.
      if (stays[same]) continue;
      stays[same] = true;
      expected = same + 1;
      const Stored& known = entries_[same];
      entry.number = known.number;
      entry.generation = known.generation;
      differs = differs || std::tie(entry.ino, entry.dev_major, entry.dev_minor, entry.type) !=
                               std::tie(known.ino, known.dev_major, known.dev_minor, known.type);
    } else {
      entry.number = kNew;
      differs = true;
    }
    if (i < look.stats.size()) look.stats[kept_stats++] = look.stats[i];
    look.entries[kept++] = entry;
  }
  look.stats.resize(kept_stats);
  look.entries.resize(kept);
  differs = differs || std::find(stays.begin(), stays.end(), false) != stays.end();
  if (differs && known_) generation_ = (generation_ + 1) % Position::kGenerations;
  known_ = true;

  for (Stored& entry : look.entries) {
    if (entry.number != kNew) continue;
    entry.number = next_number_++;
    entry.generation = generation_;
  }
  Stats stats;
  for (size_t i = 0; i < look.stats.size(); ++i) stats.emplace_back(uint64_t{look.entries[i].number}, look.stats[i]);
  auto by_number = [](const auto& a, const auto& b) { return a.number < b.number; };
  if (!std::is_sorted(look.entries.begin(), look.entries.end(), by_number)) {
    std::sort(look.entries.begin(), look.entries.end(), by_number);
    std::sort(stats.begin(), stats.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  }
  entries_ = std::move(look.entries);
  names_ = std::move(look.names);
  entries_.shrink_to_fit();
  names_.shrink_to_fit();
  return stats;
}

Result<DirectoryListing::Stats> DirectoryListing::GetStats(Client& client, Fdid fd, Position from, uint32_t stat_size) {
  Stats stats;
  size_t next = Find(from.number);
  if (next == entries_.size()) return stats;
  const ListStatReq request{.fd = fd, .position = entries_[next].before, .size = stat_size};
  LISAFS_RETURN_IF_ERROR(client.Call<Mid::kListStat>(request, [&](const ListStatResp& response) -> Status {
    Reader reader(response.dirents.bytes);
    for (uint16_t i = 0; i < response.count; ++i) {
      StatDirent dirent;
      std::apply([&](auto&... field) { (reader.Read(field), ...); }, dirent.Tie());
      if (!reader.ok()) return Fail(EPROTO);
      const size_t reach = std::min(entries_.size(), next + kReach);
      size_t at = next;
      while (at < reach && Name(entries_[at]) != dirent.name) ++at;
      if (at == reach) continue;
      stats.emplace_back(uint64_t{entries_[at].number}, dirent.stat);
      next = at + 1;
    }
    return {};
  }));
  return stats;
}

std::chrono::nanoseconds DirectoryListing::age() const {
  return std::chrono::nanoseconds(MonotonicNanoseconds()) - looked_;
}

size_t DirectoryListing::Find(uint64_t number) const {
  auto found = std::lower_bound(entries_.begin(), entries_.end(), number,
                                [](const Stored& entry, uint64_t wanted) { return entry.number < wanted; });
  return static_cast<size_t>(found - entries_.begin());
}

size_t DirectoryListing::Last(uint32_t generation) const {
  for (size_t i = entries_.size(); i > 0; --i) {
    if (IsOf(entries_[i - 1], generation)) return i - 1;
  }
  return entries_.size();
}

DirectoryListing::Position DirectoryListing::End(uint32_t generation) const {
  if (filled_to_ && *filling_ != generation) return *filled_to_;
  const size_t last = Last(generation);
  return {generation, last == entries_.size() ? kFirstNumber : entries_[last].number + 1};
}

// No entry is in two pages.
bool DirectoryListing::HidesTheRestWhenCached() const {
  const auto page = static_cast<size_t>(getpagesize());
  auto size_of = [](size_t name_size) { return FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + name_size); };
  size_t used = size_of(1) + size_of(2);  // "." and "..".
  for (const Stored& entry : entries_) {
    const size_t size = size_of(entry.name_size);
    used = used + size <= page ? used + size : size;
  }
  return used == page;
}

void DirectoryListing::Begun() {
  if (!filling_) filling_ = generation_;
}

void DirectoryListing::Given(Position end) {
  if (filling_ == end.generation) filled_to_ = end;
}

void DirectoryListing::Ended(Position end) {
  if (filling_ != end.generation) return;
  filling_.reset();
  filled_to_.reset();
}

}  // namespace lisafs
