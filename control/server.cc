#include "control/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server_posix.h>

#include <chrono>
#include <fstream>

#include "base/status.h"

namespace lisafs {
namespace {

absl::StatusOr<std::string> ReadPem(const std::string& path) {
  std::ifstream file(path);
  std::string text((std::istreambuf_iterator<char>(file)), {});
  if (text.empty()) return absl::FailedPreconditionError(path + ": cannot be read, or is empty");
  return text;
}

// Whoever connects has to show a certificate that the configured authority signed.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MutualTls(const Config& config) {
  auto certificate = ReadPem(config.tls_certificate);
  if (!certificate.ok()) return certificate.status();
  auto key = ReadPem(config.tls_key);
  if (!key.ok()) return key.status();
  auto authority = ReadPem(config.tls_client_ca);
  if (!authority.ok()) return authority.status();
  grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = *authority;
  options.pem_key_cert_pairs.push_back({*key, *certificate});
  return grpc::SslServerCredentials(options);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const Config& config, grpc::Service& service) {
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  builder.SetMaxReceiveMessageSize(config.max_message_bytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, config.max_streams_per_connection);
  // Every call takes a thread. One that finds none is answered with RESOURCE_EXHAUSTED.
  builder.SetResourceQuota(grpc::ResourceQuota("lisafsd").SetMaxThreads(config.max_threads));
  int port = -1;
  if (!config.tls_address.empty()) {
    auto credentials = MutualTls(config);
    if (!credentials.ok()) return Annotate("TLS", credentials.status());
    builder.AddListeningPort(config.tls_address, *credentials, &port);
  }
  auto server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    return absl::FailedPreconditionError(port == -1 ? "gRPC: the server does not start"
                                                    : "TLS: cannot listen on " + config.tls_address);
  }
  return std::unique_ptr<Server>(new Server(std::move(server)));
}

void Server::AddConnection(Fd connection) { grpc::AddInsecureChannelFromFd(server_.get(), connection.release()); }

void Server::Stop() {
  constexpr auto kCallPatience = std::chrono::seconds(2);
  server_->Shutdown(std::chrono::system_clock::now() + kCallPatience);
}

}  // namespace lisafs
