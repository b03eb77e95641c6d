// lisafs-runtime: an OCI runtime that has a container's files served by lisafs, and leaves the rest to runc, crun or
// runsc.
//
// An engine starts it many times in a container's life, nearly always to hand over at once. So it links nothing that is
// slow to start: what needs lisafsd is lisafs-runtime-sandbox, a program beside it that speaks gRPC.

#include <stdio.h>
#include <string.h>

#include <iostream>
#include <iterator>

#include "base/program.h"
#include "base/result.h"
#include "sandbox/low_level_runtime.h"
#include "sandbox/runtime_arguments.h"
#include "sandbox/runtime_hook.h"
#include "sandbox/runtime_report.h"
#include "seccomp/trusted_deny_list.h"

namespace lisafs {
namespace {

constexpr char kHelp[] =
    R"(lisafs-runtime - an OCI runtime whose containers reach the host's files through lisafs alone

usage: lisafs-runtime [--runtime NAME|PATH] [--lisafsd SOCKET] [GLOBAL FLAGS] COMMAND [FLAGS] [ARGUMENTS]

  --runtime NAME|PATH  the low-level runtime that does everything else (runc by default); one whose name begins with
                       runsc is gVisor's, and is run with lisafs-gofer in the place of its own
  --lisafsd SOCKET     lisafsd's socket (/run/lisafs/control.sock by default); if nobody listens there, a lisafsd is started
  --help, --version

create, run and delete prepare and end the container's mounts. All commands, with all other flags, go to the low-level runtime:

)";

// See runtime_create.h, runtime_runsc.h and runtime_delete.h.
bool NeedsSandbox(const RuntimeArguments& arguments) {
  const std::string& command = arguments.command;
  if (command == "create" || command == "run" || command == "delete") return true;
  // That is when runsc starts the gofer of a pod's second container.
  return command == "start" && IsRunsc(arguments.runtime);
}

// Unlike the other commands, which end up as the low-level runtime and hand whatever filter they have to the container,
// this one starts nothing but lisafs-waker.
int Hook(int argc, char** argv) {
  OrDie(TrustedDenyList({}).Install());
  std::string state((std::istreambuf_iterator<char>(std::cin)), std::istreambuf_iterator<char>());
  if (auto done = RunHook({argv + 2, argv + argc}, state); !done) Die("handing over to the container", done.error());
  return kExitSuccess;
}

// The low-level runtime's version comes first, as engines expect it.
int Version(const std::string& runtime, const RuntimeArguments& arguments) {
  auto status = RunProgram(runtime, arguments.passed);
  if (!status) Die(runtime, status.error());
  printf("lisafs-runtime %.*s\n", static_cast<int>(kVersion.size()), kVersion.data());
  return *status;
}

[[noreturn]] void HandOver(const std::string& program, const std::vector<std::string>& argv,
                           const RuntimeArguments& arguments) {
  Exec(program, argv);
  Abandon(arguments, program, Errno::Last().ToString());
}

int Main(int argc, char** argv) {
  SetProgramName("lisafs-runtime");
  if (argc > 1 && strcmp(argv[1], kHookCommand) == 0) return Hook(argc, argv);

  auto arguments = ParseRuntimeArguments({argv, static_cast<size_t>(argc)});
  if (!arguments) {
    PrintError("arguments", arguments.error());
    return kExitUsage;
  }
  if (arguments->command == "restore") {
    Abandon(*arguments, "restore", "a container whose files lisafs serves cannot be restored from a checkpoint");
  }
  if (NeedsSandbox(*arguments) && !arguments->id.empty() && !arguments->help && !arguments->version) {
    HandOver(SiblingProgram("lisafs-runtime-sandbox"), {argv, argv + argc}, *arguments);
  }
  auto runtime = FindLowLevelRuntime(arguments->runtime);
  if (!runtime) Abandon(*arguments, "low-level runtime " + arguments->runtime, runtime.error());
  if (arguments->version) return Version(*runtime, *arguments);
  if (arguments->help || arguments->command.empty()) {
    fputs(kHelp, stdout);
    fflush(stdout);
  }
  HandOver(*runtime, arguments->passed, *arguments);
}

}  // namespace
}  // namespace lisafs

int main(int argc, char** argv) { return lisafs::Main(argc, argv); }
