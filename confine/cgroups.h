#ifndef LISAFS_CONFINE_CGROUPS_H_
#define LISAFS_CONFINE_CGROUPS_H_

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

// The cgroup hierarchies that there are, and leaving them: cgroup v1, v2 and both at once.

namespace lisafs {

// A mounted hierarchy.
struct CgroupMount {
  std::string controllers;  // The mount's options, of which these are some; empty for version 2.
  std::string root;         // What of the hierarchy is mounted.
  std::string mount_point;

  friend bool operator==(const CgroupMount&, const CgroupMount&) = default;
};

// Reads /proc/PID/mountinfo. Lines that make no sense are left out.
std::vector<CgroupMount> ParseCgroupMounts(std::string_view mountinfo);
// Those that this process sees.
std::vector<CgroupMount> MountedCgroups();

// Moves the process `pid`, 0 for the calling one, to the root of every hierarchy that lets it. If it is there already
// the kernel is not asked: it would wait all the same.
void LeaveCgroups(pid_t pid);

}  // namespace lisafs

#endif  // LISAFS_CONFINE_CGROUPS_H_
