#ifndef LISAFS_CONTROL_AUDIT_LOG_H_
#define LISAFS_CONTROL_AUDIT_LOG_H_

#include <google/protobuf/message.h>
#include <grpcpp/support/status.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/fd.h"
#include "control/caller.h"

namespace lisafs {

// Who asked for which change, and what became of it: a JSON object a line, in a file or in lisafsd's own log. Any
// thread may call it.
//
//   {"time":"2026-01-31T12:00:00.123Z","caller":"user 0, process 7","role":"admin","method":"DeleteSandbox",
//    "request":{"id":"web"},"code":"OK","message":""}
class AuditLog {
 public:
  // Appends to the file at `path`, which is made with mode 0600; to lisafsd's log if `path` is empty.
  static absl::StatusOr<AuditLog> Open(const std::string& path);

  void Write(const Caller& caller, const std::string& method, const google::protobuf::Message& request,
             const grpc::Status& status) const;

 private:
  explicit AuditLog(Fd file) : file_(std::move(file)) {}

  Fd file_;
};

// "OK", "NOT_FOUND" and so on.
std::string CodeName(grpc::StatusCode code);

}  // namespace lisafs

#endif  // LISAFS_CONTROL_AUDIT_LOG_H_
