#include "sandbox/runtime_report.h"

#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <string>

#include "base/fd.h"
#include "base/program.h"

namespace lisafs {
namespace {

std::string Timestamp() {
  time_t now = time(nullptr);
  struct tm utc;
  char text[sizeof "0000-00-00T00:00:00Z"];
  if (gmtime_r(&now, &utc) == nullptr || strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0) return "";
  return text;
}

std::string Quoted(const std::string& text) {
  // Replaces what is not UTF-8: names in messages need not be.
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

void ReportError(const RuntimeArguments& arguments, std::string_view what, std::string_view why) {
  PrintError(what, why);
  if (arguments.log.empty()) return;
  Fd log(open(arguments.log.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644));
  if (!log) return;
  std::string message = Quoted("lisafs-runtime: " + std::string(what) + ": " + std::string(why));
  std::string line = arguments.log_format == "json"
                         ? "{\"level\":\"error\",\"msg\":" + message + ",\"time\":\"" + Timestamp() + "\"}\n"
                         : "time=\"" + Timestamp() + "\" level=error msg=" + message + "\n";
  // The error is on stderr in any case.
  if (write(log.get(), line.data(), line.size()) < 0) return;
}

void Abandon(const RuntimeArguments& arguments, std::string_view what, std::string_view why) {
  ReportError(arguments, what, why);
  exit(kExitFailure);
}

}  // namespace lisafs
