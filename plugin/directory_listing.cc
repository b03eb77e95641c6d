#include "plugin/directory_listing.h"

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
  complete_ = false;
}

DirectoryListing::Entry DirectoryListing::At(uint64_t position) const {
  const Stored& stored = entries_[position];
  return {stored.ino, stored.dev_major, stored.dev_minor, stored.type,
          std::string_view(names_).substr(stored.name_offset, stored.name_size)};
}

Status DirectoryListing::Fetch() {
  Getdents64Req request{.fd = fd_, .count = from_start_ ? -kFetchSize : kFetchSize};
  return client_.Call<Mid::kGetdents64>(request, [&](const Getdents64Resp& response) -> Status {
    from_start_ = false;
    complete_ = response.count == 0;
    Reader reader(response.dirents.bytes);
    for (uint16_t i = 0; i < response.count; ++i) {
      Dirent dirent;
      std::apply([&](auto&... field) { (reader.Read(field), ...); }, dirent.Tie());
      if (!reader.ok()) return Fail(EPROTO);
      size_t offset = names_.size();
      names_ += dirent.name;
      // Judged by the copy: the original may be shared memory.
      if (!IsName(std::string_view(names_).substr(offset))) {
        names_.resize(offset);
        continue;
      }
      entries_.push_back({.ino = dirent.ino,
                          .dev_major = dirent.dev_major,
                          .dev_minor = dirent.dev_minor,
                          .name_offset = offset,
                          .type = dirent.type,
                          .name_size = static_cast<uint8_t>(names_.size() - offset)});
    }
    return {};
  });
}

}  // namespace lisafs
