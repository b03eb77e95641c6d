#ifndef LISAFS_CONTROL_PREPARED_SANDBOX_H_
#define LISAFS_CONTROL_PREPARED_SANDBOX_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/fd.h"
#include "control/state_directory.h"
#include "proto/lisafs/control/v1/control.pb.h"
#include "sandbox/limited_cgroup.h"
#include "sandbox/mount_namespace.h"
#include "sandbox/process.h"

namespace lisafs {

// The programs that a sandbox is made of, as paths, and what they are told whatever its mounts are.
struct SandboxPrograms {
  std::string gofer;
  std::string plugin;
  std::string broker;
  std::string waker = {};      // Of mounts that are added; none if it is empty.
  bool fuse_io_uring = false;  // The plugin is to use FUSE over io_uring, as far as the kernel offers it.
  CgroupLimits cgroup;         // Of each sandbox's processes.
};

// What a sandbox's processes are.
struct SandboxProcesses {
  Process gofer;
  std::optional<Process> plugin;  // None if the client was there already.
  std::optional<Process> broker;  // None if no mount wants it or it did not start: it can be done without.
};

// The number under which the plugin has the /dev/fuse of its mount `index`.
int PluginDevice(int index);

// A sandbox whose processes are ready and whose file systems, if it has any, are mounted nowhere yet. If it goes before
// it is let go, the processes end and nothing is left.
class PreparedSandbox {
 public:
  // Opens the sources, makes the file systems and starts the processes, of which the gofer alone serves a client that
  // is there already. `request` is valid; `directory` is new. `cancelled` is asked again and again. `started` is told
  // the number of the gofer's first process, which is not the one that lasts, once it is there.
  //
  // Errors are those of CreateSandbox in control.proto, and CANCELLED.
  static absl::StatusOr<PreparedSandbox> Prepare(const control::v1::CreateSandboxRequest& request,
                                                 const SandboxPrograms& programs, const SandboxDirectory& directory,
                                                 absl::FunctionRef<bool()> cancelled,
                                                 absl::FunctionRef<void(pid_t)> started);

  PreparedSandbox(PreparedSandbox&& other) noexcept;
  PreparedSandbox& operator=(PreparedSandbox&&) = delete;
  ~PreparedSandbox();

  const SandboxProcesses& processes() const { return *processes_; }

  // The number of each mount's FUSE file system, as in Mount.file_system; none for a client that is there already.
  const std::vector<std::string>& file_systems() const { return file_systems_; }

  // Puts the file systems on their mount points: all, or none.
  absl::Status Mount();
  // Hands over the file system of a single mount without a mount point. From then on the caller alone keeps it.
  Fd TakeMount();

  // Hands the processes over.
  SandboxProcesses Release();

 private:
  // A file system with the place it goes to.
  struct Placed {
    std::string target;
    std::string path;
    Fd mount_point;
    Fd mount;
  };

  PreparedSandbox(MountNamespace where, std::vector<Placed> mounts, std::vector<std::string> file_systems,
                  SandboxProcesses processes);

  MountNamespace namespace_;
  std::vector<Placed> mounts_;
  std::vector<std::string> file_systems_;
  std::optional<SandboxProcesses> processes_;
};

}  // namespace lisafs

#endif  // LISAFS_CONTROL_PREPARED_SANDBOX_H_
