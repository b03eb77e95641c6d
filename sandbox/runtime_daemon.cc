#include "sandbox/runtime_daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/fd.h"
#include "confine/cgroups.h"
#include "sandbox/trusted_directory.h"

namespace lisafs {
namespace {

using std::chrono::steady_clock;

// A new lisafsd answers after some 20 ms.
constexpr auto kPollInterval = std::chrono::milliseconds(5);
// How long another lisafsd may take to answer after ours has ended in its favour.
constexpr auto kRivalPatience = std::chrono::seconds(2);

std::string Directory(const std::string& path) {
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

// Makes a directory and those above it. Everybody may pass, so that a container with a user namespace of its own
// reaches the mounts below /run/lisafs; nobody else may look.
absl::Status MakeDirectories(const std::string& path) {
  for (size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    std::string parent = path.substr(0, slash);
    if (mkdir(parent.c_str(), 0711) != 0 && errno != EEXIST) return absl::ErrnoToStatus(errno, parent);
    if (slash == std::string::npos) return absl::OkStatus();
  }
}

void ResetSignals() {
  for (int signal = 1; signal < NSIG; ++signal) {
    struct sigaction action = {};
    action.sa_handler = SIG_DFL;
    sigaction(signal, &action, nullptr);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

// Becomes a lisafsd, in a process that is nobody's child. Nothing of whoever called the runtime stays with it.
[[noreturn]] void BecomeDaemon(const std::string& program, const std::string& socket,
                               const std::string& state_directory, int log) {
  // The end of an engine's cgroup is not to be its end.
  LeaveCgroups(0);
  ResetSignals();
  umask(022);
  int null = open("/dev/null", O_RDWR);
  bool ready = null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(null, STDOUT_FILENO) >= 0 &&
               dup2(log, STDERR_FILENO) >= 0 && syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 0) == 0 &&
               chdir("/") == 0;
  if (ready) {
    const char* arguments[] = {program.c_str(),         "--socket", socket.c_str(), "--state-dir",
                               state_directory.c_str(), nullptr};
    const char* environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", nullptr};
    execve(program.c_str(), const_cast<char**>(arguments), const_cast<char**>(environment));
  }
  std::string line = absl::StrCat(program, ": ", strerror(errno), "\n");
  if (write(STDERR_FILENO, line.data(), line.size()) < 0) _exit(126);
  _exit(127);
}

// Starts a lisafsd and gives a pidfd of it.
absl::StatusOr<Fd> StartDaemon(const std::string& program, const std::string& socket, int log) {
  std::string state_directory = StateDirectory(socket);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe");
  Fd read_end(ends[0]), write_end(ends[1]);
  pid_t child = fork();
  if (child < 0) return absl::ErrnoToStatus(errno, "fork");
  if (child == 0) {
    setsid();
    pid_t daemon = fork();
    if (daemon == 0) BecomeDaemon(program, socket, state_directory, log);
    _exit(daemon > 0 && write(write_end.get(), &daemon, sizeof daemon) == sizeof daemon ? 0 : 1);
  }
  write_end.reset();
  pid_t daemon;
  bool started = read(read_end.get(), &daemon, sizeof daemon) == sizeof daemon;
  waitpid(child, nullptr, 0);
  if (!started) return absl::InternalError("cannot start a process");
  // If it has ended already there is none, and nothing to watch.
  return Fd(static_cast<int>(syscall(SYS_pidfd_open, daemon, 0)));
}

bool HasEnded(const Fd& pidfd) {
  if (!pidfd) return true;
  pollfd poll_fd = {.fd = pidfd.get(), .events = POLLIN};
  return poll(&poll_fd, 1, 0) > 0;
}

std::string LastLine(const std::string& path) {
  std::ifstream file(path);
  std::string line, last;
  while (std::getline(file, line)) {
    if (!line.empty()) last = line;
  }
  return last;
}

}  // namespace

std::string StateDirectory(const std::string& socket) { return Directory(socket) + "/state"; }

absl::Status FindDaemon(const std::string& socket) {
  sockaddr_un address = {.sun_family = AF_UNIX};
  if (socket.size() >= sizeof address.sun_path) {
    return absl::InvalidArgumentError(
        absl::StrCat("socket ", socket, ": its path is longer than ", sizeof address.sun_path - 1));
  }
  memcpy(address.sun_path, socket.c_str(), socket.size() + 1);
  Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe) return absl::ErrnoToStatus(errno, "socket");
  // EAGAIN: its queue is full, so it is there.
  if (connect(probe.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 || errno == EAGAIN) {
    return absl::OkStatus();
  }
  int error = errno;
  std::string message = absl::StrCat("socket ", socket, ": ", strerror(error));
  if (error == ENOENT || error == ECONNREFUSED) return absl::UnavailableError(message);
  return absl::FailedPreconditionError(message);
}

absl::Status EnsureDaemon(const std::string& socket, const std::string& program, std::chrono::milliseconds patience) {
  // Before anybody is asked: where others can make a socket, it need not be lisafsd who listens.
  absl::Status trusted = CheckTrustedDirectory(Directory(socket));
  if (!trusted.ok() && !absl::IsNotFound(trusted)) return trusted;
  absl::Status found = FindDaemon(socket);
  if (!absl::IsUnavailable(found)) return found;
  if (absl::Status made = MakeDirectories(Directory(socket)); !made.ok()) return made;
  if (trusted = CheckTrustedDirectory(Directory(socket)); !trusted.ok()) return trusted;
  std::string log_path = Directory(socket) + "/lisafsd.log";
  Fd log(open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!log) return absl::ErrnoToStatus(errno, log_path);
  absl::StatusOr<Fd> daemon = StartDaemon(program, socket, log.get());
  if (!daemon.ok()) return daemon.status();

  auto deadline = steady_clock::now() + patience;
  for (bool ended = false; !(found = FindDaemon(socket)).ok(); std::this_thread::sleep_for(kPollInterval)) {
    if (!absl::IsUnavailable(found)) return found;
    if (!ended && HasEnded(*daemon)) {
      ended = true;
      deadline = std::min<steady_clock::time_point>(deadline, steady_clock::now() + kRivalPatience);
    }
    if (steady_clock::now() >= deadline) {
      return absl::UnavailableError(absl::StrCat(program, (ended ? " ended without answering" : " does not answer"),
                                                 " on ", socket, " (", log_path, " ends in: ", LastLine(log_path),
                                                 ")"));
    }
  }
  return absl::OkStatus();
}

}  // namespace lisafs
