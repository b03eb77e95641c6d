#ifndef LISAFS_LISAFS_SPIN_H_
#define LISAFS_LISAFS_SPIN_H_

#include <algorithm>
#include <cstdint>

#include "base/clock.h"

namespace lisafs {

// How long an endpoint watches for its peer's next message before it sleeps. Spinning pays while the peer answers
// within microseconds; it stops by itself where it cannot help: for a while after the spinning thread was descheduled
// or has waited in vain (a busy machine, slow calls, a peer with nothing to say), the longer the more often that was
// so. A process that has only one CPU yields it instead, and so does, once, whoever has woken the peer.
struct SpinPolicy {
  uint32_t microseconds = 0;  // 0: never spin.
  // Called, if not null, by a thread that a client's request keeps waiting: on a channel once it has slept for 0.3 ms,
  // on the socket before it waits for its turn there.
  void (*before_sleep)() = nullptr;
};

// Has whoever wakes up on the CPU of this thread, or of those that it starts, run there at once: that may be the very
// one who has the next message, and would wait for the spinning to end. Costs nothing else; needs Linux 6.12 and does
// nothing before. For a side that spins for long, before its threads are started.
void LetWakersRunFirst();

// Whether this process has but one CPU to run on. Found out before main, since a confined process cannot ask any more.
extern const bool kOneCpu;

// Gives this CPU to whoever else waits for it, or does nothing.
void YieldCpu();
// Passes some 20 ns. On one CPU the peer waits for this very thread to make room: yields.
void PauseSpinning();

// The spinning of one side of one lane. Used by one thread at a time.
class Spinner {
 public:
  explicit Spinner(SpinPolicy policy)
      : spin_(uint64_t{policy.microseconds} * 1000), before_sleep_(policy.before_sleep) {}

  void (*before_sleep() const)() { return before_sleep_; }

  // Calls `look` until it returns true, or until it is better to sleep: false. `peer_was_woken`: it may wait for this
  // very CPU, and takes longer. In `seen`, if it returns true, a time right before the last look, by CLOCK_MONOTONIC in
  // nanoseconds.
  template <typename Look>
  bool Until(bool peer_was_woken, uint64_t& seen, Look&& look) {
    if (spin_ == 0) return false;
    if (peer_was_woken) YieldCpu();
    const uint64_t begin = MonotonicNanoseconds();
    if (begin < no_spin_before_) return false;
    const uint64_t patience = peer_was_woken ? spin_ + kWakeUp : spin_;
    for (seen = begin;;) {
      PauseSpinning();
      if (look()) {
        no_spin_ = std::max(no_spin_ / 2, kLeastNoSpin);
        return true;
      }
      const uint64_t now = MonotonicNanoseconds();
      if (now - seen > kDescheduled || now - begin >= patience) {
        no_spin_before_ = now + no_spin_;
        no_spin_ = std::min(no_spin_ * 2, kMostNoSpin);
        return false;
      }
      seen = now;
    }
  }

 private:
  // Two looks at the clock that far apart mean that the spinning thread was descheduled: others need the CPU more.
  static constexpr uint64_t kDescheduled = 100'000;
  // What a thread may need to run on a CPU that was idle, a virtual one above all. A side that gives up before its peer
  // is there has to be woken itself, and then the peer is the one that gives up: that would go on for ever.
  static constexpr uint64_t kWakeUp = 100'000;
  // For how long there is no spinning after a failure: twice as long after each, half as long after each success.
  static constexpr uint64_t kLeastNoSpin = 100'000, kMostNoSpin = 5'000'000;

  const uint64_t spin_;  // Nanoseconds.
  void (*const before_sleep_)();
  uint64_t no_spin_before_ = 0;  // A time.
  uint64_t no_spin_ = kLeastNoSpin;
};

}  // namespace lisafs

#endif  // LISAFS_LISAFS_SPIN_H_
