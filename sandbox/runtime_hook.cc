#include "sandbox/runtime_hook.h"

#include <charconv>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string_view>

#include "sandbox/cgroups.h"

namespace lisafs {
namespace {

// When a process started, in clock ticks, as text: with its number it names the process for as long as the machine
// runs. Empty if there is none.
std::string StartTime(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(file, text, '\0');
  // The second field, the program's name, may hold anything; the start time is the 22nd.
  size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return "";
  std::istringstream fields(text.substr(name_end + 1));
  std::string field;
  for (int i = 3; i <= 22; ++i) fields >> field;
  return fields ? field : "";
}

pid_t ParsePid(std::string_view text) {
  pid_t pid = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
  return error == std::errc() && end == text.data() + text.size() && pid > 0 ? pid : 0;
}

}  // namespace

tl::expected<std::vector<std::string>, std::string> HookCommandLine(const std::string& program, pid_t plugin) {
  std::string start_time = StartTime(plugin);
  if (start_time.empty()) return tl::unexpected<std::string>("process " + std::to_string(plugin) + " is gone");
  return std::vector<std::string>{program, kHookCommand, std::to_string(plugin), start_time};
}

tl::expected<void, std::string> RunHook(const std::vector<std::string>& arguments, const std::string& state) {
  pid_t plugin = arguments.size() == 2 ? ParsePid(arguments[0]) : 0;
  if (plugin == 0) return tl::unexpected<std::string>("arguments are PID and START-TIME");
  nlohmann::json parsed = nlohmann::json::parse(state, nullptr, /*allow_exceptions=*/false);
  auto pid = parsed.is_object() ? parsed.find("pid") : parsed.end();
  if (!parsed.is_object() || pid == parsed.end() || !pid->is_number_integer() || pid->get<int64_t>() <= 0) {
    return tl::unexpected<std::string>("the container's state on stdin has no pid");
  }
  if (StartTime(plugin) != arguments[1]) return {};
  auto moved = MoveToCgroupsOf(pid->get<pid_t>(), plugin);
  // If it has ended meanwhile, that is why it could not be moved.
  if (!moved && StartTime(plugin) == arguments[1]) return moved;
  return {};
}

}  // namespace lisafs
