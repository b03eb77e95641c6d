#ifndef LISAFS_CONTROL_PROCESS_STATISTICS_H_
#define LISAFS_CONTROL_PROCESS_STATISTICS_H_

#include <sys/types.h>

#include <optional>
#include <vector>

#include "proto/lisafs/control/v1/control.pb.h"

namespace lisafs {

// What a process takes of the host, by /proc; nothing if it is gone.
std::optional<control::v1::ProcessStatistics> ReadProcess(pid_t pid);

// Of a sandbox's processes, those that are there.
std::vector<control::v1::ProcessStatistics> ProcessesOf(const control::v1::Sandbox& sandbox);

}  // namespace lisafs

#endif  // LISAFS_CONTROL_PROCESS_STATISTICS_H_
