// lisafs-runtime-sandbox: the part of lisafs-runtime that speaks with lisafsd. lisafs-runtime becomes it, with the
// arguments it was given, for create, run and delete; lisafs-runsc becomes it where runsc starts its gofer.

#include <string.h>

#include <span>

#include "base/program.h"
#include "base/result.h"
#include "sandbox/low_level_runtime.h"
#include "sandbox/runsc_gofer.h"
#include "sandbox/runsc_paths.h"
#include "sandbox/runtime_arguments.h"
#include "sandbox/runtime_create.h"
#include "sandbox/runtime_delete.h"
#include "sandbox/runtime_report.h"
#include "sandbox/runtime_runsc.h"

namespace lisafs {
namespace {

bool StartsGofer(const std::string& command) { return command == "create" || command == "run" || command == "start"; }

int Main(int argc, char** argv) {
  SetProgramName("lisafs-runtime");
  const std::span<const char* const> words(argv, static_cast<size_t>(argc));
  if (argc > 0 && strcmp(argv[0], kRunscGoferName) == 0) {
    StandInForRunscGofer(words);
    return kExitFailure;
  }
  auto arguments = ParseRuntimeArguments(words);
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

  if (IsRunsc(arguments->runtime) && StartsGofer(arguments->command)) {
    if (absl::Status prepared = PrepareRunsc(*runtime, *arguments, words); !prepared.ok()) {
      Abandon(*arguments, what, std::string(prepared.message()));
    }
    arguments->passed[0] = kRunscName;
    std::string loader = SiblingProgram(kRunscLoader);
    Exec(loader, arguments->passed);
    Abandon(*arguments, loader, Errno::Last().ToString());
  }
  if (arguments->command == "delete") {
    auto status = DeleteContainer(*runtime, *arguments);
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
