#ifndef LISAFS_CONTROL_SERVER_H_
#define LISAFS_CONTROL_SERVER_H_

#include <grpcpp/grpcpp.h>

#include <memory>

#include "absl/status/statusor.h"
#include "base/fd.h"
#include "control/config.h"

namespace lisafs {

// The gRPC server with its limits: it is given connections, and listens by itself only for TLS, where that is
// configured. Health and reflection are included.
class Server {
 public:
  // `service` must outlive the server. FAILED_PRECONDITION: it cannot listen, or a certificate cannot be used.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const Config& config, grpc::Service& service);

  // A connected unix socket, non-blocking.
  void AddConnection(Fd connection);

  // Refuses new calls, gives those that run a moment, and cancels the rest.
  void Stop();

 private:
  explicit Server(std::unique_ptr<grpc::Server> server) : server_(std::move(server)) {}

  std::unique_ptr<grpc::Server> server_;
};

}  // namespace lisafs

#endif  // LISAFS_CONTROL_SERVER_H_
