#ifndef LISAFS_CONTROL_EVENTS_H_
#define LISAFS_CONTROL_EVENTS_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/lisafs/control/v1/control.pb.h"

namespace lisafs {

// What happened on this host, for whoever watches: the last so many events, numbered from 0. Adding never waits for a
// reader; one that is too slow learns how many it missed. Any thread may call it.
class Events {
 public:
  static constexpr size_t kKept = 10'000;

  explicit Events(size_t kept = kKept);

  // Fills in the time, and a count of 1 where there is none.
  void Add(control::v1::Event event);
  // The usual kind.
  void Add(control::v1::Event::Type type, const std::string& sandbox_id, const std::string& mount_target,
           const std::string& message);

  // The number of the oldest event that is kept, and of the next one.
  uint64_t Begin() const;
  uint64_t End() const;

  struct Batch {
    std::vector<control::v1::Event> events;
    uint64_t missed = 0;  // Events before these that are no longer kept.
  };
  // The events from `next` on, but no more than kMaxBatch; waits for one at most `patience`. Moves `next` behind them.
  static constexpr size_t kMaxBatch = 500;
  Batch Read(uint64_t& next, std::chrono::milliseconds patience);

  // How many there were of each type since the start.
  std::map<control::v1::Event::Type, uint64_t> counts() const;

  // What stands for a number outside of this process.
  std::string Token(uint64_t next) const;
  // The number behind a token; nothing if another process made it. INVALID_ARGUMENT: it is no token.
  absl::StatusOr<std::optional<uint64_t>> ParseToken(const std::string& token) const;

 private:
  const size_t kept_;
  const std::string instance_;  // A name that no other process has.

  mutable std::mutex mutex_;
  std::condition_variable added_;
  std::deque<control::v1::Event> events_;
  uint64_t begin_ = 0;  // The first one's number.
  std::map<control::v1::Event::Type, uint64_t> counts_;
};

}  // namespace lisafs

#endif  // LISAFS_CONTROL_EVENTS_H_
