#include "control/statistics.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <span>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "control/latency.h"
#include "lisafs/plugin_claims.h"

namespace lisafs {
namespace {

// By its name, which the protocol's extension has where it is served.
constexpr std::string_view kPassthroughMessage = "OpenBacking";

// Reads `size` bytes of the page at `offset`, or fails.
absl::Status ReadAt(const Fd& file, void* to, size_t size, size_t offset) {
  ssize_t got = pread(file.get(), to, size, static_cast<off_t>(offset));
  if (got != static_cast<ssize_t>(size)) return absl::DataLossError("counters: the file is too short");
  return absl::OkStatus();
}

size_t MountOffset(size_t index) { return offsetof(CountersPage, mounts) + index * sizeof(MountCounters); }

// What is said both of a mount and of its statistics.
template <typename Message>
void SetHeld(const MountSummary& summary, Message& message) {
  message.set_control_fds(summary.control_fds);
  message.set_open_fds(summary.open_fds);
  message.set_channels(summary.channels);
  uint64_t refused = 0, exhausted = 0;
  for (const LaneSummary& lane : summary.lanes) {
    refused += lane.refused.Get();
    exhausted += lane.exhausted.Get();
  }
  message.set_refused(refused);
  message.set_exhausted(exhausted);
}

// One message's counters, added up over the lanes.
struct MessageSum {
  Mid message = {};
  uint64_t calls = 0, errors = 0, bytes_received = 0, bytes_sent = 0, latency_ns = 0;
  uint64_t histogram[kLatencyBuckets] = {};
  uint64_t errnos[kErrnoSlots] = {};

  void Add(const MessageCounters& message) {
    errors += message.errors.Get();
    bytes_received += message.bytes_received.Get();
    bytes_sent += message.bytes_sent.Get();
    latency_ns += message.latency_ns.Get();
    for (size_t i = 0; i < kLatencyBuckets; ++i) histogram[i] += message.latency[i].Get();
    if (message.errors.Get() == 0) return;
    for (size_t i = 0; i < kErrnoSlots; ++i) errnos[i] += message.errnos[i].Get();
  }

  void Fill(control::v1::MessageStatistics& to) const {
    to.set_message(std::string(MessageName(message)));
    to.set_calls(calls);
    to.set_errors(errors);
    to.set_bytes_received(bytes_received);
    to.set_bytes_sent(bytes_sent);
    to.set_latency_nanoseconds(latency_ns);
    size_t buckets = kLatencyBuckets;
    while (buckets > 0 && histogram[buckets - 1] == 0) --buckets;
    to.mutable_latency_histogram()->Add(histogram, histogram + buckets);
    auto latency = [&](double fraction) { return LatencyAt(fraction, std::span(histogram, buckets)).value_or(0); };
    to.set_latency_p50_nanoseconds(latency(0.5));
    to.set_latency_p90_nanoseconds(latency(0.9));
    to.set_latency_p99_nanoseconds(latency(0.99));
    to.set_latency_p999_nanoseconds(latency(0.999));
    for (size_t i = 0; errors > 0 && i < kErrnoSlots; ++i) {
      if (errnos[i] == 0) continue;
      control::v1::MessageStatistics::ErrnoCount* count = to.add_errnos();
      count->set_number(static_cast<int32_t>(i));
      count->set_count(errnos[i]);
    }
  }
};

}  // namespace

absl::StatusOr<CountersReader> CountersReader::Open(Fd file) {
  struct {
    uint64_t magic;
    uint32_t version;
    uint32_t padding;
  } header;
  absl::Status status = ReadAt(file, &header, sizeof header, 0);
  if (!status.ok()) return status;
  if (header.magic != kCountersMagic || header.version != kCountersVersion) {
    return absl::DataLossError("counters: not of this version");
  }
  return CountersReader(std::move(file));
}

absl::Status CountersReader::ReadSummary(size_t index, MountSummary& summary) const {
  return ReadAt(file_, &summary, sizeof summary, MountOffset(index) + offsetof(MountCounters, summary));
}

absl::Status CountersReader::ReadHeld(size_t index, control::v1::Mount& mount) const {
  MountSummary summary;
  LISAFS_RETURN_IF_NOT_OK(ReadSummary(index, summary));
  SetHeld(summary, mount);
  return absl::OkStatus();
}

// Of the page, which is large, only what was counted in is read: neighbours in one go, since on a host with many
// sandboxes it is the system calls that take the time.
absl::Status CountersReader::ReadMessages(size_t index, control::v1::MountStatistics& statistics) const {
  MountSummary summary;
  LISAFS_RETURN_IF_NOT_OK(ReadSummary(index, summary));
  SetHeld(summary, statistics);
  std::vector<MessageSum> sums;
  std::array<size_t, kMessageCount> sum_of = {};  // Its number in `sums`, from 1 on.
  uint64_t socket_calls = 0, channel_calls = 0;
  for (size_t message = 0; message < kMessageCount; ++message) {
    uint64_t calls = 0;
    for (size_t lane = 0; lane < kMaxLanes; ++lane) {
      const uint64_t on_lane = summary.lanes[lane].calls[message].Get();
      calls += on_lane;
      (lane == 0 ? socket_calls : channel_calls) += on_lane;
    }
    if (calls == 0) continue;
    sums.push_back({.message = kAllMids[message], .calls = calls});
    sum_of[message] = sums.size();
  }
  for (size_t lane = 0; lane < kMaxLanes; ++lane) {
    const LaneSummary& called = summary.lanes[lane];
    for (size_t first = 0; first < kMessageCount; ++first) {
      if (called.calls[first].Get() == 0) continue;
      constexpr size_t kRun = 16;
      thread_local MessageCounters run[kRun];
      size_t count = std::min(kRun, kMessageCount - first);
      while (called.calls[first + count - 1].Get() == 0) --count;
      LISAFS_RETURN_IF_NOT_OK(ReadAt(file_, run, count * sizeof(MessageCounters),
                                     MountOffset(index) + offsetof(MountCounters, lanes) + lane * sizeof(LaneCounters) +
                                         first * sizeof(MessageCounters)));
      for (size_t i = 0; i < count; ++i) {
        if (called.calls[first + i].Get() > 0) sums[sum_of[first + i] - 1].Add(run[i]);
      }
      first += count - 1;
    }
  }
  statistics.mutable_messages()->Reserve(static_cast<int>(sums.size()));
  for (const MessageSum& sum : sums) {
    control::v1::MessageStatistics* to = statistics.add_messages();
    sum.Fill(*to);
    if (to->message() == kPassthroughMessage) statistics.set_passthrough_opens(sum.calls - sum.errors);
  }
  statistics.set_socket_calls(socket_calls);
  statistics.set_channel_calls(channel_calls);
  return absl::OkStatus();
}

void ClaimsReader::Read(size_t index, control::v1::MountStatistics& statistics) const {
  PluginClaims claims;
  const size_t offset = offsetof(PluginClaimsPage, mounts) + index * sizeof claims;
  if (!ReadAt(file_, &claims, sizeof claims, offset).ok()) return;
  for (size_t i = 0; i < kClaimKindCount; ++i) {
    const uint64_t requests = claims.kinds[i].requests.load(std::memory_order_relaxed);
    if (requests == 0) continue;
    control::v1::PluginClaim* claim = statistics.add_plugin_claims();
    claim->set_kind(kClaimKinds[i]);
    claim->set_requests(requests);
    // The two were not read at one instant.
    claim->set_answered_alone(std::min(requests, claims.kinds[i].answered.load(std::memory_order_relaxed)));
  }
}

}  // namespace lisafs
