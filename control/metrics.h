#ifndef LISAFS_CONTROL_METRICS_H_
#define LISAFS_CONTROL_METRICS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "control/gate.h"
#include "proto/lisafs/control/v1/control.pb.h"

namespace lisafs {

// What the metrics are made of.
struct Measurements {
  std::vector<control::v1::Sandbox> sandboxes;
  std::vector<control::v1::MountStatistics> mounts;
  std::vector<control::v1::ProcessStatistics> processes;
  Gate::Counts calls;
  std::map<control::v1::Event::Type, uint64_t> events;
};

// Writes them in Prometheus's text format, version 0.0.4, a piece at a time: with many sandboxes it is a lot of text.
// docs/operations.md lists the names.
void WriteMetrics(const Measurements& measurements, absl::FunctionRef<void(absl::string_view)> write);

}  // namespace lisafs

#endif  // LISAFS_CONTROL_METRICS_H_
