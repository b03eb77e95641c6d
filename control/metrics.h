#ifndef LISAFS_CONTROL_METRICS_H_
#define LISAFS_CONTROL_METRICS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

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

// In Prometheus's text format, version 0.0.4. docs/operations.md lists the names.
std::string MetricsText(const Measurements& measurements);

}  // namespace lisafs

#endif  // LISAFS_CONTROL_METRICS_H_
