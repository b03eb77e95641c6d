// The control plane of a host: serves control.proto on a unix socket. docs/architecture.md says what it does; run it
// with --help for how.

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/command_line.h"
#include "base/program.h"
#include "base/status.h"
#include "control/config.h"
#include "control/events.h"
#include "control/gate.h"
#include "control/listener.h"
#include "control/log.h"
#include "control/metrics.h"
#include "control/metrics_server.h"
#include "control/process_statistics.h"
#include "control/refusal_watch.h"
#include "control/registry.h"
#include "control/server.h"
#include "control/service.h"
#include "control/service_manager.h"
#include "control/state_directory.h"
#include "seccomp/trusted_deny_list.h"

namespace lisafs {
namespace {

// A program that is installed beside this one.
std::string Sibling(const std::string& name) {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / name;
}

// From the configuration file, where the command line does not say otherwise.
Config ParseOptions(int argc, char** argv) {
  Config config;
  config.programs = {.gofer = Sibling("lisafs-gofer"),
                     .plugin = Sibling("lisafs-plugin"),
                     .broker = Sibling("lisafs-broker"),
                     .waker = Sibling("lisafs-waker")};
  config.programs.cgroup.enabled = true;
  CLI::App app("Serves the control plane of this host's sandboxes on a unix socket.", "lisafsd");
  app.set_version_flag("--version", "lisafsd " + std::string(kVersion));
  std::string file, socket, state_directory, gofer, plugin, broker;
  app.add_option("--config", file, std::string("The configuration file [") + kDefaultConfigPath + ", if it exists]");
  app.add_option("--socket", socket, "Where to listen [" + config.socket + "]");
  app.add_option("--state-dir", state_directory,
                 "What the next lisafsd needs, best on a tmpfs [" + config.state_directory + "]");
  app.add_option("--gofer", gofer, "The gofer's program [" + config.programs.gofer + "]");
  app.add_option("--plugin", plugin, "The plugin's program [" + config.programs.plugin + "]");
  app.add_option("--broker", broker, "The broker's program [" + config.programs.broker + "]");
  bool fuse_io_uring = false;
  app.add_flag("--fuse-io-uring", fuse_io_uring,
               "Switch FUSE over io_uring on, for all of this host's FUSE file systems that ask for it");
  ParseCommandLineOrExit(app, argc, argv);

  absl::Status read = ReadConfig(file.empty() ? kDefaultConfigPath : file, config);
  if (!read.ok() && !(file.empty() && absl::IsNotFound(read))) {
    PrintError("configuration", std::string(read.message()));
    exit(kExitUsage);
  }
  auto override = [](const std::string& option, std::string& value) {
    if (!option.empty()) value = option;
  };
  override(socket, config.socket);
  override(state_directory, config.state_directory);
  override(gofer, config.programs.gofer);
  override(plugin, config.programs.plugin);
  override(broker, config.programs.broker);
  config.programs.fuse_io_uring |= fuse_io_uring;
  return config;
}

// What it holds, keys among it, is nobody's to look into, and nothing that it starts gains privileges by starting.
void GiveUpPrivileges() {
  const rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

// A sandbox takes four descriptors for as long as it lives, and with many mounts some hundreds while it is made.
void RaiseFileLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// To give memory back after each answer and take it again for the next costs more than to make the answer.
void KeepMemory() {
  constexpr int kKept = 32 << 20;
  mallopt(M_TRIM_THRESHOLD, kKept);
  mallopt(M_MMAP_THRESHOLD, kKept);
}

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

// Waits for a signal, and meanwhile tells the service manager that the registry answers.
int AwaitStop(const Registry& registry) {
  const sigset_t signals = StopSignals();
  const auto interval = WatchdogInterval();
  const int64_t microseconds = interval ? interval->count() : 0;
  const timespec timeout = {.tv_sec = microseconds / 1'000'000, .tv_nsec = microseconds % 1'000'000 * 1000};
  while (true) {
    const int signal = sigtimedwait(&signals, nullptr, interval ? &timeout : nullptr);
    if (signal > 0) return signal;
    if (errno == EAGAIN && registry.Answers()) NotifyAlive();
  }
}

absl::StatusOr<std::unique_ptr<Listener>> Listen(const Config& config, Server& server) {
  auto accepted = [&server](Fd connection) { server.AddConnection(std::move(connection)); };
  auto given = TakeActivationSocket();
  if (!given.ok()) return given.status();
  if (*given) return Listener::Adopt(*std::move(*given), config.access, accepted);
  return Listener::Open(config.socket, config.access, accepted);
}

// The kernel's switch is the whole host's, and stays as it is when lisafsd ends: sandboxes go on. Without it they are
// served all the same.
void SwitchOnFuseIoUring() {
  constexpr char kSwitch[] = "/sys/module/fuse/parameters/enable_uring";
  if (std::ofstream(kSwitch) << "Y" << std::flush) {
    spdlog::info("switched FUSE over io_uring on: {}", kSwitch);
  } else {
    spdlog::warn("FUSE over io_uring is not to be had: cannot write {}", kSwitch);
  }
}

Measurements Measure(const Registry& registry, const Gate& gate, const Events& events) {
  Measurements measurements = {.sandboxes = registry.List(), .calls = gate.counts(), .events = events.counts()};
  auto mounts = registry.Statistics("");
  if (mounts.ok()) measurements.mounts = *std::move(mounts);
  for (const control::v1::Sandbox& sandbox : measurements.sandboxes) {
    std::vector<control::v1::ProcessStatistics> processes = ProcessesOf(sandbox);
    std::move(processes.begin(), processes.end(), std::back_inserter(measurements.processes));
  }
  if (auto own = ReadProcess(getpid())) {
    own->set_program("lisafsd");
    measurements.processes.push_back(*std::move(own));
  }
  return measurements;
}

// Nothing if none is wanted.
absl::StatusOr<std::unique_ptr<MetricsServer>> ServeMetrics(const Config& config, const Registry& registry,
                                                            const Gate& gate, const Events& events) {
  if (config.metrics_address.empty()) return nullptr;
  auto server = MetricsServer::Start(config.metrics_address, [&](MetricsServer::Writer write) {
    WriteMetrics(Measure(registry, gate, events), write);
  });
  if (server.ok()) spdlog::info("metrics on http://{}/metrics", (*server)->address());
  return server;
}

// Serves until a signal says to stop. Sandboxes go on.
absl::Status Serve(const Config& config) {
  auto audit = AuditLog::Open(config.audit_file);
  if (!audit.ok()) return Annotate("audit log", audit.status());
  auto state = StateDirectory::Open(config.state_directory);
  if (!state.ok()) return Annotate("state directory", state.status());
  if (config.programs.fuse_io_uring) SwitchOnFuseIoUring();
  Events events;
  auto registry = Registry::Open(*std::move(state), config.programs, events);
  if (!registry.ok()) return Annotate("state directory", registry.status());
  Gate gate(config.access, config.limits, *std::move(audit), events);
  ControlService service(**registry, events, gate);
  auto server = Server::Start(config, service);
  if (!server.ok()) return server.status();
  auto metrics = ServeMetrics(config, **registry, gate, events);
  if (!metrics.ok()) return Annotate("metrics", metrics.status());
  const RefusalWatch refusals([&] { return (*registry)->List(); }, events);
  auto listener = Listen(config, **server);
  if (!listener.ok()) return Annotate("socket", listener.status());
  spdlog::info("listening on {}", (*listener)->path());
  NotifyReady("listening on " + (*listener)->path());

  const int signal = AwaitStop(**registry);
  NotifyStopping();
  spdlog::info("stopping on signal {}", signal);
  listener->reset();
  service.Stop();
  (*server)->Stop();
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  // What is made is for nobody else to change, whatever was inherited.
  umask(022);
  GiveUpPrivileges();
  const Config config = ParseOptions(argc, argv);
  if (absl::Status log = SetUpLog(config); !log.ok()) Die("log", std::string(log.message()));
  OrDie(TrustedDenyList({.fuse_io_uring = config.programs.fuse_io_uring}).Install());
  // Before there are other threads, which inherit it.
  sigset_t signals = StopSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  RaiseFileLimit();
  KeepMemory();
  absl::Status status = Serve(config);
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
