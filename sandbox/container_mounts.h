#ifndef LISAFS_SANDBOX_CONTAINER_MOUNTS_H_
#define LISAFS_SANDBOX_CONTAINER_MOUNTS_H_

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/fd.h"
#include "sandbox/mount_namespace.h"
#include "sandbox/process.h"

namespace lisafs {

// INVALID_ARGUMENT: nothing is ever mounted at such a path of a container (the root, and what the kernel and the
// low-level runtime put below /proc, /sys and /dev), or it is not written plainly: absolute, without "." and "..",
// double slashes or one at the end.
absl::Status CheckMountTarget(const std::string& path);

// The mounts of a container that runs, and that may at the same time change every name on the way to them. Every step
// is made by descriptor, in the container's own mount namespace: no name of the container leads out of it. Its file
// systems may be slow, or never answer; nobody waits for them longer than is said here.
class ContainerMounts {
 public:
  // `init` is the container's first process. NOT_FOUND: it has ended.
  static absl::StatusOr<ContainerMounts> Of(pid_t init, uint64_t start_time);

  struct Target {
    std::string path;     // CheckMountTarget.
    mode_t type;          // S_IFDIR or S_IFREG, as the mount's root is.
    bool create = false;  // Makes it, and directories on the way, where it is missing, with mode 0755 and 0644:
    uid_t uid = 0;        // these ids'.
    gid_t gid = 0;
  };
  // Mounts the detached mount `mount` there. Symbolic links on the way are followed within the container, one at the
  // end is not. Gives a detached copy of it for lisafs-waker (start_waker.h), or nothing if there is none to be had.
  //
  // NOT_FOUND: the target does not exist. FAILED_PRECONDITION: it is of another type, something is mounted there, or
  // it lies on a file system that is not to be mounted on. DEADLINE_EXCEEDED: it was not done by then, and is undone
  // should it be done later.
  absl::StatusOr<Fd> Add(Fd mount, const Target& target, std::chrono::steady_clock::time_point deadline) const;

  // Unmounts the FUSE file system with that number ("MAJOR:MINOR") wherever the namespace has it; that it is nowhere is
  // no error. FAILED_PRECONDITION: it is in use, and `even_if_busy` is not set. DEADLINE_EXCEEDED: it was not done by
  // then.
  absl::Status Remove(const std::string& file_system, bool even_if_busy,
                      std::chrono::steady_clock::time_point deadline) const;

  // The container's first process.
  pid_t init() const { return init_.pid(); }

 private:
  ContainerMounts(Process init, MountNamespace where) : init_(std::move(init)), namespace_(std::move(where)) {}

  Process init_;
  MountNamespace namespace_;
};

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_CONTAINER_MOUNTS_H_
