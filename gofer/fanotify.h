#ifndef LISAFS_GOFER_FANOTIFY_H_
#define LISAFS_GOFER_FANOTIFY_H_

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"
#include "gofer/self_fds.h"

// The kernel's fanotify(7), as far as it says what happens in directories and by which thread.

namespace lisafs {

// A file for as long as it is marked: its file system's number and its handle there. Only to be compared.
using FileKey = std::string;

struct HostEvent {
  // FAN_CREATE, FAN_DELETE, FAN_MODIFY, FAN_CLOSE_WRITE, FAN_ATTRIB, FAN_DELETE_SELF or FAN_RENAME, several of them,
  // with FAN_ONDIR if it is about a directory; FAN_MOVED_FROM and FAN_MOVED_TO on kernels without FAN_RENAME. Or
  // FAN_Q_OVERFLOW alone: events were lost.
  uint64_t mask = 0;
  // Who did it, in the reader's pid namespace; 0 for somebody outside.
  pid_t thread = 0;
  // The directory and the name in it; a directory itself has no name. With FAN_RENAME the old place and the new one: of
  // a directory that is not marked the key is empty.
  FileKey directory;
  std::string_view name;
  // The file that it happened to; not with names that are made, removed or changed.
  FileKey file;
  FileKey new_directory;
  std::string_view new_name;
};

// A group of marks and a queue of events. Making one needs CAP_SYS_ADMIN, marking nothing. Any thread may mark; one
// reads.
class FanotifyGroup {
 public:
  static StepResult<FanotifyGroup> Create();
  FanotifyGroup(FanotifyGroup&& other) noexcept;

  // Readable when there are events.
  int fd() const { return fd_.get(); }

  // What events will name fd's file, which may be O_PATH. EOPNOTSUPP where they cannot.
  static Result<FileKey> Key(int fd);
  // Has events reported of a directory and what is in it, or of a file. EOPNOTSUPP, ENODEV, EXDEV: not on this file
  // system.
  Status Mark(const SelfFds& self, int fd, bool is_directory);
  Status UnmarkAll(const SelfFds& self);
  // Has no events reported of what is written to, or closed, after it was opened by way of the mount that fd is of.
  // Needs CAP_SYS_ADMIN.
  StepResult<void> LeaveOutMount(const SelfFds& self, int fd);

  // Calls `take` with the events that there are, a buffer full at most; false if there were none.
  template <typename F>
  bool Read(F&& take) {
    size_t size = Fill();
    for (size_t at = 0; at < size;) {
      HostEvent event;
      at = Parse(at, size, event);
      if (event.mask != 0) take(event);
    }
    return size > 0;
  }

 private:
  static constexpr size_t kBufferSize = 64 << 10;

  explicit FanotifyGroup(Fd fd) : fd_(std::move(fd)), buffer_(std::make_unique<char[]>(kBufferSize)) {}
  size_t Fill();
  // Reads the event at `at`; gives where the next one begins.
  size_t Parse(size_t at, size_t size, HostEvent& event) const;

  Fd fd_;
  std::unique_ptr<char[]> buffer_;
  std::atomic<bool> knows_rename_ = true;  // Linux 5.17.
};

}  // namespace lisafs

#endif  // LISAFS_GOFER_FANOTIFY_H_
