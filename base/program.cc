#include "base/program.h"

#include <stdlib.h>
#include <unistd.h>

#include <string>

#include "base/escape.h"
#include "base/result.h"

namespace lisafs {
namespace {

const char* program_name = "lisafs";

}  // namespace

void SetProgramName(const char* name) { program_name = name; }

void PrintError(std::string_view what, std::string_view why) {
  std::string line = std::string(program_name) + ": " + Escape(what) + ": " + Escape(why) + "\n";
  // One write, so that lines of several processes do not mix. Nothing can be done about a stderr that does not take it.
  if (write(STDERR_FILENO, line.data(), line.size()) < 0) return;
}

void Die(std::string_view what, std::string_view why) {
  PrintError(what, why);
  exit(kExitFailure);
}

void DieOfUsage(std::string_view what, std::string_view why) {
  PrintError(what, why);
  exit(kExitUsage);
}

void DieErrno(std::string_view what) { Die(what, Errno::Last().ToString()); }

}  // namespace lisafs
