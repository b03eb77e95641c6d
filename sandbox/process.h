#ifndef LISAFS_SANDBOX_PROCESS_H_
#define LISAFS_SANDBOX_PROCESS_H_

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "base/fd.h"

namespace lisafs {

// How a process ended, as far as that can be known: only its parent, or a kernel from 6.15 on, tells.
class ProcessEnd {
 public:
  // `wait_status` as of waitpid(2).
  explicit ProcessEnd(std::optional<int> wait_status) : wait_status_(wait_status) {}

  // It was killed, or exited with another status than 0.
  bool failed() const { return wait_status_.has_value() && *wait_status_ != 0; }

  // "exited with status 3", "killed by signal 9", or "ended".
  std::string ToString() const;

 private:
  std::optional<int> wait_status_;
};

// A process that is held by its pidfd, so that its number can mean no other. Letting go does not end it.
class Process {
 public:
  // A child of this process. FAILED_PRECONDITION: it is not one.
  static absl::StatusOr<Process> OfChild(pid_t pid);

  // A process that somebody else started, known by its number and start time. NOT_FOUND: it has ended.
  static absl::StatusOr<Process> Adopt(pid_t pid, uint64_t start_time);

  pid_t pid() const { return pid_; }
  // In clock ticks since the machine's start: with the pid, it names a process for as long as the machine runs.
  uint64_t start_time() const { return start_time_; }
  // Becomes readable when the process ends.
  int pidfd() const { return pidfd_.get(); }

  void Kill() const;

  // Waits for the process's end and reaps it if it is a child; nothing when it still runs after `timeout`. After an end
  // was given it is not to be called again.
  std::optional<ProcessEnd> Wait(std::chrono::milliseconds timeout);

 private:
  Process(pid_t pid, uint64_t start_time, Fd pidfd, bool child)
      : pid_(pid), start_time_(start_time), pidfd_(std::move(pidfd)), child_(child) {}

  pid_t pid_;
  uint64_t start_time_;
  Fd pidfd_;
  bool child_;
};

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_PROCESS_H_
