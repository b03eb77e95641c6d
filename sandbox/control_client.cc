#include "sandbox/control_client.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/support/channel_arguments.h>

#include <chrono>
#include <thread>

#include "absl/strings/str_cat.h"

namespace lisafs {
namespace {

using std::chrono::system_clock;

constexpr auto kDeadline = std::chrono::seconds(30);
constexpr auto kRetryFor = std::chrono::seconds(1);
constexpr auto kRetryInterval = std::chrono::milliseconds(2);

absl::Status FromGrpc(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

}  // namespace

ControlClient::ControlClient(const std::string& socket) {
  grpc::ChannelArguments arguments;
  // An engine's environment may name a proxy.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  stub_ = control::v1::Control::NewStub(
      grpc::CreateCustomChannel(absl::StrCat("unix:", socket), grpc::InsecureChannelCredentials(), arguments));
}

absl::StatusOr<control::v1::CreateSandboxResponse> ControlClient::CreateSandbox(
    const control::v1::CreateSandboxRequest& request) {
  for (auto retry_until = system_clock::now() + kRetryFor;; std::this_thread::sleep_for(kRetryInterval)) {
    grpc::ClientContext context;
    context.set_deadline(system_clock::now() + kDeadline);
    control::v1::CreateSandboxResponse response;
    grpc::Status status = stub_->CreateSandbox(&context, request, &response);
    if (status.ok()) return response;
    if (status.error_code() != grpc::StatusCode::ALREADY_EXISTS || system_clock::now() >= retry_until)
      return FromGrpc(status);
  }
}

absl::Status ControlClient::FindSandbox(const std::string& id) {
  grpc::ClientContext context;
  context.set_deadline(system_clock::now() + kDeadline);
  control::v1::GetSandboxRequest request;
  request.set_id(id);
  control::v1::GetSandboxResponse response;
  return FromGrpc(stub_->GetSandbox(&context, request, &response));
}

absl::Status ControlClient::DeleteSandbox(const std::string& id) {
  grpc::ClientContext context;
  context.set_deadline(system_clock::now() + kDeadline);
  control::v1::DeleteSandboxRequest request;
  request.set_id(id);
  control::v1::DeleteSandboxResponse response;
  return FromGrpc(stub_->DeleteSandbox(&context, request, &response));
}

}  // namespace lisafs
