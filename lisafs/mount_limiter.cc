#include "lisafs/mount_limiter.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/clock.h"

namespace lisafs {
namespace {

// How long a waiting request may go without noticing that it need not wait any more.
constexpr uint64_t kNapNanoseconds = 20'000'000;

uint64_t Duration(uint64_t tokens, uint64_t per_second) {
  return static_cast<uint64_t>(static_cast<double>(tokens) * 1e9 / static_cast<double>(per_second));
}

struct Rates {
  uint64_t operations, bytes;
  friend bool operator==(const Rates&, const Rates&) = default;
};

Rates Current(const LivePolicy& policy) {
  return {policy.operations.per_second.load(std::memory_order_relaxed),
          policy.bytes.per_second.load(std::memory_order_relaxed)};
}

}  // namespace

uint64_t TokenBucket::Take(uint64_t tokens, uint64_t now) {
  const uint64_t per_second = rate_.per_second.load(std::memory_order_relaxed);
  const uint64_t burst = std::max<uint64_t>(rate_.burst.load(std::memory_order_relaxed), 1);
  if (per_second == 0) return now;
  std::lock_guard lock(mutex_);
  if (per_second != per_second_ || burst != burst_) {
    per_second_ = per_second;
    burst_ = burst;
    full_at_ = now;
  }
  const uint64_t lacking = std::max(full_at_, now);
  const uint64_t takes = Duration(tokens, per_second);
  const uint64_t room = Duration(burst, per_second);
  full_at_ = lacking + takes;
  return std::max(now, lacking + std::min(takes, room) - room);
}

void MountLimiter::Await(uint64_t bytes, const std::atomic<bool>& closing) {
  const Rates rates = Current(policy_);
  uint64_t now = MonotonicNanoseconds();
  const uint64_t turn = std::max(operations_.Take(1, now), bytes_.Take(bytes, now));
  while (now < turn && (policy_.Restrictions() & kLimited) && Current(policy_) == rates &&
         !closing.load(std::memory_order_relaxed)) {
    std::this_thread::sleep_for(std::chrono::nanoseconds(std::min(turn - now, kNapNanoseconds)));
    now = MonotonicNanoseconds();
  }
}

void MountLimiter::Charge(uint64_t bytes) { bytes_.Take(bytes, MonotonicNanoseconds()); }

}  // namespace lisafs
