#include "sandbox/mount_namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace lisafs {
namespace {

absl::Status Enter(int mount_namespace, int root) {
  // Threads of a process share root and working directory, and then may not change namespace.
  if (unshare(CLONE_FS) != 0) return ErrnoStatus(errno, "unshare");
  if (setns(mount_namespace, CLONE_NEWNS) != 0) return ErrnoStatus(errno, "setns");
  // setns leads to the namespace's own root, the process may have another.
  if (root < 0) return absl::OkStatus();
  if (fchdir(root) != 0 || chroot(".") != 0 || chdir("/") != 0) return ErrnoStatus(errno, "chroot");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<MountNamespace> MountNamespace::OfUntrusted(pid_t pid) {
  auto process = OfProcess(pid);
  if (process.ok()) process->root_.reset();
  return process;
}

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

absl::Status MountNamespace::RunUntil(std::chrono::steady_clock::time_point deadline,
                                      std::function<absl::Status()> work, std::function<void()> undo) const {
  // Outlives the caller if the work does.
  struct Shared {
    Fd mount_namespace, root;
    std::function<absl::Status()> work;
    std::function<void()> undo;
    std::mutex mutex;
    std::condition_variable done;
    std::optional<absl::Status> status;  // Guarded by mutex,
    bool abandoned = false;              // and so is this.
  };
  auto shared = std::make_shared<Shared>();
  shared->mount_namespace.reset(fcntl(namespace_.get(), F_DUPFD_CLOEXEC, 0));
  if (root_) shared->root.reset(fcntl(root_.get(), F_DUPFD_CLOEXEC, 0));
  if (!shared->mount_namespace || root_.valid() != shared->root.valid()) return ErrnoStatus(errno, "dup");
  shared->work = std::move(work);
  shared->undo = std::move(undo);
  std::thread([shared] {
    absl::Status status = Enter(shared->mount_namespace.get(), shared->root.get());
    if (status.ok()) status = shared->work();
    std::lock_guard lock(shared->mutex);
    if (shared->abandoned && status.ok()) shared->undo();
    // What they hold is let go before anybody learns of the end.
    shared->work = nullptr;
    shared->undo = nullptr;
    shared->status = status;
    shared->done.notify_all();
  }).detach();
  std::unique_lock lock(shared->mutex);
  if (shared->done.wait_until(lock, deadline, [&] { return shared->status.has_value(); })) return *shared->status;
  shared->abandoned = true;
  return absl::DeadlineExceededError("a file system there does not answer");
}

}  // namespace lisafs
