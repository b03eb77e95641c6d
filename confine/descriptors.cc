#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

#include "confine/confine.h"

namespace lisafs {
namespace {

bool IsOpen(int fd) { return fcntl(fd, F_GETFD) >= 0; }

StepResult<void> SecureStandardDescriptors(std::span<const int> keep) {
  const bool keep_input = std::ranges::find(keep, STDIN_FILENO) != keep.end();
  for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (IsOpen(fd) && (fd != STDIN_FILENO || keep_input)) continue;
    Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
    if (!null) return FailStepWithErrno("open /dev/null");
    if (null.get() == fd) {
      null.release();
    } else if (dup2(null.get(), fd) < 0) {
      return FailStepWithErrno("dup2 /dev/null");
    }
  }
  return {};
}

}  // namespace

StepResult<void> CloseOtherDescriptors(std::span<const int> keep) {
  if (auto secured = SecureStandardDescriptors(keep); !secured) return secured;
  std::vector<int> kept(keep.begin(), keep.end());
  std::ranges::sort(kept);
  unsigned first = STDERR_FILENO + 1;
  for (int fd : kept) {
    const unsigned number = static_cast<unsigned>(fd);
    if (fd < 0 || number < first) continue;
    if (number > first && close_range(first, number - 1, 0) < 0) return FailStepWithErrno("close_range");
    first = number + 1;
  }
  if (close_range(first, UINT_MAX, 0) < 0) return FailStepWithErrno("close_range");
  return {};
}

StepResult<void> MakeRoomForDescriptors(int count) {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return FailStepWithErrno("the limit of open files");
  const int last = static_cast<int>(std::min<rlim_t>(limit.rlim_cur, static_cast<rlim_t>(count))) - 1;
  Fd highest(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, last));
  // Somebody has the last one already: then there is room.
  if (!highest && errno != EMFILE) return FailStepWithErrno("room for descriptors");
  return {};
}

}  // namespace lisafs
