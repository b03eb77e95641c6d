#include "confine/cgroups.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "base/fd.h"
#include "base/result.h"

namespace lisafs {
namespace {

std::string ReadProc(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    size_t end = std::min(text.find(separator, begin), text.size());
    if (end > begin) parts.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

// Undoes mountinfo's escapes: \040 is a space.
std::string Unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    auto octal = [&](size_t at) { return at < text.size() && text[at] >= '0' && text[at] <= '7'; };
    if (text[i] == '\\' && octal(i + 1) && octal(i + 2) && octal(i + 3)) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

bool IsInRoots(pid_t pid) {
  // Lines are HIERARCHY:CONTROLLERS:PATH.
  const std::string cgroups = ReadProc(pid == 0 ? "/proc/self/cgroup" : "/proc/" + std::to_string(pid) + "/cgroup");
  const std::vector<std::string> lines = Split(cgroups, '\n');
  return std::all_of(lines.begin(), lines.end(), [](const std::string& line) { return line.ends_with(":/"); });
}

Status AddProcess(const std::string& directory, pid_t pid) {
  Fd procs(open((directory + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
  if (!procs) return FailWithErrno();
  std::string text = std::to_string(pid);
  if (write(procs.get(), text.data(), text.size()) < 0) return FailWithErrno();
  return {};
}

}  // namespace

std::vector<CgroupMount> ParseCgroupMounts(std::string_view mountinfo) {
  std::vector<CgroupMount> mounts;
  for (const std::string& line : Split(mountinfo, '\n')) {
    // id parent major:minor root mount-point options [fields] - type source super-options
    std::vector<std::string> fields = Split(line, ' ');
    auto separator = std::find(fields.begin(), fields.end(), "-");
    if (fields.size() < 7 || fields.end() - separator < 4) continue;
    bool v1 = separator[1] == "cgroup";
    if (!v1 && separator[1] != "cgroup2") continue;
    mounts.push_back({v1 ? separator[3] : "", Unescape(fields[3]), Unescape(fields[4])});
  }
  return mounts;
}

std::vector<CgroupMount> MountedCgroups() { return ParseCgroupMounts(ReadProc("/proc/self/mountinfo")); }

void LeaveCgroups(pid_t pid) {
  if (IsInRoots(pid)) return;
  for (const CgroupMount& mount : MountedCgroups()) {
    // Where that is not allowed, the process stays where it is.
    if (mount.root == "/") (void)AddProcess(mount.mount_point, pid);
  }
}

}  // namespace lisafs
