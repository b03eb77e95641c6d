#ifndef LISAFS_LISAFS_COUNTERS_H_
#define LISAFS_LISAFS_COUNTERS_H_

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include <atomic>

#include "lisafs/access_ring.h"
#include "lisafs/messages.h"

// What a server counts, in a file that it maps shared and that others map to read while it counts.
//
// Each lane of each mount has its own counters, and only the thread that serves the lane writes them: an increment is a
// plain load and store of one word, with no lock and no read-modify-write. A reader adds the lanes up. It sees each
// counter whole, but not all of them at one instant.
//
// The layout is private to one version of the project: kCountersVersion changes with it, and a reader refuses another
// one.

namespace lisafs {

inline constexpr uint64_t kCountersMagic = 0x3153464153494c31;  // "1LISAFS1"
inline constexpr uint32_t kCountersVersion = 3;

inline constexpr size_t kMaxMounts = 64;
inline constexpr size_t kMaxChannels = 4;
// The socket is lane 0, channel i is lane i + 1.
inline constexpr size_t kMaxLanes = kMaxChannels + 1;
// Room for every declared message and some to come.
inline constexpr size_t kMessageSlots = 64;
static_assert(kMessageCount <= kMessageSlots);
// Bucket i counts latencies of [2^i, 2^(i+1)) nanoseconds; the first also zero, the last everything above.
inline constexpr size_t kLatencyBuckets = 36;
// Errnos at or above this one are counted in the last slot.
inline constexpr size_t kErrnoSlots = 134;

class Counter {
 public:
  uint64_t Get() const { return value_.load(std::memory_order_relaxed); }
  // To be called by the one thread that writes this counter.
  void Add(uint64_t n) { value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_ = 0;
};

struct MessageCounters {
  Counter errors;
  Counter bytes_received;  // Payload bytes of requests,
  Counter bytes_sent;      // and of responses.
  Counter latency_ns;      // Sum over all calls, from the request's arrival until its response is handed over.
  Counter latency[kLatencyBuckets];
  Counter errnos[kErrnoSlots];

  void Count(int error, uint64_t received, uint64_t sent, uint64_t nanoseconds) {
    bytes_received.Add(received);
    bytes_sent.Add(sent);
    latency_ns.Add(nanoseconds);
    size_t bucket = nanoseconds < 2 ? 0 : 63 - __builtin_clzll(nanoseconds);
    latency[bucket < kLatencyBuckets ? bucket : kLatencyBuckets - 1].Add(1);
    if (error != 0) {
      errors.Add(1);
      errnos[static_cast<size_t>(error) < kErrnoSlots ? error : kErrnoSlots - 1].Add(1);
    }
  }
};

struct LaneCounters {
  MessageCounters messages[kMessageSlots];  // By MessageIndex.
};

// What a reader looks at first: it tells which of the lane's messages there is something to read of.
struct alignas(64) LaneSummary {
  Counter calls[kMessageSlots];  // By MessageIndex.
  Counter refused;               // Answered with EACCES, EPERM or EROFS.
  Counter exhausted;             // Answered with EMFILE, ENFILE, ENOSPC or EDQUOT.
};

// What a mount holds, and its lanes' summaries.
struct MountSummary {
  std::atomic<uint64_t> control_fds = 0;  // Held now.
  std::atomic<uint64_t> open_fds = 0;     // Held now, bound sockets included.
  std::atomic<uint64_t> channels = 0;     // Up now.
  LaneSummary lanes[kMaxLanes];
};

struct MountCounters {
  MountSummary summary;
  LaneCounters lanes[kMaxLanes];

  // Counts one call on a lane; `error` is 0 for success.
  void Count(size_t lane, size_t message, int error, uint64_t received, uint64_t sent, uint64_t nanoseconds) {
    LaneSummary& at = summary.lanes[lane];
    at.calls[message].Add(1);
    if (error == EACCES || error == EPERM || error == EROFS) at.refused.Add(1);
    if (error == EMFILE || error == ENFILE || error == ENOSPC || error == EDQUOT) at.exhausted.Add(1);
    lanes[lane].messages[message].Count(error, received, sent, nanoseconds);
  }
};

// The file. All zero but for the first two fields when it is new; a page that nothing was counted in takes no memory.
struct CountersPage {
  uint64_t magic = kCountersMagic;
  uint32_t version = kCountersVersion;
  uint32_t padding = 0;
  MountCounters mounts[kMaxMounts];
  AccessRing accesses;  // Of all mounts.
};

}  // namespace lisafs

#endif  // LISAFS_LISAFS_COUNTERS_H_
