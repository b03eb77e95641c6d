#include "sandbox/runtime_pause.h"

#include "base/program.h"
#include "sandbox/cgroups.h"
#include "sandbox/control_client.h"
#include "sandbox/low_level_runtime.h"
#include "sandbox/runtime_report.h"

namespace lisafs {

tl::expected<int, std::string> PauseOrResumeContainer(const std::string& runtime, const RuntimeArguments& arguments) {
  // Without a sandbox, or a lisafsd that knows it, there is nothing to do but what was asked for.
  auto plugins = ControlClient(arguments.socket).FindPlugins(arguments.id);
  if (!plugins.ok() || plugins->empty()) return RunProgram(runtime, arguments.passed);

  if (arguments.command == "pause") {
    for (pid_t plugin : *plugins) LeaveCgroups(plugin);
  }
  auto status = RunProgram(runtime, arguments.passed);
  bool paused = arguments.command == "pause" && status && *status == kExitSuccess;
  if (paused) return status;

  std::vector<std::string> argv(arguments.passed.begin(), arguments.passed.begin() + arguments.globals);
  auto state = ReadContainerState(runtime, argv, arguments.id);
  if (!state || state->status != "running") return status;
  for (pid_t plugin : *plugins) {
    if (auto moved = MoveToCgroupsOf(state->pid, plugin); !moved) {
      ReportError(arguments, arguments.command + " " + arguments.id, "moving lisafs-plugin back: " + moved.error());
    }
  }
  return status;
}

}  // namespace lisafs
