#ifndef LISAFS_LISAFS_MOUNT_LIMITER_H_
#define LISAFS_LISAFS_MOUNT_LIMITER_H_

#include <atomic>
#include <cstdint>
#include <mutex>

#include "lisafs/live_policy.h"

namespace lisafs {

// A token bucket whose rate is read anew each time. Takes are served in the order in which they come. One that asks for
// more than the burst gets it when the bucket is full, and those behind it wait until that is paid back: how long a
// take waits is bounded by what those before it have taken. Any thread may call it.
class TokenBucket {
 public:
  explicit TokenBucket(const LiveRate& rate) : rate_(rate) {}

  // Takes `tokens`; gives the moment from when they may be used, at least `now`. Both as MonotonicNanoseconds.
  uint64_t Take(uint64_t tokens, uint64_t now);

 private:
  const LiveRate& rate_;
  std::mutex mutex_;
  // Guarded by mutex_: the rate at the last take, and when the bucket will be full again.
  uint64_t per_second_ = 0, burst_ = 0;
  uint64_t full_at_ = 0;
};

// The limits of one mount's connection.
class MountLimiter {
 public:
  explicit MountLimiter(const LivePolicy& policy)
      : policy_(policy), operations_(policy.operations), bytes_(policy.bytes) {}

  // Waits for the turn of an operation that moves `bytes` bytes of data. Gives up at once when the mount is not limited
  // any more, or not in the same way, or `closing` says so.
  void Await(uint64_t bytes, const std::atomic<bool>& closing);
  // Counts what an operation moved that was not known before: those that come later wait for it.
  void Charge(uint64_t bytes);

 private:
  const LivePolicy& policy_;
  TokenBucket operations_;
  TokenBucket bytes_;
};

}  // namespace lisafs

#endif  // LISAFS_LISAFS_MOUNT_LIMITER_H_
