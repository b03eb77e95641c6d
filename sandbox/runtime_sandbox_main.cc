// lisafs-runtime-sandbox: the part of lisafs-runtime that speaks with lisafsd. lisafs-runtime becomes it, with the
// arguments it was given, for create, run and delete.

#include "base/program.h"
#include "base/result.h"
#include "sandbox/low_level_runtime.h"
#include "sandbox/runtime_arguments.h"
#include "sandbox/runtime_create.h"
#include "sandbox/runtime_delete.h"
#include "sandbox/runtime_pause.h"
#include "sandbox/runtime_report.h"

namespace lisafs {
namespace {

int Main(int argc, char** argv) {
  SetProgramName("lisafs-runtime");
  auto arguments = ParseRuntimeArguments({argv, static_cast<size_t>(argc)});
  if (!arguments) {
    PrintError("arguments", arguments.error());
    return kExitUsage;
  }
  if (arguments->id.empty()) {
    PrintError("arguments", "this is a part of lisafs-runtime: use that");
    return kExitUsage;
  }
  std::string what = arguments->command + " " + arguments->id;
  auto runtime = FindLowLevelRuntime(arguments->runtime);
  if (!runtime) Abandon(*arguments, "low-level runtime " + arguments->runtime, runtime.error());

  if (arguments->command != "create" && arguments->command != "run") {
    auto status = arguments->command == "delete" ? DeleteContainer(*runtime, *arguments)
                                                 : PauseOrResumeContainer(*runtime, *arguments);
    if (!status) Abandon(*arguments, *runtime, status.error());
    return *status;
  }
  if (absl::Status prepared = PrepareContainer(*arguments); !prepared.ok()) {
    Abandon(*arguments, what, std::string(prepared.message()));
  }
  Exec(*runtime, arguments->passed);
  Abandon(*arguments, *runtime, Errno::Last().ToString());
}

}  // namespace
}  // namespace lisafs

int main(int argc, char** argv) { return lisafs::Main(argc, argv); }
