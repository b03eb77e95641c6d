#include "sandbox/cgroups.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
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

bool SameHierarchy(const CgroupMembership& cgroup, const CgroupMount& mount) {
  if (cgroup.controllers.empty() || mount.controllers.empty()) return cgroup.controllers == mount.controllers;
  std::vector<std::string> options = Split(mount.controllers, ',');
  std::vector<std::string> wanted = Split(cgroup.controllers, ',');
  return std::all_of(wanted.begin(), wanted.end(), [&](const std::string& controller) {
    return std::find(options.begin(), options.end(), controller) != options.end();
  });
}

Status AddProcess(const std::string& directory, pid_t pid) {
  Fd procs(open((directory + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
  if (!procs) return FailWithErrno();
  std::string text = std::to_string(pid);
  if (write(procs.get(), text.data(), text.size()) < 0) return FailWithErrno();
  return {};
}

}  // namespace

std::vector<CgroupMembership> ParseCgroups(std::string_view text) {
  std::vector<CgroupMembership> cgroups;
  for (std::string_view line : Split(text, '\n')) {
    // hierarchy:controllers:path, where the path may have colons.
    size_t first = line.find(':');
    size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos || line.substr(second + 1, 1) != "/") continue;
    cgroups.push_back({std::string(line.substr(first + 1, second - first - 1)), std::string(line.substr(second + 1))});
  }
  return cgroups;
}

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

std::string CgroupDirectory(const CgroupMembership& cgroup, const std::vector<CgroupMount>& mounts) {
  // Above the root of the reader's cgroup namespace.
  if (cgroup.path.starts_with("/..")) return "";
  // A later mount may hide an earlier one, not the other way round.
  for (auto mount = mounts.rbegin(); mount != mounts.rend(); ++mount) {
    if (!SameHierarchy(cgroup, *mount)) continue;
    if (mount->root == "/") return mount->mount_point + cgroup.path;
    if (cgroup.path == mount->root) return mount->mount_point;
    if (cgroup.path.starts_with(mount->root + "/")) return mount->mount_point + cgroup.path.substr(mount->root.size());
  }
  return "";
}

tl::expected<void, std::string> MoveToCgroupsOf(pid_t model, pid_t pid) {
  std::vector<CgroupMount> mounts = MountedCgroups();
  std::vector<CgroupMembership> present = ParseCgroups(ReadProc("/proc/" + std::to_string(pid) + "/cgroup"));
  for (const CgroupMembership& cgroup : ParseCgroups(ReadProc("/proc/" + std::to_string(model) + "/cgroup"))) {
    if (cgroup.path == "/" || cgroup.controllers == "freezer") continue;
    if (std::find(present.begin(), present.end(), cgroup) != present.end()) continue;
    std::string directory = CgroupDirectory(cgroup, mounts);
    if (directory.empty()) continue;
    if (Status added = AddProcess(directory, pid); !added) {
      return tl::unexpected("cgroup " + directory + ": " + added.error().ToString());
    }
  }
  return {};
}

void LeaveCgroups(pid_t pid) {
  for (const CgroupMount& mount : MountedCgroups()) {
    // Where that is not allowed, the process stays where it is.
    if (mount.root == "/") (void)AddProcess(mount.mount_point, pid);
  }
}

bool HasUnifiedCgroups() {
  struct statfs system;
  return statfs("/sys/fs/cgroup", &system) == 0 && system.f_type == CGROUP2_SUPER_MAGIC;
}

}  // namespace lisafs
