#include "control/gate.h"

#include <spdlog/spdlog.h>

#include "absl/strings/str_cat.h"

namespace lisafs {
namespace {

using control::v1::Event;

absl::Status TooMuch(const std::string& message, const char* reason) {
  return WithReason(absl::ResourceExhaustedError(message), reason);
}

}  // namespace

absl::Status Gate::Enter(const Caller& caller, const Method& method) {
  if (caller.role < method.role) {
    return WithReason(
        absl::PermissionDeniedError(absl::StrCat(method.name, ": ", caller.name, " lacks the role ",
                                                 RoleName(method.role), " (it has ", RoleName(caller.role), ")")),
        "ROLE_MISSING", {{"role", RoleName(method.role)}, {"caller", caller.name}});
  }
  std::lock_guard lock(mutex_);
  if (!rate_.Admit(caller.identity, RateLimiter::Clock::now())) {
    return TooMuch(absl::StrCat(caller.name, ": more than ", limits_.calls_per_second, " calls in a second"),
                   "RATE_LIMITED");
  }
  if (!method.is_stream) return absl::OkStatus();
  int& streams = streams_[caller.identity];
  if (streams >= limits_.streams_per_caller) {
    return TooMuch(absl::StrCat(caller.identity, ": has ", streams, " streams open already"), "TOO_MANY_STREAMS");
  }
  ++streams;
  return absl::OkStatus();
}

void Gate::LeaveStream(const Caller& caller) {
  std::lock_guard lock(mutex_);
  auto found = streams_.find(caller.identity);
  if (--found->second == 0) streams_.erase(found);
}

void Gate::Account(const Caller& caller, const Method& method, const google::protobuf::Message& request,
                   const grpc::Status& status) {
  {
    std::lock_guard lock(mutex_);
    ++counts_[{method.name, CodeName(status.error_code())}];
  }
  const std::string reason = ReasonOf(status);
  if (reason == "ROLE_MISSING") {
    events_.Add(Event::TYPE_ACCESS_DENIED, "", "", status.error_message());
  } else if (reason == "RATE_LIMITED" || reason == "TOO_MANY_STREAMS") {
    events_.Add(Event::TYPE_LIMIT_HIT, "", "", status.error_message());
  }
  if (method.role == Role::kAdmin) audit_.Write(caller, method.name, request, status);
}

Gate::Counts Gate::counts() const {
  std::lock_guard lock(mutex_);
  return counts_;
}

}  // namespace lisafs
