#ifndef LISAFS_SANDBOX_RUNTIME_ARGUMENTS_H_
#define LISAFS_SANDBOX_RUNTIME_ARGUMENTS_H_

#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

namespace lisafs {

// The command line of an OCI runtime, read just far enough to know which command it is and on which container:
//
//   lisafs-runtime [--runtime NAME|PATH] [--lisafsd SOCKET] [the low-level runtime's global flags] COMMAND [its flags]
//   ID
//
// Engines write it, each in its own way (`--root DIR`, `-root=DIR`, flags before or behind the id), for runc, crun
// or runsc. What is not understood is passed on as it came.
struct RuntimeArguments {
  std::string runtime = "runc";
  std::string socket = "/run/lisafs/control.sock";

  // What the low-level runtime is started with: everything but our own two flags, beginning with argv[0].
  std::vector<std::string> passed;
  // How many of `passed` stand before the command: argv[0] and the global flags.
  size_t globals = 0;

  std::string command;  // Empty if there is none.
  bool help = false;    // --help or --version before the command.
  bool version = false;

  // Where the low-level runtime was told to log, as engines read that file to learn why something failed. Empty:
  // nowhere.
  std::string log;
  std::string log_format;

  // Of create, run, start and delete.
  std::string id;                           // Empty: none was given, or only help was asked for.
  std::string bundle = ".";                 // create, run
  std::string config_file = "config.json";  // create, run: in the bundle
};

// Reads argv. The error says what is wrong with our own flags, or which unknown flag makes it impossible to tell the
// command.
tl::expected<RuntimeArguments, std::string> ParseRuntimeArguments(std::span<const char* const> argv);

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_RUNTIME_ARGUMENTS_H_
