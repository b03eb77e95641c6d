#include "plugin/directory_listing.h"

#include <dirent.h>
#include <sys/stat.h>

#include "plugin/fuse_kernel.h"

namespace lisafs {
namespace {

// Bytes of struct linux_dirent64 to ask for at a time.
constexpr int32_t kFetchSize = 64 << 10;

// The server is trusted with data, not with what the kernel takes for a name.
bool IsName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxName && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\0", 2)) == name.npos;
}

}  // namespace

void DirectoryListing::Rewind() {
  std::lock_guard lock(mutex_);
  entries_.clear();
  names_.clear();
  from_start_ = true;
  in_step_ = true;
  complete_ = false;
}

DirectoryListing::Entry DirectoryListing::At(uint64_t position) const {
  const Stored& stored = entries_[position];
  return {stored.ino, stored.dev_major, stored.dev_minor, stored.type,
          std::string_view(names_).substr(stored.name_offset, stored.name_size)};
}

void DirectoryListing::Add(const Stored& entry, std::string_view name) {
  size_t offset = names_.size();
  names_ += name;
  // Judged by the copy: the original may be shared memory.
  if (!IsName(std::string_view(names_).substr(offset))) {
    names_.resize(offset);
    return;
  }
  entries_.push_back(entry);
  entries_.back().name_offset = offset;
  entries_.back().name_size = static_cast<uint8_t>(names_.size() - offset);
}

Status DirectoryListing::Fetch() {
  if (!in_step_) return FetchStats(entries_.size(), kFetchSize, nullptr);
  Getdents64Req request{.fd = fd_, .count = from_start_ ? -kFetchSize : kFetchSize};
  return client_.Call<Mid::kGetdents64>(request, [&](const Getdents64Resp& response) -> Status {
    from_start_ = false;
    complete_ = response.count == 0;
    Reader reader(response.dirents.bytes);
    for (uint16_t i = 0; i < response.count; ++i) {
      Dirent dirent;
      std::apply([&](auto&... field) { (reader.Read(field), ...); }, dirent.Tie());
      if (!reader.ok()) return Fail(EPROTO);
      Add({.ino = dirent.ino,
           .dev_major = dirent.dev_major,
           .dev_minor = dirent.dev_minor,
           .off = dirent.off,
           .type = dirent.type},
          dirent.name);
    }
    return {};
  });
}

Status DirectoryListing::FetchStats(uint64_t position, uint32_t size, std::vector<std::optional<Statx>>* stats) {
  ListStatReq request{.fd = fd_, .position = position == 0 ? 0 : entries_[position - 1].off, .size = size};
  return client_.Call<Mid::kListStat>(request, [&](const ListStatResp& response) -> Status {
    from_start_ = false;
    if (response.count == 0 && position == entries_.size()) complete_ = true;
    uint64_t next = position;
    Reader reader(response.dirents.bytes);
    for (uint16_t i = 0; i < response.count; ++i) {
      StatDirent dirent;
      std::apply([&](auto&... field) { (reader.Read(field), ...); }, dirent.Tie());
      if (!reader.ok()) return Fail(EPROTO);
      // What is known keeps its place, what has come in between since is not shown, and the rest is new.
      const size_t known = entries_.size();
      uint64_t at = next;
      while (at < known && At(at).name != dirent.name) ++at;
      if (at == known && next < known) continue;
      if (at == known) {
        Add({.ino = dirent.stat.ino,
             .dev_major = dirent.stat.dev_major,
             .dev_minor = dirent.stat.dev_minor,
             .off = dirent.off,
             .type = static_cast<uint8_t>(IFTODT(dirent.stat.mode))},
            dirent.name);
        if (entries_.size() == known) continue;
      }
      next = at + 1;
      if (stats == nullptr) continue;
      stats->resize(next - position);
      stats->back() = dirent.stat;
    }
    in_step_ = next == entries_.size();
    return {};
  });
}

}  // namespace lisafs
