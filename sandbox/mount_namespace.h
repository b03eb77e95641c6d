#ifndef LISAFS_SANDBOX_MOUNT_NAMESPACE_H_
#define LISAFS_SANDBOX_MOUNT_NAMESPACE_H_

#include <sys/types.h>

#include <chrono>
#include <functional>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/fd.h"

namespace lisafs {

// Another process's mount namespace and root directory, as a place to work in. Keeps both alive while it exists.
class MountNamespace {
 public:
  // NOT_FOUND: no such process.
  static absl::StatusOr<MountNamespace> OfProcess(pid_t pid);
  // The same with the namespace's own root, wherever the process, which is not trusted, has gone.
  static absl::StatusOr<MountNamespace> OfUntrusted(pid_t pid);

  // Runs `work` on a thread of its own in that namespace, where an absolute path means what it means to the process,
  // and gives its result. The calling thread waits; it stays where it is. A program started by `work` would start
  // there: don't.
  absl::Status Run(absl::FunctionRef<absl::Status()> work) const;

  // The same where a file system may make the work wait for ever. DEADLINE_EXCEEDED: it was not done by then. The
  // thread is left to it; should it succeed one day, `undo` is run there. Neither may refer to what the caller owns.
  absl::Status RunUntil(std::chrono::steady_clock::time_point deadline, std::function<absl::Status()> work,
                        std::function<void()> undo) const;

 private:
  MountNamespace(Fd mount_namespace, Fd root) : namespace_(std::move(mount_namespace)), root_(std::move(root)) {}

  Fd namespace_;
  Fd root_;
};

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_MOUNT_NAMESPACE_H_
