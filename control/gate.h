#ifndef LISAFS_CONTROL_GATE_H_
#define LISAFS_CONTROL_GATE_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "control/audit_log.h"
#include "control/caller.h"
#include "control/errors.h"
#include "control/events.h"
#include "control/rate_limiter.h"

namespace lisafs {

// What every call passes: it is let in by its caller's role and within limits, and accounted for when it ends. Any
// thread may call it.
class Gate {
 public:
  struct Limits {
    double calls_per_second = 1000;  // Of each caller; 0 for as many as it likes.
    int streams_per_caller = 16;     // Calls that go on until somebody ends them.
  };
  // Calls by method and gRPC code.
  using Counts = std::map<std::pair<std::string, std::string>, uint64_t>;

  // `events` must outlive the gate.
  Gate(AccessRules rules, Limits limits, AuditLog audit, Events& events)
      : rules_(std::move(rules)),
        limits_(limits),
        audit_(std::move(audit)),
        events_(events),
        rate_(limits.calls_per_second) {}

  struct Method {
    std::string name;
    Role role;
    bool is_stream;
  };
  // Runs `call`, which gives a grpc::Status, if its caller may make it.
  template <typename Function>
  grpc::Status Pass(const grpc::ServerContext& context, const Method& method, const google::protobuf::Message& request,
                    Function call);

  Counts counts() const;

 private:
  // PERMISSION_DENIED: the caller lacks the role. RESOURCE_EXHAUSTED: it asks too much. A stream that was let in must
  // be let out.
  absl::Status Enter(const Caller& caller, const Method& method);
  void LeaveStream(const Caller& caller);
  void Account(const Caller& caller, const Method& method, const google::protobuf::Message& request,
               const grpc::Status& status);

  const AccessRules rules_;
  const Limits limits_;
  const AuditLog audit_;
  Events& events_;

  mutable std::mutex mutex_;
  RateLimiter rate_;
  std::map<std::string, int> streams_;
  Counts counts_;
};

template <typename Function>
grpc::Status Gate::Pass(const grpc::ServerContext& context, const Method& method,
                        const google::protobuf::Message& request, Function call) {
  auto caller = CallerOf(context, rules_);
  if (!caller.ok()) return ToGrpc(caller.status());
  grpc::Status status;
  if (absl::Status entered = Enter(*caller, method); entered.ok()) {
    status = call();
    if (method.is_stream) LeaveStream(*caller);
  } else {
    status = ToGrpc(entered);
  }
  Account(*caller, method, request, status);
  return status;
}

}  // namespace lisafs

#endif  // LISAFS_CONTROL_GATE_H_
