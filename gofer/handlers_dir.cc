#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <mutex>

#include "gofer/file.h"
#include "gofer/handlers.h"

namespace lisafs {
namespace {

bool IsDotOrDotDot(const char* name) { return strcmp(name, ".") == 0 || strcmp(name, "..") == 0; }

// An open directory that is listed.
struct Directory {
  int fd;
  // Whether its own entries say which files they are, but for directories, which may be other file systems: where
  // inodes have one number for all, and are all on this device. (A file that another is mounted on is said to be the
  // one below, as getdents(2) says it.)
  bool tells_files = false;
  uint32_t dev_major = 0, dev_minor = 0;
};

Directory LookAt(int fd) {
  struct statfs file_system;
  auto stat = StatFd(fd);
  if (!stat || fstatfs(fd, &file_system) != 0) return {fd};
  const auto type = file_system.f_type;
  return {fd, type == TMPFS_MAGIC || type == EXT4_SUPER_MAGIC || type == XFS_SUPER_MAGIC, stat->dev_major,
          stat->dev_minor};
}

// What the two messages' entries are. Make is false for one that is no longer there.

struct PlainEntry {
  static constexpr size_t kSize = 27;  // On the wire, without its name.
  // Of the client's budget, which is in bytes of the kernel's entries.
  static size_t Cost(const dirent64& entry) { return entry.d_reclen; }

  // The directory's own entry gives no device number, and for a mount point another file's inode number.
  static bool Make(const Directory& directory, const dirent64& entry, Dirent& made) {
    if (directory.tells_files && entry.d_type != DT_DIR && entry.d_type != DT_UNKNOWN) {
      made = {
          .ino = entry.d_ino,
          .dev_minor = directory.dev_minor,
          .dev_major = directory.dev_major,
          .off = static_cast<uint64_t>(entry.d_off),
          .type = entry.d_type,
          .name = entry.d_name,
      };
      return true;
    }
    struct statx stat;
    if (statx(directory.fd, entry.d_name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
              STATX_INO | STATX_TYPE, &stat) != 0) {
      return false;
    }
    made = {
        .ino = stat.stx_ino,
        .dev_minor = stat.stx_dev_minor,
        .dev_major = stat.stx_dev_major,
        .off = static_cast<uint64_t>(entry.d_off),
        .type = static_cast<uint8_t>(IFTODT(stat.stx_mode)),
        .name = entry.d_name,
    };
    return true;
  }
  using Body = Dirent;
};

struct EntryWithStat {
  static constexpr size_t kSize = kStatDirentSize;
  static size_t Cost(const dirent64& entry) { return kSize + strlen(entry.d_name); }

  static bool Make(const Directory& directory, const dirent64& entry, StatDirent& made) {
    auto stat = StatName(directory.fd, entry.d_name);
    if (!stat) return false;
    made = {.off = static_cast<uint64_t>(entry.d_off), .stat = *stat, .name = entry.d_name};
    return true;
  }
  using Body = StatDirent;
};

// Fills a response with entries, within the client's budget and the space there is.
template <typename Entry>
class Listing {
 public:
  Listing(const Directory& directory, uint64_t budget, std::span<std::byte> response)
      : directory_(directory), budget_(budget), response_(response), entries_(response.subspan(sizeof count_)) {}

  // Reads on from the directory's position, which it leaves behind the last entry that was used.
  Status Fill() {
    position_ = lseek(directory_.fd, 0, SEEK_CUR);
    if (position_ < 0) return FailWithErrno();
    while (budget_ > 0 && !full_) {
      alignas(dirent64) char buffer[kLargestRead];
      ssize_t n = getdents64(directory_.fd, buffer, ReadSize());
      if (n < 0) return FailWithErrno();
      if (n == 0) break;
      LISAFS_RETURN_IF_ERROR(Use(buffer, static_cast<size_t>(n)));
    }
    return {};
  }

  size_t Finish() {
    Writer(response_).Write(count_);
    return sizeof count_ + entries_.size();
  }

 private:
  static constexpr size_t kLargestRead = 32768;
  static constexpr size_t kSmallestRead = 1024;  // Holds any one entry.
  static constexpr size_t kCommonEntry = 32;

  // What is read and does not fit is read again by the next request: about as much as the budget is good for.
  size_t ReadSize() const {
    return std::clamp<uint64_t>(budget_ / Entry::kSize * kCommonEntry, kSmallestRead, kLargestRead);
  }

  Status Use(const char* buffer, size_t size) {
    for (size_t at = 0; at < size;) {
      const auto& entry = *reinterpret_cast<const dirent64*>(buffer + at);
      if (!IsDotOrDotDot(entry.d_name) && !Add(entry)) {
        full_ = true;
        break;
      }
      at += entry.d_reclen;
      position_ = entry.d_off;
    }
    if (!full_) return {};
    if (lseek(directory_.fd, position_, SEEK_SET) < 0) return FailWithErrno();
    // An empty answer would mean the end of the directory.
    if (count_ == 0) return Fail(EINVAL);
    return {};
  }

  // False if the entry does not fit.
  bool Add(const dirent64& entry) {
    size_t cost = Entry::Cost(entry);
    size_t size = Entry::kSize + strlen(entry.d_name);
    size_t left = response_.size() - sizeof count_ - entries_.size();
    if (cost > budget_ || size > left || count_ == UINT16_MAX) return false;
    typename Entry::Body made;
    if (!Entry::Make(directory_, entry, made)) return true;
    Encode(entries_, made);
    budget_ -= cost;
    ++count_;
    return true;
  }

  const Directory directory_;
  uint64_t budget_;
  uint16_t count_ = 0;
  const std::span<std::byte> response_;
  Writer entries_;
  off_t position_ = 0;
  bool full_ = false;
};

Result<std::shared_ptr<HostOpen>> FindDirectory(Connection& connection, Fdid fd) {
  LISAFS_ASSIGN_OR_RETURN(auto open, connection.fds().Get<HostOpen>(fd));
  if (!open->control().is_directory()) return Fail(ENOTDIR);
  if (open->control().node().deleted()) return Fail(EINVAL);
  return open;
}

template <typename Entry>
Result<size_t> List(const Directory& directory, uint64_t budget, Call& call) {
  Listing<Entry> listing(directory, budget, call.response);
  LISAFS_RETURN_IF_ERROR(listing.Fill());
  return listing.Finish();
}

Result<size_t> Getdents64(Connection& connection, const Getdents64Req& request, Call& call) {
  LISAFS_ASSIGN_OR_RETURN(auto open, FindDirectory(connection, request.fd));
  std::lock_guard lock(open->position());
  int64_t count = request.count;
  if (count < 0) {
    if (lseek(open->fd(), 0, SEEK_SET) < 0) return FailWithErrno();
    count = -count;
  }
  return List<PlainEntry>(LookAt(open->fd()), static_cast<uint64_t>(count), call);
}

Result<size_t> ListStat(Connection& connection, const ListStatReq& request, Call& call) {
  LISAFS_ASSIGN_OR_RETURN(auto open, FindDirectory(connection, request.fd));
  std::lock_guard lock(open->position());
  if (lseek(open->fd(), static_cast<off_t>(request.position), SEEK_SET) < 0) return FailWithErrno();
  return List<EntryWithStat>({open->fd()}, request.size, call);
}

}  // namespace

void ServeListing(HandlerTable& table) {
  table.Serve<Mid::kGetdents64, Getdents64>();
  table.Serve<Mid::kListStat, ListStat>();
}

}  // namespace lisafs
