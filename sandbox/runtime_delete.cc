#include "sandbox/runtime_delete.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "base/program.h"
#include "sandbox/control_client.h"
#include "sandbox/low_level_runtime.h"
#include "sandbox/runtime_daemon.h"

namespace lisafs {
namespace {

// Whether the low-level runtime, with the same global flags, knows the container.
bool ContainerExists(const std::string& runtime, const RuntimeArguments& arguments) {
  std::vector<std::string> argv(arguments.passed.begin(), arguments.passed.begin() + arguments.globals);
  argv.insert(argv.end(), {"state", arguments.id});
  auto status = RunProgram(runtime, argv, Output::kDiscard);
  return status && *status == kExitSuccess;
}

absl::Status DeleteSandbox(const RuntimeArguments& arguments) {
  absl::Status found = FindDaemon(arguments.socket);
  if (absl::IsUnavailable(found)) {
    // A sandbox that its lisafsd has left behind is for the next one to end.
    std::error_code error;
    std::filesystem::path state = std::filesystem::path(StateDirectory(arguments.socket)) / arguments.id;
    if (!std::filesystem::exists(state, error)) return absl::OkStatus();
    found = EnsureDaemon(arguments.socket, SiblingProgram("lisafsd"));
  }
  if (!found.ok()) return found;
  absl::Status deleted = ControlClient(arguments.socket).DeleteSandbox(arguments.id);
  // Most sandboxes have ended by themselves by now; an id that is none has no sandbox.
  if (absl::IsNotFound(deleted) || absl::IsInvalidArgument(deleted)) return absl::OkStatus();
  return deleted;
}

}  // namespace

absl::StatusOr<int> DeleteContainer(const std::string& runtime, const RuntimeArguments& arguments) {
  auto status = RunProgram(runtime, arguments.passed, Output::kInherit);
  if (!status) return absl::InternalError(absl::StrCat(runtime, ": ", status.error()));
  if (*status != kExitSuccess && ContainerExists(runtime, arguments)) return *status;
  if (absl::Status deleted = DeleteSandbox(arguments); !deleted.ok()) return deleted;
  return *status;
}

}  // namespace lisafs
