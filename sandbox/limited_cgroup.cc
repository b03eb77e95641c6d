#include "sandbox/limited_cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <sstream>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/fd.h"
#include "base/status.h"

namespace lisafs {
namespace {

// After a process's end its cgroup may be in use for a moment.
constexpr int kRemovals = 25;
constexpr auto kBetweenRemovals = std::chrono::milliseconds(2);

struct Controller {
  const char* name;
  const char* limit_v1;
  const char* limit_v2;
  const char* any_v1;
  uint64_t CgroupLimits::*limit;
};

constexpr Controller kControllers[] = {
    {"memory", "memory.limit_in_bytes", "memory.max", "-1", &CgroupLimits::memory_bytes},
    {"pids", "pids.max", "pids.max", "max", &CgroupLimits::pids},
};

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) {
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

absl::Status Write(const std::string& path, const std::string& text) {
  Fd file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file || write(file.get(), text.data(), text.size()) < 0) return ErrnoStatus(errno, path);
  return absl::OkStatus();
}

// A controller is version 2's if no hierarchy of version 1 has it.
const CgroupMount* FindHierarchy(const std::vector<CgroupMount>& mounts, const Controller& controller) {
  const CgroupMount* found = nullptr;
  for (const CgroupMount& mount : mounts) {
    if (mount.controllers.empty() && found == nullptr) found = &mount;
    for (const std::string& option : Split(mount.controllers, ',')) {
      if (option == controller.name) return &mount;
    }
  }
  return found;
}

// Makes what is missing of PARENT/NAME and gives its directory. In version 2 each cgroup on the way has to hand the
// controller down.
absl::StatusOr<std::string> MakeCgroup(const CgroupMount& mount, const Controller& controller,
                                       const std::string& parent, const std::string& name) {
  std::string directory = mount.mount_point;
  std::vector<std::string> steps = Split(parent, '/');
  steps.push_back(name);
  for (const std::string& step : steps) {
    if (mount.controllers.empty()) {
      LISAFS_RETURN_IF_NOT_OK(Write(directory + "/cgroup.subtree_control", absl::StrCat("+", controller.name)));
    }
    absl::StrAppend(&directory, "/", step);
    if (mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) return ErrnoStatus(errno, directory);
  }
  return directory;
}

absl::Status Enter(const CgroupMount& mount, const Controller& controller, const CgroupLimits& limits,
                   const std::string& name, std::span<const pid_t> pids) {
  const bool v1 = !mount.controllers.empty();
  auto directory = MakeCgroup(mount, controller, limits.parent, name);
  if (!directory.ok()) return directory.status();
  const uint64_t limit = limits.*controller.limit;
  const std::string any = v1 ? controller.any_v1 : "max";
  LISAFS_RETURN_IF_NOT_OK(Write(absl::StrCat(*directory, "/", v1 ? controller.limit_v1 : controller.limit_v2),
                                limit == 0 ? any : absl::StrCat(limit)));
  for (pid_t pid : pids) LISAFS_RETURN_IF_NOT_OK(Write(*directory + "/cgroup.procs", absl::StrCat(pid)));
  return absl::OkStatus();
}

absl::Status RemoveDirectory(const std::string& directory) {
  for (int i = 0; i < kRemovals; ++i) {
    if (rmdir(directory.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
    if (errno != EBUSY) break;
    std::this_thread::sleep_for(kBetweenRemovals);
  }
  return ErrnoStatus(errno, directory);
}

}  // namespace

absl::Status EnterLimitedCgroup(const std::vector<CgroupMount>& mounts, const CgroupLimits& limits,
                                const std::string& name, std::span<const pid_t> pids) {
  absl::Status status;
  for (const Controller& controller : kControllers) {
    const CgroupMount* mount = FindHierarchy(mounts, controller);
    if (mount == nullptr) {
      status.Update(absl::UnavailableError("no cgroups are mounted"));
      continue;
    }
    status.Update(
        Annotate(absl::StrCat("no limit of ", controller.name), Enter(*mount, controller, limits, name, pids)));
  }
  return status;
}

absl::Status RemoveLimitedCgroup(const std::vector<CgroupMount>& mounts, const CgroupLimits& limits,
                                 const std::string& name) {
  absl::Status status;
  for (const Controller& controller : kControllers) {
    const CgroupMount* mount = FindHierarchy(mounts, controller);
    if (mount == nullptr) continue;
    status.Update(RemoveDirectory(absl::StrCat(mount->mount_point, limits.parent, "/", name)));
  }
  return status;
}

absl::Status EnterLimitedCgroup(const CgroupLimits& limits, const std::string& name, std::span<const pid_t> pids) {
  return EnterLimitedCgroup(MountedCgroups(), limits, name, pids);
}

absl::Status RemoveLimitedCgroup(const CgroupLimits& limits, const std::string& name) {
  return RemoveLimitedCgroup(MountedCgroups(), limits, name);
}

}  // namespace lisafs
