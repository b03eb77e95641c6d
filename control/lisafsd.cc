// The control plane of a host: serves control.proto on a unix socket. docs/architecture.md says what it does; run it
// with --help for how.

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/server_posix.h>
#include <signal.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <exception>
#include <filesystem>

#include "base/program.h"
#include "base/status.h"
#include "control/events.h"
#include "control/listener.h"
#include "control/registry.h"
#include "control/service.h"
#include "control/state_directory.h"

namespace lisafs {
namespace {

struct Options {
  std::string socket = "/run/lisafs/control.sock";
  std::string state_directory = "/run/lisafs/state";
  SandboxPrograms programs;
};

// A program that is installed beside this one.
std::string Sibling(const std::string& name) {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / name;
}

Options ParseOptions(int argc, char** argv) {
  Options options;
  options.programs = {.gofer = Sibling("lisafs-gofer"), .plugin = Sibling("lisafs-plugin")};
  CLI::App app("Serves the control plane of this host's sandboxes on a unix socket.", "lisafsd");
  app.set_version_flag("--version", "lisafsd " + std::string(kVersion));
  app.add_option("--socket", options.socket, "Where to listen")->capture_default_str();
  app.add_option("--state-dir", options.state_directory, "What the next lisafsd needs, best on a tmpfs")
      ->capture_default_str();
  app.add_option("--gofer", options.programs.gofer, "The gofer's program")->capture_default_str();
  app.add_option("--plugin", options.programs.plugin, "The plugin's program")->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    exit(app.exit(success));
  } catch (const CLI::ParseError& error) {
    PrintError("usage", error.what());
    exit(kExitUsage);
  }
  return options;
}

// A sandbox takes three descriptors for as long as it lives, and with many mounts some hundreds while it is made.
void RaiseFileLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

std::unique_ptr<grpc::Server> StartServer(ControlService& service) {
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  return builder.BuildAndStart();
}

// Serves until a signal says to stop. Sandboxes go on.
absl::Status Serve(const Options& options) {
  auto state = StateDirectory::Open(options.state_directory);
  if (!state.ok()) return Annotate("state directory", state.status());
  Events events;
  auto registry = Registry::Open(*std::move(state), options.programs, events);
  if (!registry.ok()) return Annotate("state directory", registry.status());
  ControlService service(**registry, events);
  std::unique_ptr<grpc::Server> server = StartServer(service);
  if (server == nullptr) return absl::InternalError("gRPC: the server does not start");
  auto listener = Listener::Open(
      options.socket, [&](Fd connection) { grpc::AddInsecureChannelFromFd(server.get(), connection.release()); });
  if (!listener.ok()) return Annotate("socket", listener.status());
  spdlog::info("listening on {}", options.socket);

  sigset_t signals = StopSignals();
  int signal;
  sigwait(&signals, &signal);
  spdlog::info("stopping on signal {}", signal);
  listener->reset();
  service.Stop();
  constexpr auto kCallPatience = std::chrono::seconds(2);
  server->Shutdown(std::chrono::system_clock::now() + kCallPatience);
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  Options options = ParseOptions(argc, argv);
  spdlog::set_default_logger(
      std::make_shared<spdlog::logger>("lisafsd", std::make_shared<spdlog::sinks::stderr_sink_mt>()));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e %n %l: %v");
  // Before there are other threads, which inherit it.
  sigset_t signals = StopSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  RaiseFileLimit();
  absl::Status status = Serve(options);
  if (status.ok()) return kExitSuccess;
  PrintError("cannot serve", std::string(status.message()));
  return kExitFailure;
}

}  // namespace
}  // namespace lisafs

int main(int argc, char** argv) {
  lisafs::SetProgramName("lisafsd");
  try {
    return lisafs::Main(argc, argv);
  } catch (const std::exception& error) {
    lisafs::Die("unexpected", error.what());
  }
}
