#ifndef LISAFS_CONTROL_STATISTICS_H_
#define LISAFS_CONTROL_STATISTICS_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/fd.h"
#include "lisafs/counters.h"
#include "proto/lisafs/control/v1/control.pb.h"

namespace lisafs {

// A sandbox's counters, which its gofer writes while they are read here. They are read, not mapped: a gofer that was
// taken over could cut the file, and the reader of a mapping would die of it. Any thread may use it.
class CountersReader {
 public:
  // DATA_LOSS: the file is no counters page of this version.
  static absl::StatusOr<CountersReader> Open(Fd file);

  // Fills in what the gofer holds and has refused of the mount with this index.
  absl::Status ReadHeld(size_t index, control::v1::Mount& mount) const;
  // Fills in the same and the messages of the mount with this index.
  absl::Status ReadMessages(size_t index, control::v1::MountStatistics& statistics) const;

 private:
  explicit CountersReader(Fd file) : file_(std::move(file)) {}

  absl::Status ReadSummary(size_t index, MountSummary& summary) const;

  Fd file_;
};

// What a sandbox's plugin says of itself, which is hostile: numbers that are shown. Any thread may use it.
class ClaimsReader {
 public:
  // A PluginClaimsPage.
  explicit ClaimsReader(Fd file) : file_(std::move(file)) {}

  // Fills in the claims about the mount with this index: none about what was never asked for, or if the file is too
  // short.
  void Read(size_t index, control::v1::MountStatistics& statistics) const;

 private:
  Fd file_;
};

}  // namespace lisafs

#endif  // LISAFS_CONTROL_STATISTICS_H_
