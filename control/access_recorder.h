#ifndef LISAFS_CONTROL_ACCESS_RECORDER_H_
#define LISAFS_CONTROL_ACCESS_RECORDER_H_

#include <chrono>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "base/fd.h"

namespace lisafs {

// Notes which files of one mount are opened, read, written and executed, for as long as it lives: whoever does it
// through that mount, the gofer or a process that it gave a descriptor to. The kernel tells (fanotify), so that nothing
// is paid for it while nobody records. What needs no open file is not seen: looking up names and attributes, making
// directories, renaming, removing.
class AccessRecorder {
 public:
  // What was done to a file. Directories that are listed are read.
  struct Access {
    bool read = false;
    bool written = false;
    bool executed = false;  // By a program of the host: a container's own kernel reads what it executes.
    bool operator==(const Access&) const = default;
  };
  // By path, from the mount's root on: "/etc/passwd", and "/" for the root itself.
  using Profile = std::map<std::string, Access>;

  // Any path that leads into the mount, "/proc/PID/fd/N" for one that is mounted nowhere. Needs CAP_SYS_ADMIN.
  static absl::StatusOr<AccessRecorder> Start(const std::string& path);

  // What is new or has grown since the last time, once there is something, or nothing after `patience`.
  Profile Collect(std::chrono::milliseconds patience);

  // Some of it was lost: too much happened at once, or there are more files than are kept.
  bool incomplete() const { return incomplete_; }

 private:
  static constexpr size_t kMaxFiles = 100'000;

  explicit AccessRecorder(Fd events) : events_(std::move(events)) {}

  // Takes one event over.
  void Note(int file, uint64_t mask, Profile& news);

  Fd events_;
  Profile all_;
  bool incomplete_ = false;
};

}  // namespace lisafs

#endif  // LISAFS_CONTROL_ACCESS_RECORDER_H_
