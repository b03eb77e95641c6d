#ifndef LISAFS_SANDBOX_CONTROL_CLIENT_H_
#define LISAFS_SANDBOX_CONTROL_CLIENT_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/lisafs/control/v1/control.grpc.pb.h"

namespace lisafs {

// What the runtime wrapper asks of lisafsd. Every call ends within half a minute; errors are those of control.proto,
// and UNAVAILABLE or DEADLINE_EXCEEDED when lisafsd does not answer. Starts gRPC's threads, which share the namespaces
// of whoever makes it.
class ControlClient {
 public:
  explicit ControlClient(const std::string& socket);

  // An id that is still taken is tried again for a second: a container that has just
  // ended may not be forgotten yet.
  absl::StatusOr<control::v1::CreateSandboxResponse> CreateSandbox(const control::v1::CreateSandboxRequest& request);

  // NOT_FOUND: there is no such sandbox.
  absl::Status FindSandbox(const std::string& id);

  absl::Status DeleteSandbox(const std::string& id);

 private:
  std::unique_ptr<control::v1::Control::Stub> stub_;
};

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_CONTROL_CLIENT_H_
