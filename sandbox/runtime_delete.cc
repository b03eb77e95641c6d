#include "sandbox/runtime_delete.h"

#include <filesystem>
#include <system_error>

#include "absl/status/status.h"
#include "base/program.h"
#include "sandbox/control_client.h"
#include "sandbox/low_level_runtime.h"
#include "sandbox/runtime_daemon.h"
#include "sandbox/runtime_report.h"

namespace lisafs {
namespace {

// Whether there can be a sandbox to ask lisafsd for: makes sure that one answers if so.
absl::StatusOr<bool> MayHaveSandbox(const RuntimeArguments& arguments) {
  absl::Status found = FindDaemon(arguments.socket);
  if (absl::IsUnavailable(found)) {
    // What a lisafsd has left behind is for the next one to end.
    std::error_code error;
    std::filesystem::path state = std::filesystem::path(StateDirectory(arguments.socket)) / arguments.id;
    if (!std::filesystem::exists(state, error)) return false;
    found = EnsureDaemon(arguments.socket, SiblingProgram("lisafsd"));
  }
  if (!found.ok()) return found;
  return true;
}

bool IsLive(const std::string& runtime, const RuntimeArguments& arguments) {
  std::vector<std::string> argv(arguments.passed.begin(), arguments.passed.begin() + arguments.globals);
  auto state = ReadContainerState(runtime, argv, arguments.id);
  return state && state->status != "stopped";
}

// Most sandboxes have ended by themselves by now; an id that is none has no sandbox.
bool IsThere(const absl::Status& status) { return !absl::IsNotFound(status) && !absl::IsInvalidArgument(status); }

void DeleteSandbox(ControlClient& client, const RuntimeArguments& arguments) {
  absl::Status deleted = client.DeleteSandbox(arguments.id);
  if (!deleted.ok() && IsThere(deleted))
    ReportError(arguments, "delete " + arguments.id, std::string(deleted.message()));
}

}  // namespace

tl::expected<int, std::string> DeleteContainer(const std::string& runtime, const RuntimeArguments& arguments) {
  absl::StatusOr<bool> may_have_sandbox = MayHaveSandbox(arguments);
  if (!may_have_sandbox.ok()) {
    ReportError(arguments, "delete " + arguments.id, std::string(may_have_sandbox.status().message()));
    may_have_sandbox = false;
  }
  if (!*may_have_sandbox) return RunProgram(runtime, arguments.passed);

  ControlClient client(arguments.socket);
  if (!IsThere(client.FindSandbox(arguments.id))) return RunProgram(runtime, arguments.passed);
  // Nothing can use the files of a container that has stopped.
  if (!IsLive(runtime, arguments)) {
    DeleteSandbox(client, arguments);
    return RunProgram(runtime, arguments.passed);
  }
  auto status = RunProgram(runtime, arguments.passed);
  if (status && *status == kExitSuccess) DeleteSandbox(client, arguments);
  return status;
}

}  // namespace lisafs
