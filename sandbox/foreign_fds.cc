#include "sandbox/foreign_fds.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace lisafs {

absl::StatusOr<std::vector<Fd>> DuplicateForeignFds(pid_t pid, std::span<const int> numbers) {
  Fd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!process) {
    if (errno == ESRCH) return absl::NotFoundError(absl::StrCat("process ", pid, ": no such process"));
    return ErrnoStatus(errno, absl::StrCat("process ", pid));
  }
  std::vector<Fd> duplicates;
  for (int number : numbers) {
    Fd duplicate(static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), number, 0)));
    std::string what = absl::StrCat("descriptor ", number, " of process ", pid);
    if (!duplicate && errno == EBADF) return absl::NotFoundError(what + ": is not open");
    if (!duplicate) return ErrnoStatus(errno, what);
    duplicates.push_back(std::move(duplicate));
  }
  return duplicates;
}

}  // namespace lisafs
