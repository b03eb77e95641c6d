#include "sandbox/process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <fstream>
#include <sstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/status.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

namespace lisafs {
namespace {

using std::chrono::milliseconds;

// linux/pidfd.h of 6.15, which is newer than Debian's headers.
struct PidfdInfo {
  uint64_t mask;
  uint64_t cgroup_id;
  uint32_t ids[11];
  int32_t exit_code;
};
static_assert(sizeof(PidfdInfo) == 64);
constexpr unsigned long kPidfdGetInfo = _IOWR(0xFF, 11, PidfdInfo);
constexpr uint64_t kPidfdInfoExit = 1 << 3;

Fd OpenPidfd(pid_t pid) { return Fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))); }

bool HasEnded(int pidfd, milliseconds timeout) {
  auto deadline = std::chrono::steady_clock::now() + timeout;
  while (true) {
    auto left = std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd ended{.fd = pidfd, .events = POLLIN};
    int result = poll(&ended, 1, static_cast<int>(std::max<int64_t>(left.count(), 0)));
    if (result >= 0 || errno != EINTR) return result > 0;
  }
}

// Field 22 of /proc/PID/stat; nothing if there is no such process. The second field is the program's name in
// parentheses, and may contain anything.
std::optional<uint64_t> ReadStartTime(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/stat"));
  std::string text{std::istreambuf_iterator<char>(file), {}};
  size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(name_end + 1));
  std::string skipped;
  for (int field = 3; field < 22; ++field) fields >> skipped;
  uint64_t start_time;
  if (!(fields >> start_time)) return std::nullopt;
  return start_time;
}

// The status of a process that somebody else reaps. It can be had from just after that.
std::optional<int> StatusOfReaped(int pidfd) {
  constexpr auto kPatience = milliseconds(100);
  constexpr auto kStep = milliseconds(5);
  for (auto waited = milliseconds(0); waited < kPatience; waited += kStep) {
    PidfdInfo info{};
    info.mask = kPidfdInfoExit;
    if (ioctl(pidfd, kPidfdGetInfo, &info) == 0) {
      if (info.mask & kPidfdInfoExit) return info.exit_code;
    } else if (errno != ESRCH) {
      return std::nullopt;
    }
    std::this_thread::sleep_for(kStep);
  }
  return std::nullopt;
}

}  // namespace

std::string ProcessEnd::ToString() const {
  if (!wait_status_) return "ended";
  if (WIFSIGNALED(*wait_status_)) return absl::StrCat("killed by signal ", WTERMSIG(*wait_status_));
  return absl::StrCat("exited with status ", WEXITSTATUS(*wait_status_));
}

absl::StatusOr<Process> Process::OfChild(pid_t pid) {
  Fd pidfd = OpenPidfd(pid);
  if (!pidfd) return ErrnoStatus(errno, absl::StrCat("process ", pid));
  siginfo_t info;
  if (waitid(static_cast<idtype_t>(P_PIDFD), pidfd.get(), &info, WEXITED | WNOHANG | WNOWAIT) != 0) {
    return absl::FailedPreconditionError(absl::StrCat("process ", pid, " is not a child"));
  }
  // A child's number is its own until it is reaped.
  return Process(pid, ReadStartTime(pid).value_or(0), std::move(pidfd), /*child=*/true);
}

absl::StatusOr<Process> Process::Adopt(pid_t pid, uint64_t start_time) {
  Fd pidfd = OpenPidfd(pid);
  // The start time is read while the pidfd holds the process, and the process had not ended after that.
  if (!pidfd || ReadStartTime(pid) != start_time || HasEnded(pidfd.get(), milliseconds(0))) {
    return absl::NotFoundError(absl::StrCat("process ", pid, " has ended"));
  }
  return Process(pid, start_time, std::move(pidfd), /*child=*/false);
}

void Process::Kill() const { syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0); }

std::optional<ProcessEnd> Process::Wait(milliseconds timeout) {
  if (!HasEnded(pidfd_.get(), timeout)) return std::nullopt;
  if (!child_) return ProcessEnd(StatusOfReaped(pidfd_.get()));
  siginfo_t info{};
  if (waitid(static_cast<idtype_t>(P_PIDFD), pidfd_.get(), &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0) {
    return ProcessEnd(std::nullopt);
  }
  // siginfo has the parts of a wait status.
  if (info.si_code == CLD_EXITED) return ProcessEnd(W_EXITCODE(info.si_status, 0));
  return ProcessEnd(W_EXITCODE(0, info.si_status));
}

}  // namespace lisafs
