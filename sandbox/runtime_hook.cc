#include "sandbox/runtime_hook.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cerrno>
#include <charconv>
#include <fstream>
#include <nlohmann/json.hpp>
#include <span>
#include <sstream>
#include <string_view>

#include "base/fd.h"
#include "base/program.h"
#include "base/result.h"
#include "sandbox/start_waker.h"

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

// What is in the file is there at once, whole. A sandbox that is gone is no failure either.
tl::expected<void, std::string> TellProcess(pid_t container, const std::string& path) {
  if (path.empty()) return {};
  const std::string temporary = path + ".new";
  std::ofstream file(temporary, std::ios::trunc);
  if (!file && errno == ENOENT) return {};
  file << container << ' ' << StartTime(container) << '\n';
  file.close();
  if (!file || rename(temporary.c_str(), path.c_str()) != 0) {
    return tl::unexpected(path + ": " + Errno::Last().ToString());
  }
  return {};
}

StepResult<pid_t> WakeWatchers(const std::string& waker, pid_t plugin, pid_t container, const std::string& mounts,
                              std::span<const std::string> names) {
  std::vector<Fd> trees;
  for (const std::string& name : names) {
    auto tree = CloneForWaker(AT_FDCWD, mounts + "/" + name);
    if (!tree) return tl::unexpected(tree.error());
    trees.push_back(std::move(*tree));
  }
  return StartWaker(waker, plugin, container, std::move(trees));
}

tl::expected<void, std::string> LeaveMountsTo(pid_t container, const std::string& mounts) {
  struct stat own, its;
  if (stat("/proc/self/ns/mnt", &own) != 0 ||
      stat(("/proc/" + std::to_string(container) + "/ns/mnt").c_str(), &its) != 0) {
    return tl::unexpected("the container's mount namespace: " + Errno::Last().ToString());
  }
  // A container without a mount namespace of its own lives in this one.
  if (own.st_ino == its.st_ino) return {};
  if (umount2(mounts.c_str(), MNT_DETACH) != 0)
    return tl::unexpected("unmounting " + mounts + ": " + Errno::Last().ToString());
  return {};
}

}  // namespace

tl::expected<std::vector<std::string>, std::string> HookCommandLine(const std::string& program, pid_t plugin,
                                                                    const std::string& mounts,
                                                                    const std::string& container_file,
                                                                    const std::string& waker,
                                                                    const std::vector<std::string>& names) {
  std::string start_time = StartTime(plugin);
  if (start_time.empty()) return tl::unexpected("process " + std::to_string(plugin) + " is gone");
  std::vector<std::string> line = {program,        kHookCommand, std::to_string(plugin), start_time, mounts,
                                   container_file, waker};
  line.insert(line.end(), names.begin(), names.end());
  return line;
}

tl::expected<void, std::string> RunHook(const std::vector<std::string>& arguments, const std::string& state) {
  pid_t plugin = arguments.size() >= 5 ? ParsePid(arguments[0]) : 0;
  if (plugin == 0)
    return tl::unexpected<std::string>("arguments are PID, START-TIME, DIRECTORY, FILE, WAKER and NAMEs");
  nlohmann::json parsed = nlohmann::json::parse(state, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object() || !parsed.contains("pid") || !parsed["pid"].is_number_integer() || parsed["pid"] <= 0) {
    return tl::unexpected<std::string>("the container's state on stdin has no pid");
  }
  pid_t container = parsed["pid"].get<pid_t>();
  if (auto told = TellProcess(container, arguments[3]); !told) return told;
  if (StartTime(plugin) == arguments[1]) {
    auto woken = WakeWatchers(arguments[4], plugin, container, arguments[2], std::span(arguments).subspan(5));
    // The container's files do without.
    if (!woken) PrintError(woken.error().what, woken.error().error.ToString());
  }
  return LeaveMountsTo(container, arguments[2]);
}

}  // namespace lisafs
