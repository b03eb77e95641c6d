#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>

#include "gofer/file.h"
#include "gofer/handlers.h"

namespace lisafs {
namespace {

// What one entry takes on the wire, without its name.
constexpr size_t kDirentSize = 27;
constexpr size_t kReadSize = 32768;

bool IsDotOrDotDot(const char* name) { return strcmp(name, ".") == 0 || strcmp(name, "..") == 0; }

// The entry as the wire has it; false for one that is no longer there. The directory's own entry gives no device
// number, and for a mount point another file's inode number.
bool MakeDirent(int directory, const dirent64& entry, Dirent& made) {
  struct statx stat;
  if (statx(directory, entry.d_name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_INO | STATX_TYPE,
            &stat) != 0) {
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

// Fills a response with entries, within the client's budget and the space there is.
class Listing {
 public:
  Listing(int directory, uint64_t budget, std::span<std::byte> response)
      : directory_(directory),
        budget_(budget),
        count_at_(response.first(sizeof count_)),
        entries_(response.subspan(sizeof count_)) {}

  // Reads on from the directory's position, which it leaves behind the last entry that was used.
  Status Fill() {
    position_ = lseek(directory_, 0, SEEK_CUR);
    if (position_ < 0) return FailWithErrno();
    while (budget_ > 0 && !full_) {
      alignas(dirent64) char buffer[kReadSize];
      ssize_t n = getdents64(directory_, buffer, sizeof buffer);
      if (n < 0) return FailWithErrno();
      if (n == 0) break;
      LISAFS_RETURN_IF_ERROR(Use(buffer, static_cast<size_t>(n)));
    }
    return {};
  }

  size_t Finish() {
    Writer(count_at_).Write(count_);
    return count_at_.size() + entries_.size();
  }

 private:
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
    // What was read and not used is read again next time.
    if (lseek(directory_, position_, SEEK_SET) < 0) return FailWithErrno();
    // An empty answer would mean the end of the directory.
    if (count_ == 0) return Fail(EINVAL);
    return {};
  }

  // False if the entry does not fit.
  bool Add(const dirent64& entry) {
    size_t size = kDirentSize + strlen(entry.d_name);
    if (entry.d_reclen > budget_ || entries_.left() < size || count_ == UINT16_MAX) return false;
    Dirent made;
    if (!MakeDirent(directory_, entry, made)) return true;
    Encode(entries_.writer, made);
    budget_ -= entry.d_reclen;
    ++count_;
    return true;
  }

  struct Entries {
    explicit Entries(std::span<std::byte> room) : room(room), writer(room) {}
    size_t left() const { return room.size() - writer.size(); }
    size_t size() const { return writer.size(); }
    std::span<std::byte> room;
    Writer writer;
  };

  const int directory_;
  uint64_t budget_;  // Bytes of the kernel's entries.
  uint16_t count_ = 0;
  const std::span<std::byte> count_at_;
  Entries entries_;
  off_t position_ = 0;
  bool full_ = false;
};

Result<size_t> Getdents64(Connection& connection, const Getdents64Req& request, Call& call) {
  LISAFS_ASSIGN_OR_RETURN(auto open, connection.fds().Get<HostOpen>(request.fd));
  if (!open->control().is_directory()) return Fail(ENOTDIR);
  if (open->control().node().deleted()) return Fail(EINVAL);
  std::lock_guard lock(open->position());
  int64_t count = request.count;
  if (count < 0) {
    if (lseek(open->fd(), 0, SEEK_SET) < 0) return FailWithErrno();
    count = -count;
  }
  Listing listing(open->fd(), static_cast<uint64_t>(count), call.response);
  LISAFS_RETURN_IF_ERROR(listing.Fill());
  return listing.Finish();
}

}  // namespace

void ServeListing(HandlerTable& table) { table.Serve<Mid::kGetdents64, Getdents64>(); }

}  // namespace lisafs
