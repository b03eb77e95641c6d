#ifndef LISAFS_BASE_COMMAND_LINE_H_
#define LISAFS_BASE_COMMAND_LINE_H_

#include <stdlib.h>

#include <CLI/CLI.hpp>

#include "base/program.h"

namespace lisafs {

// Parses the command line as every program of the project does: --help and --version are answered on stdout with status
// 0, and what is wrong is said as "NAME: usage: why" with kExitUsage.
inline void ParseCommandLineOrExit(CLI::App& app, int argc, const char* const* argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    exit(app.exit(success));
  } catch (const CLI::ParseError& error) {
    DieOfUsage("usage", error.what());
  }
}

}  // namespace lisafs

#endif  // LISAFS_BASE_COMMAND_LINE_H_
