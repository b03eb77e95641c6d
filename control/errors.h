#ifndef LISAFS_CONTROL_ERRORS_H_
#define LISAFS_CONTROL_ERRORS_H_

#include <grpcpp/support/status.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"

// Errors on their way to a caller: beside code and message they carry google.rpc.ErrorInfo, and for a field that is
// wrong google.rpc.BadRequest, so that programs need not read messages.

namespace lisafs {

// The same error with a reason for programs and what it is about. An error without one gets its code's name as reason.
absl::Status WithReason(absl::Status status, const std::string& reason,
                        const std::vector<std::pair<std::string, std::string>>& metadata = {});

// The codes are the same in both.
grpc::Status ToGrpc(const absl::Status& status);

// Of a gRPC error, "" if it carries none.
std::string ReasonOf(const grpc::Status& status);

}  // namespace lisafs

#endif  // LISAFS_CONTROL_ERRORS_H_
