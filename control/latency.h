#ifndef LISAFS_CONTROL_LATENCY_H_
#define LISAFS_CONTROL_LATENCY_H_

#include <cstdint>
#include <optional>
#include <span>

namespace lisafs {

// The latency that `fraction` of the calls in a MessageStatistics::latency_histogram did not exceed, as far as its
// buckets tell: between a bucket's bounds calls are taken as evenly spread. Nothing if no call was counted.
std::optional<uint64_t> LatencyAt(double fraction, std::span<const uint64_t> histogram);

}  // namespace lisafs

#endif  // LISAFS_CONTROL_LATENCY_H_
