#ifndef LISAFS_TESTS_SUPPORT_STUCK_DISK_H_
#define LISAFS_TESTS_SUPPORT_STUCK_DISK_H_

#include <atomic>
#include <string>
#include <thread>

#include "base/fd.h"

namespace lisafs::tests {

// A FUSE file system, mounted for as long as this is there, that says what its root is and after that answers nothing:
// a disk that stands still. Needs root.
class StuckDisk {
 public:
  explicit StuckDisk(const std::string& mount_point);
  ~StuckDisk();
  StuckDisk(const StuckDisk&) = delete;

  // Empty, or why it is not there.
  const std::string& why_not() const { return why_not_; }
  // How many requests wait for an answer.
  int waiting() const { return waiting_; }
  // From now on it does not even take requests.
  void Stop();
  // Whoever waits is told ENOTCONN.
  void Break();

 private:
  void Answer();

  const std::string mount_point_;
  std::string why_not_;
  Fd device_;
  std::atomic<bool> stop_ = false;
  std::atomic<int> waiting_ = 0;
  std::thread answering_;
};

}  // namespace lisafs::tests

#endif  // LISAFS_TESTS_SUPPORT_STUCK_DISK_H_
