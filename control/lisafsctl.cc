// The operator's client of lisafsd. Run it with --help for how.

#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <tuple>

#include "base/command_line.h"
#include "base/program.h"
#include "control/client_tools.h"
#include "control/follow_events.h"
#include "control/mount_options.h"
#include "control/record_command.h"
#include "control/report.h"
#include "control/top_command.h"
#include "proto/lisafs/control/v1/control.grpc.pb.h"

namespace lisafs {
namespace {

namespace v1 = control::v1;

struct Options {
  std::string socket = "/run/lisafs/control.sock";
  bool json = false;
  bool watch = false;
  // Over TLS, if there is an address.
  std::string address, authority, certificate, key;
  std::string sandbox;  // Empty: all.
  bool replay = false;
  int rounds = 0;
  double interval = 1;  // Seconds.
  char order = 'c';
  std::string recorded;  // A mount's target.
  double seconds = 10;
  std::string target;
  std::vector<std::string> words;  // Of a mount's policy.
  std::string source;
  std::string mount_options;
  bool create = false;
  bool force = false;
  uint32_t wait_seconds = 0;  // 0: not at all.
};

// lisafsd gives up on a container that does not answer before this is over.
constexpr auto kChangePatience = std::chrono::seconds(40);

using Command = std::function<grpc::Status(Stub&, const Options&)>;

grpc::Status Sandboxes(Stub& stub, const Options& options) {
  v1::ListSandboxesResponse response;
  grpc::Status status = CallForAll(stub, &Stub::ListSandboxes, v1::ListSandboxesRequest(), response);
  if (!status.ok()) return status;
  if (options.json) {
    PrintJson(response, /*one_line=*/false);
  } else {
    Print(SandboxesReport(response, std::chrono::system_clock::now()));
  }
  return status;
}

grpc::Status Mounts(Stub& stub, const Options& options) {
  v1::ListMountsRequest request;
  request.set_sandbox_id(options.sandbox);
  v1::ListMountsResponse response;
  grpc::Status status = CallForAll(stub, &Stub::ListMounts, request, response);
  if (!status.ok()) return status;
  if (options.json) {
    PrintJson(response, /*one_line=*/false);
  } else {
    Print(MountsReport(response));
  }
  return status;
}

grpc::Status WatchStatistics(Stub& stub, const Options& options) {
  grpc::ClientContext context;
  v1::WatchStatisticsRequest request;
  request.set_sandbox_id(options.sandbox);
  auto reader = stub.WatchStatistics(&context, request);
  v1::WatchStatisticsResponse response;
  while (reader->Read(&response)) {
    if (options.json) {
      PrintJson(response, /*one_line=*/true);
      continue;
    }
    // On a terminal each table takes the last one's place.
    const char* start = isatty(STDOUT_FILENO) ? "\x1b[H\x1b[2J" : "";
    Print(start + StatisticsReport(response.mounts()) + "\n");
  }
  return reader->Finish();
}

grpc::Status Statistics(Stub& stub, const Options& options) {
  if (options.watch) return WatchStatistics(stub, options);
  v1::GetStatisticsRequest request;
  request.set_sandbox_id(options.sandbox);
  v1::GetStatisticsResponse response;
  grpc::Status status = CallForAll(stub, &Stub::GetStatistics, request, response);
  if (!status.ok()) return status;
  if (options.json) {
    PrintJson(response, /*one_line=*/false);
  } else {
    Print(StatisticsReport(response.mounts()));
  }
  return status;
}

void OrExitOfUsage(const absl::Status& parsed) {
  if (parsed.ok()) return;
  PrintError("usage", std::string(parsed.message()));
  exit(kExitUsage);
}

grpc::Status AddMount(Stub& stub, const Options& options) {
  v1::AddMountRequest request;
  request.set_sandbox_id(options.sandbox);
  request.mutable_mount()->set_source(std::filesystem::absolute(options.source).lexically_normal());
  request.mutable_mount()->set_target(options.target);
  request.set_create_target(options.create);
  OrExitOfUsage(ParseMountOptions(options.mount_options, *request.mutable_mount()));
  grpc::ClientContext context;
  SetDeadline(context, kChangePatience);
  v1::AddMountResponse response;
  grpc::Status status = stub.AddMount(&context, request, &response);
  if (status.ok() && options.json) PrintJson(response, /*one_line=*/false);
  return status;
}

grpc::Status RemoveMount(Stub& stub, const Options& options) {
  v1::RemoveMountRequest request;
  request.set_sandbox_id(options.sandbox);
  request.set_target(options.target);
  if (options.force) request.set_when_busy(v1::RemoveMountRequest::WHEN_BUSY_FORCE);
  if (options.wait_seconds != 0) {
    request.set_when_busy(v1::RemoveMountRequest::WHEN_BUSY_WAIT);
    request.set_wait_milliseconds(options.wait_seconds * 1000);
  }
  grpc::ClientContext context;
  SetDeadline(context, kChangePatience + std::chrono::seconds(options.wait_seconds));
  v1::RemoveMountResponse response;
  return stub.RemoveMount(&context, request, &response);
}

grpc::Status SetMount(Stub& stub, const Options& options) {
  v1::UpdateMountRequest request;
  request.set_sandbox_id(options.sandbox);
  request.set_target(options.target);
  OrExitOfUsage(ParsePolicy(options.words, request));
  grpc::ClientContext context;
  SetDeadline(context);
  v1::UpdateMountResponse response;
  grpc::Status status = stub.UpdateMount(&context, request, &response);
  if (status.ok() && options.json) PrintJson(response, /*one_line=*/false);
  return status;
}

void AddMountCommands(CLI::App& app, Options& options, Command& command) {
  CLI::App* mount = app.add_subcommand("mount", "Changes the mounts of a running sandbox");
  mount->require_subcommand(1);
  CLI::App* add = mount->add_subcommand("add", "Shows a directory or a file of the host in its container");
  add->add_option("SANDBOX", options.sandbox)->required();
  add->add_option("SOURCE", options.source, "On the host")->required();
  add->add_option("TARGET", options.target, "As the container sees it")->required();
  add->add_option("-o", options.mount_options,
                  "ro, nosuid, nodev, noexec, rec, withhold, nopassthrough, fifo, uds-open, uds-create, "
                  "ops=RATE[/BURST], bytes=RATE[/BURST]")
      ->type_name("OPTION,...");
  add->add_flag("--create", options.create, "Make the target if it is missing");
  add->callback([&] { command = AddMount; });
  CLI::App* remove = mount->add_subcommand("remove", "Takes away what was added");
  remove->add_option("SANDBOX", options.sandbox)->required();
  remove->add_option("TARGET", options.target, "As the container sees it")->required();
  CLI::Option* force = remove->add_flag("--force", options.force, "Although files are open: they give errors then");
  remove->add_option("--wait", options.wait_seconds, "Wait for its files to be closed")
      ->type_name("SECONDS")
      ->check(CLI::Range(1, 600))
      ->excludes(force);
  remove->callback([&] { command = RemoveMount; });
  CLI::App* set = mount->add_subcommand("set", "Changes what a mount allows, at once");
  set->add_option("SANDBOX", options.sandbox)->required();
  set->add_option("TARGET", options.target, "As the container sees it")->required();
  set->add_option("KEY=VALUE", options.words,
                  "read-only, descriptors, passthrough, revoked: on or off; ops, bytes: RATE[/BURST] a second, or off")
      ->required();
  set->callback([&] { command = SetMount; });
}

grpc::Status Events(Stub& stub, const Options& options) {
  v1::WatchEventsRequest request;
  request.set_sandbox_id(options.sandbox);
  request.set_replay(options.replay);
  return FollowEvents(stub, request, options.json);
}

grpc::Status ShowTop(Stub& stub, const Options& options) {
  const auto interval = std::chrono::duration<double>(options.interval);
  return Top(stub, {.sandbox = options.sandbox,
                    .interval = std::chrono::duration_cast<std::chrono::milliseconds>(interval),
                    .rounds = options.rounds,
                    .order = TopOrderOfKey(options.order).value_or(TopOrder::kCalls)});
}

grpc::Status RecordFiles(Stub& stub, const Options& options) {
  const auto time = std::chrono::duration<double>(options.seconds);
  return Record(stub, options.sandbox, options.recorded, std::chrono::duration_cast<std::chrono::milliseconds>(time),
                options.json);
}

void AddWatchingCommands(CLI::App& app, Options& options, Command& command) {
  CLI::App* events = app.add_subcommand("events", "Shows what happens, until interrupted");
  events->add_option("SANDBOX", options.sandbox, "Only this one's");
  events->add_flag("--replay", options.replay, "First what lisafsd remembers");
  events->callback([&] { command = Events; });
  CLI::App* record = app.add_subcommand("record", "Shows which paths a mount is asked for, and what for");
  record->add_option("SANDBOX", options.sandbox)->required();
  record->add_option("TARGET", options.recorded, "As the container sees it")->required();
  record->add_option("--seconds", options.seconds, "For so long")->check(CLI::PositiveNumber)->capture_default_str();
  record->callback([&] { command = RecordFiles; });
  CLI::App* top = app.add_subcommand("top", "Shows the busiest mounts, again and again");
  top->add_option("SANDBOX", options.sandbox, "Only this one's");
  top->add_option("-n", options.rounds, "So many times; 0 until interrupted")->check(CLI::NonNegativeNumber);
  top->add_option("--interval", options.interval, "Seconds between two times")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();
  top->add_option("--sort", options.order, "c calls, e errors, l latency, b bytes, n name")
      ->check(CLI::IsMember({'c', 'e', 'l', 'b', 'n'}))
      ->capture_default_str();
  top->callback([&] { command = ShowTop; });
}

std::string ReadOrDie(const std::string& path) {
  std::ifstream file(path);
  std::string text((std::istreambuf_iterator<char>(file)), {});
  if (!file) Die(path, "cannot be read");
  return text;
}

std::shared_ptr<grpc::Channel> Connect(const Options& options) {
  grpc::ChannelArguments arguments;
  // The environment may name a proxy. Statistics of many sandboxes are large.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetMaxReceiveMessageSize(-1);
  if (options.address.empty()) {
    return grpc::CreateCustomChannel("unix:" + options.socket, grpc::InsecureChannelCredentials(), arguments);
  }
  const grpc::SslCredentialsOptions tls = {.pem_root_certs = ReadOrDie(options.authority),
                                           .pem_private_key = ReadOrDie(options.key),
                                           .pem_cert_chain = ReadOrDie(options.certificate)};
  return grpc::CreateCustomChannel(options.address, grpc::SslCredentials(tls), arguments);
}

Command ParseCommand(int argc, char** argv, Options& options) {
  CLI::App app("Shows the sandboxes of this host, their mounts and what those are asked for.", "lisafsctl");
  app.set_version_flag("--version", "lisafsctl " + std::string(kVersion));
  app.add_option("--socket", options.socket, "lisafsd's socket")->capture_default_str();
  app.add_flag("--json", options.json, "JSON instead of tables");
  auto* address = app.add_option("--address", options.address, "A lisafsd elsewhere, HOST:PORT, over TLS");
  for (auto [name, file, what] : {std::tuple{"--ca", &options.authority, "Who signed its certificate"},
                                  {"--certificate", &options.certificate, "Your own certificate"},
                                  {"--key", &options.key, "Its key"}}) {
    address->needs(app.add_option(name, *file, what));
  }
  app.require_subcommand(1);
  app.fallthrough();

  Command command;
  CLI::App* sandboxes = app.add_subcommand("sandboxes", "Lists the sandboxes");
  sandboxes->callback([&] { command = Sandboxes; });
  CLI::App* mounts = app.add_subcommand("mounts", "Lists the mounts, and what the gofer holds for each");
  mounts->add_option("SANDBOX", options.sandbox, "Only this one's");
  mounts->callback([&] { command = Mounts; });
  CLI::App* stats = app.add_subcommand("stats", "Shows what the gofers were asked for, and how long they took");
  stats->add_option("SANDBOX", options.sandbox, "Only this one's");
  stats->add_flag("--watch", options.watch, "Again every second, until interrupted");
  stats->callback([&] { command = Statistics; });
  AddMountCommands(app, options, command);
  AddWatchingCommands(app, options, command);
  ParseCommandLineOrExit(app, argc, argv);
  return command;
}

int Main(int argc, char** argv) {
  Options options;
  Command command = ParseCommand(argc, argv, options);
  auto stub = v1::Control::NewStub(Connect(options));
  grpc::Status status = command(*stub, options);
  if (status.ok()) return kExitSuccess;
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
    Die(options.address.empty() ? options.socket : options.address,
        "lisafsd does not answer: " + status.error_message());
  }
  // The message names what it is about: "sandbox web: no such sandbox".
  Die("lisafsd", status.error_message());
}

}  // namespace
}  // namespace lisafs

int main(int argc, char** argv) {
  lisafs::SetProgramName("lisafsctl");
  try {
    return lisafs::Main(argc, argv);
  } catch (const std::exception& error) {
    lisafs::Die("unexpected", error.what());
  }
}
