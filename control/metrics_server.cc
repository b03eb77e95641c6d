#include "control/metrics_server.h"

#include <httplib.h>

#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace lisafs {
namespace {

constexpr size_t kThreads = 2;
constexpr time_t kPatienceSeconds = 5;
// A request has no body.
constexpr size_t kMaxBody = 1024;

}  // namespace

struct MetricsServer::Impl {
  httplib::Server server;
  std::string address;
  std::thread thread;
};

MetricsServer::MetricsServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(const std::string& address,
                                                                    std::function<void(Writer)> metrics) {
  const size_t colon = address.rfind(':');
  int port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(address.substr(colon + 1), &port)) {
    return absl::FailedPreconditionError(address + ": not ADDRESS:PORT");
  }
  std::string host = address.substr(0, colon);
  if (host.size() > 1 && host.front() == '[') host = host.substr(1, host.size() - 2);

  auto impl = std::make_unique<Impl>();
  httplib::Server& server = impl->server;
  server.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  server.set_read_timeout(kPatienceSeconds);
  server.set_write_timeout(kPatienceSeconds);
  server.set_keep_alive_max_count(1);
  // By default the port could be shared with another process.
  server.set_socket_options([](socket_t socket) {
    int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  server.set_payload_max_length(kMaxBody);
  server.Get("/metrics", [metrics = std::move(metrics)](const httplib::Request&, httplib::Response& response) {
    response.set_chunked_content_provider(
        "text/plain; version=0.0.4; charset=utf-8", [&metrics](size_t, httplib::DataSink& sink) {
          bool alive = true;
          metrics([&](absl::string_view piece) { alive = alive && sink.write(piece.data(), piece.size()); });
          sink.done();
          return alive;
        });
  });
  if (port == 0) {
    port = server.bind_to_any_port(host.c_str());
  } else if (!server.bind_to_port(host.c_str(), port)) {
    port = -1;
  }
  if (port < 0) return absl::FailedPreconditionError(address + ": cannot listen there");
  impl->address = absl::StrCat(address.substr(0, colon), ":", port);
  impl->thread = std::thread([&server] { server.listen_after_bind(); });
  return std::unique_ptr<MetricsServer>(new MetricsServer(std::move(impl)));
}

MetricsServer::~MetricsServer() {
  // It can be stopped once it runs.
  while (!impl_->server.is_running()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  impl_->server.stop();
  impl_->thread.join();
}

const std::string& MetricsServer::address() const { return impl_->address; }

}  // namespace lisafs
