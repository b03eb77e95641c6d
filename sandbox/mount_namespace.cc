#include "sandbox/mount_namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace lisafs {
namespace {

absl::Status Enter(int mount_namespace, int root) {
  // Threads of a process share root and working directory, and then may not change namespace.
  if (unshare(CLONE_FS) != 0) return ErrnoStatus(errno, "unshare");
  if (setns(mount_namespace, CLONE_NEWNS) != 0) return ErrnoStatus(errno, "setns");
  // setns leads to the namespace's own root, the process may have another.
  if (fchdir(root) != 0 || chroot(".") != 0 || chdir("/") != 0) return ErrnoStatus(errno, "chroot");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<MountNamespace> MountNamespace::OfProcess(pid_t pid) {
  std::string process = absl::StrCat("process ", pid);
  Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd) {
    if (errno == ESRCH) return absl::NotFoundError(absl::StrCat(process, ": no such process"));
    return ErrnoStatus(errno, process);
  }
  std::string proc = absl::StrCat("/proc/", pid, "/");
  Fd mount_namespace(open((proc + "ns/mnt").c_str(), O_RDONLY | O_CLOEXEC));
  Fd root(open((proc + "root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  int error = errno;
  // Alive now, so the number meant this process all the while.
  pollfd ended{.fd = pidfd.get(), .events = POLLIN};
  if (poll(&ended, 1, 0) != 0) return absl::NotFoundError(absl::StrCat(process, ": no such process"));
  if (!mount_namespace || !root) return ErrnoStatus(error, absl::StrCat(process, ": mount namespace"));
  return MountNamespace(std::move(mount_namespace), std::move(root));
}

absl::Status MountNamespace::Run(absl::FunctionRef<absl::Status()> work) const {
  absl::Status status;
  std::thread thread([&] {
    status = Enter(namespace_.get(), root_.get());
    if (status.ok()) status = work();
  });
  thread.join();
  return status;
}

}  // namespace lisafs
