#include "control/audit_log.h"

#include <errno.h>
#include <fcntl.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/time_util.h>
#include <spdlog/spdlog.h>
#include <string.h>
#include <unistd.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "base/status.h"

namespace lisafs {
namespace {

std::string Now() {
  const auto now = std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
  return google::protobuf::util::TimeUtil::ToString(
      google::protobuf::util::TimeUtil::MillisecondsToTimestamp(now.time_since_epoch().count()));
}

// What a string may hold that is no UTF-8 is replaced.
std::string Quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

std::string CodeName(grpc::StatusCode code) { return absl::StatusCodeToString(static_cast<absl::StatusCode>(code)); }

absl::StatusOr<AuditLog> AuditLog::Open(const std::string& path) {
  if (path.empty()) return AuditLog(Fd());
  Fd file(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return ErrnoStatus(errno, path);
  return AuditLog(std::move(file));
}

void AuditLog::Write(const Caller& caller, const std::string& method, const google::protobuf::Message& request,
                     const grpc::Status& status) const {
  std::string fields;
  if (!google::protobuf::util::MessageToJsonString(request, &fields).ok()) fields = "null";
  std::string line = absl::StrCat("{\"time\":", Quoted(Now()), ",\"caller\":", Quoted(caller.name),
                                  ",\"role\":", Quoted(RoleName(caller.role)), ",\"method\":", Quoted(method),
                                  ",\"request\":", fields, ",\"code\":", Quoted(CodeName(status.error_code())),
                                  ",\"message\":", Quoted(status.error_message()), "}");
  if (!file_) {
    spdlog::info("audit: {}", line);
    return;
  }
  line += "\n";
  // One write appends it whole.
  if (write(file_.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    spdlog::error("audit log: {}; lost: {}", strerror(errno), line);
  }
}

}  // namespace lisafs
