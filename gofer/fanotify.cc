#include "gofer/fanotify.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <utility>

namespace lisafs {
namespace {

// Linux 6.5: the handle need not be one that can be opened. Younger than Debian 12's headers.
constexpr int kAtHandleFid = 0x200;

constexpr uint64_t kFileEvents = FAN_MODIFY | FAN_CLOSE_WRITE | FAN_ATTRIB | FAN_DELETE_SELF;
constexpr uint64_t kDirectoryEvents = kFileEvents | FAN_CREATE | FAN_DELETE | FAN_ONDIR | FAN_EVENT_ON_CHILD;

// Bytes of `fsid` and of the handle behind one another.
FileKey MakeKey(const void* fsid, const file_handle& handle) {
  FileKey key(static_cast<const char*>(fsid), sizeof(fsid_t));
  key.append(reinterpret_cast<const char*>(&handle.handle_type), sizeof handle.handle_type);
  key.append(reinterpret_cast<const char*>(handle.f_handle), handle.handle_bytes);
  return key;
}

}  // namespace

StepResult<FanotifyGroup> FanotifyGroup::Create() {
  // The number of marks is limited by whoever marks. That of queued events is by the kernel: what does not fit is lost,
  // and says so.
  Fd fd(fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_FID | FAN_REPORT_DFID_NAME |
                          FAN_REPORT_TID | FAN_UNLIMITED_MARKS,
                      O_RDONLY | O_CLOEXEC));
  if (!fd) return FailStepWithErrno("watching for changes on the host (fanotify_init)");
  return FanotifyGroup(std::move(fd));
}

FanotifyGroup::FanotifyGroup(FanotifyGroup&& other) noexcept
    : fd_(std::move(other.fd_)), buffer_(std::move(other.buffer_)), knows_rename_(other.knows_rename_.load()) {}

Result<FileKey> FanotifyGroup::Key(int fd) {
  struct {
    file_handle handle;
    unsigned char bytes[MAX_HANDLE_SZ];
  } named = {};
  named.handle.handle_bytes = sizeof named.bytes;
  int mount_id;
  int result = name_to_handle_at(fd, "", &named.handle, &mount_id, AT_EMPTY_PATH | kAtHandleFid);
  if (result != 0 && errno == EINVAL) {
    named.handle.handle_bytes = sizeof named.bytes;
    result = name_to_handle_at(fd, "", &named.handle, &mount_id, AT_EMPTY_PATH);
  }
  if (result != 0) return FailWithErrno();
  struct statfs file_system;
  if (fstatfs(fd, &file_system) != 0) return FailWithErrno();
  return MakeKey(&file_system.f_fsid, named.handle);
}

Status FanotifyGroup::Mark(const SelfFds& self, int fd, bool is_directory) {
  const FdName name(fd);
  auto mark = [&](uint64_t events) {
    return fanotify_mark(fd_.get(), FAN_MARK_ADD, events, self.fd(), name.c_str()) == 0;
  };
  if (!is_directory) {
    if (!mark(kFileEvents)) return FailWithErrno();
    return {};
  }
  if (knows_rename_.load(std::memory_order_relaxed)) {
    if (mark(kDirectoryEvents | FAN_RENAME)) return {};
    if (errno != EINVAL) return FailWithErrno();
    knows_rename_ = false;
  }
  if (!mark(kDirectoryEvents | FAN_MOVED_FROM | FAN_MOVED_TO)) return FailWithErrno();
  return {};
}

Status FanotifyGroup::UnmarkAll(const SelfFds& self) {
  if (fanotify_mark(fd_.get(), FAN_MARK_FLUSH, 0, self.fd(), nullptr) != 0) return FailWithErrno();
  return {};
}

StepResult<void> FanotifyGroup::LeaveOutMount(const SelfFds& self, int fd) {
  const FdName name(fd);
  constexpr unsigned kFlags = FAN_MARK_ADD | FAN_MARK_MOUNT | FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY;
  if (fanotify_mark(fd_.get(), kFlags, FAN_MODIFY | FAN_CLOSE_WRITE, self.fd(), name.c_str()) != 0) {
    return FailStepWithErrno("leaving out what clients write themselves (fanotify_mark)");
  }
  return {};
}

size_t FanotifyGroup::Fill() {
  ssize_t size = read(fd_.get(), buffer_.get(), kBufferSize);
  return size > 0 ? static_cast<size_t>(size) : 0;
}

size_t FanotifyGroup::Parse(size_t at, size_t size, HostEvent& event) const {
  fanotify_event_metadata metadata;
  if (size - at < sizeof metadata) return size;
  memcpy(&metadata, buffer_.get() + at, sizeof metadata);
  const size_t end = at + metadata.event_len;
  if (metadata.event_len < metadata.metadata_len || end > size) return size;
  event.mask = metadata.mask;
  event.thread = metadata.pid;

  for (at += metadata.metadata_len; end - at >= sizeof(fanotify_event_info_fid) + sizeof(file_handle);) {
    const char* record = buffer_.get() + at;
    fanotify_event_info_header header;
    memcpy(&header, record, sizeof header);
    if (header.len < sizeof(fanotify_event_info_fid) + sizeof(file_handle) || header.len > end - at) break;
    at += header.len;
    // Records are aligned to four bytes.
    const auto* about = reinterpret_cast<const fanotify_event_info_fid*>(record);
    const auto& handle = *reinterpret_cast<const file_handle*>(about->handle);
    const char* name = reinterpret_cast<const char*>(handle.f_handle) + handle.handle_bytes;
    FileKey key = MakeKey(&about->fsid, handle);
    switch (header.info_type) {
      case FAN_EVENT_INFO_TYPE_DFID_NAME:
      case FAN_EVENT_INFO_TYPE_OLD_DFID_NAME:
        event.name = name;
        // The directory itself.
        if (event.name == ".") event.name = {};
        event.directory = std::move(key);
        break;
      case FAN_EVENT_INFO_TYPE_NEW_DFID_NAME:
        event.new_directory = std::move(key);
        event.new_name = name;
        break;
      case FAN_EVENT_INFO_TYPE_DFID:
        event.directory = std::move(key);
        break;
      case FAN_EVENT_INFO_TYPE_FID:
        event.file = std::move(key);
        break;
    }
  }
  return end;
}

}  // namespace lisafs
