#ifndef LISAFS_CONTROL_REPORT_H_
#define LISAFS_CONTROL_REPORT_H_

#include <google/protobuf/repeated_ptr_field.h>

#include <chrono>
#include <string>

#include "proto/lisafs/control/v1/control.pb.h"

// The control plane's answers as text for a person. Names come out escaped.

namespace lisafs {

std::string SandboxesReport(const control::v1::ListSandboxesResponse& response,
                            std::chrono::system_clock::time_point now);
std::string MountsReport(const control::v1::ListMountsResponse& response);
// Of a GetStatisticsResponse or a WatchStatisticsResponse.
std::string StatisticsReport(const google::protobuf::RepeatedPtrField<control::v1::MountStatistics>& mounts);

}  // namespace lisafs

#endif  // LISAFS_CONTROL_REPORT_H_
