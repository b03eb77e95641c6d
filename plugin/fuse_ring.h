#ifndef LISAFS_PLUGIN_FUSE_RING_H_
#define LISAFS_PLUGIN_FUSE_RING_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "plugin/fuse_device.h"
#include "plugin/fuse_kernel.h"
#include "plugin/io_ring.h"

// FUSE over io_uring. The kernel has a queue for each possible CPU and puts a request into that of the CPU it was made
// on; a ring has a place for one request in each of some queues. A request and its answer take one system call, and
// both sides stay on the CPU. FORGET and INTERRUPT still come by reading the device, and what the kernel is told
// unasked goes there.

namespace lisafs {

// A thread's part. Made before the process confines itself; afterwards it needs no system call but io_uring_enter.
class FuseRing final : public FuseReplies {
 public:
  // `device` is an open /dev/fuse whose file system has been made. Errors are IoRing::Make's, and ENOMEM.
  static Result<std::unique_ptr<FuseRing>> Make(int device, const std::vector<uint16_t>& queues);
  ~FuseRing() override;

  // Hands what was sent to the kernel and waits for a request. The first call offers the ring to the kernel: that must
  // be after FUSE_INIT was answered with kFuseOverIoUring. The request, and `reply_room`, which has room for the
  // largest answer and is aligned to 8 bytes, are good until the next call. ENODEV: no more will come. Others: the ring
  // is of no more use, and the kernel waits for it.
  Result<std::span<const std::byte>> Receive(std::span<std::byte>& reply_room);

  // Answers the request that was received last: in reply_room, without a copy, or elsewhere. The kernel gets it with
  // the next Receive. It says nothing about it: never fails.
  Status Send(std::span<const std::byte> reply) override;

 private:
  // One place for a request: memory that the kernel writes requests to and reads answers from.
  struct Place {
    explicit Place(uint16_t queue) : queue(queue) {}
    FuseRingHeaders& headers() const { return *reinterpret_cast<FuseRingHeaders*>(memory); }

    uint16_t queue;
    std::byte* memory = nullptr;
    iovec parts[2] = {};  // What the kernel is told of it.
  };

  FuseRing() = default;
  void Queue(uint32_t command, size_t place);

  std::unique_ptr<IoRing> ring_;
  std::vector<Place> places_;
  bool offered_ = false;
  size_t current_ = 0;           // The place that the last request lies in,
  uint64_t commit_id_ = 0;       // and what the kernel calls it.
  std::byte* answer_ = nullptr;  // Room for an answer to a request with a payload of its own.
};

// The rings of one queue, for as many requests at once. The kernel takes the one that was free last, so that one thread
// does all the work until it is held up.
struct FuseQueue {
  int cpu = -1;  // Where its threads belong; -1 if it stands for several CPUs that are not online.
  std::vector<std::unique_ptr<FuseRing>> rings;
};

// How many rings, and so threads, a mount has at most.
size_t FuseRingsOfMount();

// Rings for all queues. To be called before /sys is out of reach. ENOENT: the kernel does not do FUSE over io_uring, or
// not now; otherwise as FuseRing::Make.
Result<std::vector<FuseQueue>> MakeFuseQueues(int device);

}  // namespace lisafs

#endif  // LISAFS_PLUGIN_FUSE_RING_H_
