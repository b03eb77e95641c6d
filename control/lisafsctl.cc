// The operator's client of lisafsd. Run it with --help for how.

#include <google/protobuf/util/json_util.h>
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <functional>

#include "base/program.h"
#include "control/mount_options.h"
#include "control/report.h"
#include "proto/lisafs/control/v1/control.grpc.pb.h"

namespace lisafs {
namespace {

namespace v1 = control::v1;

struct Options {
  std::string socket = "/run/lisafs/control.sock";
  bool json = false;
  bool watch = false;
  std::string sandbox;  // Empty: all.
  std::string target;
  std::vector<std::string> words;  // Of a mount's policy.
  std::string source;
  std::string mount_options;
  bool create = false;
  bool force = false;
  uint32_t wait_seconds = 0;  // 0: not at all.
};

using Stub = v1::Control::Stub;
using Command = std::function<grpc::Status(Stub&, const Options&)>;

constexpr auto kPatience = std::chrono::seconds(10);
// lisafsd gives up on a container that does not answer before this is over.
constexpr auto kChangePatience = std::chrono::seconds(40);

void SetDeadline(grpc::ClientContext& context, std::chrono::seconds patience = kPatience) {
  context.set_deadline(std::chrono::system_clock::now() + patience);
}

void Print(const std::string& text) {
  if (fwrite(text.data(), 1, text.size(), stdout) != text.size() || fflush(stdout) != 0) DieErrno("standard output");
}

// One message as protobuf says it in JSON, for a stream on a line of its own.
void PrintJson(const google::protobuf::Message& message, bool one_line) {
  google::protobuf::util::JsonPrintOptions format;
  format.add_whitespace = !one_line;
  format.always_print_primitive_fields = true;
  std::string json;
  auto status = google::protobuf::util::MessageToJsonString(message, &json, format);
  if (!status.ok()) Die("JSON", std::string(status.message()));
  Print(one_line ? json + "\n" : json);
}

// All pages of a list as one response.
template <typename Request, typename Response>
grpc::Status CallForAll(Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                        Request request, Response& response) {
  do {
    grpc::ClientContext context;
    SetDeadline(context);
    Response page;
    grpc::Status status = (stub.*method)(&context, request, &page);
    if (!status.ok()) return status;
    request.set_page_token(page.next_page_token());
    page.clear_next_page_token();
    response.MergeFrom(page);
  } while (!request.page_token().empty());
  return grpc::Status::OK;
}

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

Command ParseCommand(int argc, char** argv, Options& options) {
  CLI::App app("Shows the sandboxes of this host, their mounts and what those are asked for.", "lisafsctl");
  app.set_version_flag("--version", "lisafsctl " + std::string(kVersion));
  app.add_option("--socket", options.socket, "lisafsd's socket")->capture_default_str();
  app.add_flag("--json", options.json, "JSON instead of tables");
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
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    exit(app.exit(success));
  } catch (const CLI::ParseError& error) {
    PrintError("usage", error.what());
    exit(kExitUsage);
  }
  return command;
}

int Main(int argc, char** argv) {
  Options options;
  Command command = ParseCommand(argc, argv, options);
  auto stub = v1::Control::NewStub(grpc::CreateChannel("unix:" + options.socket, grpc::InsecureChannelCredentials()));
  grpc::Status status = command(*stub, options);
  if (status.ok()) return kExitSuccess;
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
    Die(options.socket, "lisafsd does not answer: " + status.error_message());
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
