#include "control/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>

#include "base/status.h"
#include "sandbox/trusted_directory.h"

namespace lisafs {
namespace {

constexpr int kBacklog = 64;

absl::StatusOr<sockaddr_un> Address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": longer than a socket's path can be"));
  }
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

Fd NewSocket() { return Fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)); }

// Makes way at `path`, where only a socket without a listener may be.
absl::Status RemoveStale(const std::string& path, const sockaddr_un& address) {
  struct stat stat;
  if (lstat(path.c_str(), &stat) != 0) return errno == ENOENT ? absl::OkStatus() : ErrnoStatus(errno, path);
  if (!S_ISSOCK(stat.st_mode)) return absl::FailedPreconditionError(path + ": exists and is no socket");
  Fd probe = NewSocket();
  if (!probe) return ErrnoStatus(errno, "socket");
  if (connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 || errno == EAGAIN) {
    return absl::FailedPreconditionError(path + ": somebody listens there");
  }
  if (errno != ECONNREFUSED) return ErrnoStatus(errno, path);
  if (unlink(path.c_str()) != 0) return ErrnoStatus(errno, path);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Listener>> Listener::Open(const std::string& path, const AccessRules& rules,
                                                         std::function<void(Fd)> accepted) {
  auto address = Address(path);
  if (!address.ok()) return address.status();
  std::error_code error;
  if (std::filesystem::path parent = std::filesystem::path(path).parent_path(); !parent.empty()) {
    std::filesystem::create_directories(parent, error);
    if (error) return ErrnoStatus(error.value(), parent);
    // Whoever could put another socket there would be taken for lisafsd.
    LISAFS_RETURN_IF_NOT_OK(CheckTrustedDirectory(parent));
  }
  LISAFS_RETURN_IF_NOT_OK(RemoveStale(path, *address));

  Fd socket = NewSocket();
  Fd stop(eventfd(0, EFD_CLOEXEC));
  if (!socket || !stop) return ErrnoStatus(errno, "socket");
  // The mode is right from the first moment on. The process's other threads make no files meanwhile.
  mode_t mask = umask(0177);
  int bound = bind(socket.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address);
  int bind_error = errno;
  umask(mask);
  if (bound != 0) return ErrnoStatus(bind_error, path);
  if (rules.reader_group) {
    if (chown(path.c_str(), -1, *rules.reader_group) != 0 || chmod(path.c_str(), 0660) != 0) {
      return ErrnoStatus(errno, path);
    }
  }
  if (listen(socket.get(), kBacklog) != 0) return ErrnoStatus(errno, path);
  std::unique_ptr<Listener> listener(
      new Listener(path, rules, std::move(socket), std::move(stop), std::move(accepted)));
  if (lstat(path.c_str(), &listener->identity_) != 0) return ErrnoStatus(errno, path);
  listener->Start();
  return listener;
}

absl::StatusOr<std::unique_ptr<Listener>> Listener::Adopt(Fd socket, const AccessRules& rules,
                                                          std::function<void(Fd)> accepted) {
  sockaddr_un address{};
  socklen_t size = sizeof address;
  Fd stop(eventfd(0, EFD_CLOEXEC));
  if (!stop || getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
      fcntl(socket.get(), F_SETFD, FD_CLOEXEC) != 0 || fcntl(socket.get(), F_SETFL, O_NONBLOCK) != 0) {
    return ErrnoStatus(errno, "socket");
  }
  const std::string path(address.sun_path, strnlen(address.sun_path, sizeof address.sun_path));
  std::unique_ptr<Listener> listener(
      new Listener(path, rules, std::move(socket), std::move(stop), std::move(accepted)));
  listener->Start();
  return listener;
}

void Listener::Start() {
  thread_ = std::thread([this] { Run(); });
}

Listener::Listener(std::string path, AccessRules rules, Fd socket, Fd stop, std::function<void(Fd)> accepted)
    : path_(std::move(path)),
      rules_(std::move(rules)),
      socket_(std::move(socket)),
      stop_(std::move(stop)),
      accepted_(std::move(accepted)) {}

Listener::~Listener() {
  if (!thread_.joinable()) return;
  eventfd_write(stop_.get(), 1);
  thread_.join();
  struct stat now;
  if (identity_.st_ino != 0 && lstat(path_.c_str(), &now) == 0 && now.st_dev == identity_.st_dev &&
      now.st_ino == identity_.st_ino) {
    unlink(path_.c_str());
  }
}

bool Listener::IsWelcome(const Fd& connection) const {
  auto caller = CallerOfSocket(connection.get(), rules_);
  if (caller.ok() && caller->role != Role::kNone) return true;
  spdlog::warn("connection refused: {}", caller.ok() ? "of " + caller->name : std::string(caller.status().message()));
  return false;
}

void Listener::Run() {
  while (true) {
    pollfd waiting[] = {{.fd = socket_.get(), .events = POLLIN, .revents = 0},
                        {.fd = stop_.get(), .events = POLLIN, .revents = 0}};
    if (poll(waiting, 2, -1) < 0) continue;
    if (waiting[1].revents != 0) return;
    Fd connection(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!connection) {
      if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) continue;
      // Most likely out of descriptors: the connection waits, and this thread must not spin meanwhile.
      spdlog::error("connection cannot be accepted: {}", strerror(errno));
      usleep(100'000);
      continue;
    }
    if (IsWelcome(connection)) accepted_(std::move(connection));
  }
}

}  // namespace lisafs
