#include "base/program.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <string>

#include "base/result.h"

namespace lisafs {
namespace {

const char* program_name = "lisafs";

void AppendEscaped(std::string& out, std::string_view text) {
  for (char c : text) {
    if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) {
      out += c;
    } else {
      char escape[5];
      snprintf(escape, sizeof escape, "\\x%02x", static_cast<unsigned char>(c));
      out += escape;
    }
  }
}

}  // namespace

void SetProgramName(const char* name) { program_name = name; }

void PrintError(std::string_view what, std::string_view why) {
  std::string line = program_name;
  line += ": ";
  AppendEscaped(line, what);
  line += ": ";
  AppendEscaped(line, why);
  line += '\n';
  // One write, so that lines of several processes do not mix. Nothing can be done about a stderr that does not take it.
  if (write(STDERR_FILENO, line.data(), line.size()) < 0) return;
}

void Die(std::string_view what, std::string_view why) {
  PrintError(what, why);
  exit(kExitFailure);
}

void DieErrno(std::string_view what) { Die(what, Errno::Last().ToString()); }

}  // namespace lisafs
