#ifndef LISAFS_SANDBOX_CGROUPS_H_
#define LISAFS_SANDBOX_CGROUPS_H_

#include <sys/types.h>

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

// Which cgroups a process is in, and moving a process into another's: cgroup v1, v2 and both at once.

namespace lisafs {

// A process's cgroup in one hierarchy.
struct CgroupMembership {
  std::string controllers;  // "memory", "cpu,cpuacct", "name=systemd"; empty for version 2.
  std::string path;         // As seen from the reader's cgroup namespace, "/" for its root.

  friend bool operator==(const CgroupMembership&, const CgroupMembership&) = default;
};

// A mounted hierarchy.
struct CgroupMount {
  std::string controllers;  // As above; for version 1 the mount's options, of which these are some.
  std::string root;         // What of the hierarchy is mounted.
  std::string mount_point;

  friend bool operator==(const CgroupMount&, const CgroupMount&) = default;
};

// Read /proc/PID/cgroup and /proc/PID/mountinfo. Lines that make no sense are left out.
std::vector<CgroupMembership> ParseCgroups(std::string_view text);
std::vector<CgroupMount> ParseCgroupMounts(std::string_view mountinfo);
// Those that this process sees.
std::vector<CgroupMount> MountedCgroups();

// The directory of a cgroup, or "" if its hierarchy, or the part of it that has the cgroup, is not mounted.
std::string CgroupDirectory(const CgroupMembership& cgroup, const std::vector<CgroupMount>& mounts);

// Moves the process `pid`, with all its threads, into every cgroup that the process `model` is in, except
//  - the root of a hierarchy: nothing is limited or counted there;
//  - one that is not mounted here: nobody can have put `model` there on purpose;
//  - a version 1 freezer: a process that waits for a file cannot be frozen before it is answered, so whoever answers
//  must not be
//    frozen with it.
// The error names the cgroup and the reason.
tl::expected<void, std::string> MoveToCgroupsOf(pid_t model, pid_t pid);

// Moves the process `pid`, 0 for the calling one, to the root of every hierarchy that lets it.
void LeaveCgroups(pid_t pid);

// Whether one hierarchy of version 2 is all there is, so that a process cannot be in a container's other cgroups and
// not be frozen with it.
bool HasUnifiedCgroups();

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_CGROUPS_H_
