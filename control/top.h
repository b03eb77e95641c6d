#ifndef LISAFS_CONTROL_TOP_H_
#define LISAFS_CONTROL_TOP_H_

#include <cstddef>
#include <optional>
#include <string>

#include "proto/lisafs/control/v1/control.pb.h"

namespace lisafs {

// What `lisafsctl top` sorts its lines by: the largest first, or names in their order.
enum class TopOrder { kCalls, kErrors, kLatency, kBytes, kName };

// The order that a key stands for: c, e, l, b, n.
std::optional<TopOrder> TopOrderOfKey(char key);

// What the mounts were asked for between two responses of GetStatistics: a heading, a line for each mount, at most
// `lines` lines of at most `columns` characters.
std::string TopScreen(const control::v1::GetStatisticsResponse& before, const control::v1::GetStatisticsResponse& now,
                      TopOrder order, size_t lines, size_t columns);

}  // namespace lisafs

#endif  // LISAFS_CONTROL_TOP_H_
