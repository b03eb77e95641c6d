#include "control/errors.h"

#include "absl/strings/cord.h"
#include "proto/google/rpc/error_details.pb.h"
#include "proto/google/rpc/status.pb.h"

namespace lisafs {
namespace {

constexpr char kErrorInfoUrl[] = "type.googleapis.com/google.rpc.ErrorInfo";
constexpr char kBadRequestUrl[] = "type.googleapis.com/google.rpc.BadRequest";

google::protobuf::Any Packed(const char* url, const std::string& value) {
  google::protobuf::Any any;
  any.set_type_url(url);
  any.set_value(value);
  return any;
}

google::rpc::ErrorInfo Info(const std::string& reason) {
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("lisafs");
  return info;
}

// By convention a message about a request begins with the field, "mount 1: target: missing".
google::rpc::BadRequest BadRequestOf(const std::string& message) {
  google::rpc::BadRequest request;
  auto* violation = request.add_field_violations();
  const size_t colon = message.rfind(": ");
  violation->set_field(colon == std::string::npos ? "" : message.substr(0, colon));
  violation->set_description(colon == std::string::npos ? message : message.substr(colon + 2));
  return request;
}

}  // namespace

absl::Status WithReason(absl::Status status, const std::string& reason,
                        const std::vector<std::pair<std::string, std::string>>& metadata) {
  google::rpc::ErrorInfo info = Info(reason);
  for (const auto& [key, value] : metadata) (*info.mutable_metadata())[key] = value;
  status.SetPayload(kErrorInfoUrl, absl::Cord(info.SerializeAsString()));
  return status;
}

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const std::string message(status.message());
  google::rpc::Status full;
  full.set_code(static_cast<int>(status.code()));
  full.set_message(message);
  if (auto info = status.GetPayload(kErrorInfoUrl)) {
    *full.add_details() = Packed(kErrorInfoUrl, std::string(*info));
  } else {
    *full.add_details() = Packed(kErrorInfoUrl, Info(absl::StatusCodeToString(status.code())).SerializeAsString());
  }
  if (absl::IsInvalidArgument(status)) {
    *full.add_details() = Packed(kBadRequestUrl, BadRequestOf(message).SerializeAsString());
  }
  return {static_cast<grpc::StatusCode>(status.code()), message, full.SerializeAsString()};
}

std::string ReasonOf(const grpc::Status& status) {
  google::rpc::Status full;
  if (!full.ParseFromString(status.error_details())) return "";
  for (const google::protobuf::Any& detail : full.details()) {
    google::rpc::ErrorInfo info;
    if (detail.type_url() == kErrorInfoUrl && info.ParseFromString(detail.value())) return info.reason();
  }
  return "";
}

}  // namespace lisafs
