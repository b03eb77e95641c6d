#ifndef LISAFS_CONTROL_LOG_H_
#define LISAFS_CONTROL_LOG_H_

#include "absl/status/status.h"
#include "control/config.h"

namespace lisafs {

// Has spdlog write where and how the configuration says: lines, JSON objects, or fields in the journal.
absl::Status SetUpLog(const Config& config);

}  // namespace lisafs

#endif  // LISAFS_CONTROL_LOG_H_
