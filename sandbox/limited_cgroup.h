#ifndef LISAFS_SANDBOX_LIMITED_CGROUP_H_
#define LISAFS_SANDBOX_LIMITED_CGROUP_H_

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "confine/cgroups.h"

namespace lisafs {

// What the processes in a cgroup may use together, and where such cgroups are.
struct CgroupLimits {
  bool enabled = false;
  std::string parent = "/lisafs";             // In each hierarchy, from where it is mounted.
  uint64_t memory_bytes = uint64_t{2} << 30;  // With what the kernel keeps for them. 0: any.
  uint64_t pids = 4096;                       // Threads. 0: any.
};

// Puts processes into the cgroup PARENT/NAME of the hierarchies that limit memory and threads, version 1 or 2, making
// it if it is not there, and sets its limits. Does what it can; the error says, for a person, what the host did not
// allow.
absl::Status EnterLimitedCgroup(const CgroupLimits& limits, const std::string& name, std::span<const pid_t> pids);
// Removes it, if nobody is in it any more; that it is not there is no error.
absl::Status RemoveLimitedCgroup(const CgroupLimits& limits, const std::string& name);

// The same in these hierarchies.
absl::Status EnterLimitedCgroup(const std::vector<CgroupMount>& mounts, const CgroupLimits& limits,
                                const std::string& name, std::span<const pid_t> pids);
absl::Status RemoveLimitedCgroup(const std::vector<CgroupMount>& mounts, const CgroupLimits& limits,
                                 const std::string& name);

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_LIMITED_CGROUP_H_
