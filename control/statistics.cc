#include "control/statistics.h"

#include <unistd.h>

#include <memory>

namespace lisafs {
namespace {

// Reads `size` bytes of the page at `offset`, or fails.
absl::Status ReadAt(const Fd& file, void* to, size_t size, size_t offset) {
  ssize_t got = pread(file.get(), to, size, static_cast<off_t>(offset));
  if (got != static_cast<ssize_t>(size)) return absl::DataLossError("counters: the file is too short");
  return absl::OkStatus();
}

size_t MountOffset(size_t index) { return offsetof(CountersPage, mounts) + index * sizeof(MountCounters); }

}  // namespace

void SumCounters(const MountCounters& counters, control::v1::MountStatistics& statistics) {
  for (size_t slot = 0; slot < kMessageCount; ++slot) {
    control::v1::MessageStatistics sum;
    uint64_t histogram[kLatencyBuckets] = {}, errnos[kErrnoSlots] = {};
    for (const LaneCounters& lane : counters.lanes) {
      const MessageCounters& message = lane.messages[slot];
      sum.set_calls(sum.calls() + message.calls.Get());
      sum.set_errors(sum.errors() + message.errors.Get());
      sum.set_bytes_received(sum.bytes_received() + message.bytes_received.Get());
      sum.set_bytes_sent(sum.bytes_sent() + message.bytes_sent.Get());
      sum.set_latency_nanoseconds(sum.latency_nanoseconds() + message.latency_ns.Get());
      for (size_t i = 0; i < kLatencyBuckets; ++i) histogram[i] += message.latency[i].Get();
      for (size_t i = 0; i < kErrnoSlots; ++i) errnos[i] += message.errnos[i].Get();
    }
    if (sum.calls() == 0) continue;
    sum.set_message(std::string(MessageName(kAllMids[slot])));
    size_t buckets = kLatencyBuckets;
    while (buckets > 0 && histogram[buckets - 1] == 0) --buckets;
    for (size_t i = 0; i < buckets; ++i) sum.add_latency_histogram(histogram[i]);
    for (size_t i = 0; i < kErrnoSlots; ++i) {
      if (errnos[i] == 0) continue;
      control::v1::MessageStatistics::ErrnoCount* count = sum.add_errnos();
      count->set_number(static_cast<int32_t>(i));
      count->set_count(errnos[i]);
    }
    *statistics.add_messages() = std::move(sum);
  }
}

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

absl::Status CountersReader::ReadHeld(size_t index, control::v1::Mount& mount) const {
  struct {
    uint64_t control_fds, open_fds, channels;
  } held;
  static_assert(offsetof(MountCounters, lanes) == sizeof held);
  absl::Status status = ReadAt(file_, &held, sizeof held, MountOffset(index));
  if (!status.ok()) return status;
  mount.set_control_fds(held.control_fds);
  mount.set_open_fds(held.open_fds);
  mount.set_channels(held.channels);
  return absl::OkStatus();
}

absl::Status CountersReader::ReadMessages(size_t index, control::v1::MountStatistics& statistics) const {
  auto counters = std::make_unique<MountCounters>();
  absl::Status status = ReadAt(file_, counters.get(), sizeof *counters, MountOffset(index));
  if (!status.ok()) return status;
  SumCounters(*counters, statistics);
  return absl::OkStatus();
}

}  // namespace lisafs
