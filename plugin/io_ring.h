#ifndef LISAFS_PLUGIN_IO_RING_H_
#define LISAFS_PLUGIN_IO_RING_H_

#include <linux/io_uring.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/fd.h"
#include "base/result.h"

namespace lisafs {

// An io_uring that can do one thing: send commands (IORING_OP_URING_CMD) to one open file. A hostile process with a
// whole io_uring has a second, less watched set of system calls; this one is narrowed before it is enabled, and the
// kernel refuses any other operation, file or registration on it with EACCES. A process that makes its rings before it
// confines itself needs no more than io_uring_enter afterwards.
//
// Used by one thread at a time.
class IoRing {
 public:
  // Of /dev/fuse and the like: what a command carries besides its operation and one buffer.
  static constexpr size_t kCommandArea = 80;

  // `file` may be closed afterwards: the ring keeps the file open. `entries` bounds the commands on their way. EPERM,
  // ENOSYS: this kernel, or its administrator, admits no io_uring; ENOMEM: RLIMIT_MEMLOCK, where the kernel counts.
  static Result<std::unique_ptr<IoRing>> Make(int file, unsigned entries);
  ~IoRing();
  IoRing(const IoRing&) = delete;
  IoRing& operator=(const IoRing&) = delete;

  struct Command {
    uint32_t operation;
    const void* buffer = nullptr;
    uint32_t length = 0;
    uint64_t user_data = 0;
    std::array<std::byte, kCommandArea> area = {};
  };
  // Puts a command into the ring, for the next Await to submit. At most `entries` between two of those.
  void Queue(const Command& command);

  struct Completion {
    uint64_t user_data;
    int result;  // Not negative, or a negated errno.
  };
  // Submits what is queued and waits for a command to complete.
  Result<Completion> Await();

  int fd() const { return ring_.get(); }  // For tests.

 private:
  IoRing() = default;
  Status Map(const io_uring_params& params);
  Status Narrow(int file);
  bool Take(Completion& completion);

  Fd ring_;
  std::byte* rings_ = nullptr;  // Both rings' words, rings_size_ bytes,
  size_t rings_size_ = 0;
  std::byte* submissions_ = nullptr;  // and the submissions, submissions_size_ bytes.
  size_t submissions_size_ = 0;

  uint32_t *submission_tail_, *submission_array_, *completion_head_, *completion_tail_;
  io_uring_cqe* completions_;
  uint32_t submission_mask_, completion_mask_;
  uint32_t tail_ = 0;    // Of the submissions.
  uint32_t queued_ = 0;  // Those not submitted.
};

}  // namespace lisafs

#endif  // LISAFS_PLUGIN_IO_RING_H_
