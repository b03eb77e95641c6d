#include "waker/waker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/waking.h"
#include "seccomp/waker_policy.h"

namespace lisafs {
namespace {

// Has the plugin know this process from now on. False: it does not, and would take what is done here for the
// container's.
bool Introduce(WokenMount& mount) {
  unsigned char secret[kWakerSecretSize];
  if (recv(mount.socket.get(), secret, sizeof secret, MSG_DONTWAIT) != sizeof secret) return false;
  std::string name = kWakerAttribute;
  for (unsigned char byte : secret) {
    constexpr char kDigits[] = "0123456789abcdef";
    name += kDigits[byte >> 4];
    name += kDigits[byte & 15];
  }
  const bool known = fgetxattr(mount.root.get(), name.c_str(), nullptr, 0) == 0;
  mount.root.reset();
  return known;
}

// How the kernel comes to tell watchers of what the command says. The owner, the mode and the times do not matter: the
// plugin answers with what the file really has.
bool Show(int own_fds, int tree, const WakeCommand& command, const char* old_path, const char* path) {
  switch (command.action) {
    case WakeAction::kCreate:
      return (command.is_directory ? mkdirat(tree, path, 0) : mknodat(tree, path, S_IFREG, 0)) == 0;
    case WakeAction::kDelete:
      return unlinkat(tree, path, command.is_directory ? AT_REMOVEDIR : 0) == 0;
    case WakeAction::kMove:
      return renameat(tree, old_path, tree, path) == 0;
    case WakeAction::kModify:
    case WakeAction::kAttributes: {
      // The kernel takes a change of the time of modification alone for a change of content, and of both times for one
      // of attributes.
      timespec times[2] = {};
      times[0].tv_nsec = command.action == WakeAction::kModify ? UTIME_OMIT : UTIME_NOW;
      times[1].tv_nsec = UTIME_NOW;
      return utimensat(tree, path, times, *path == '\0' ? AT_EMPTY_PATH : AT_SYMLINK_NOFOLLOW) == 0;
    }
    case WakeAction::kCloseWrite:
      // Closed at once: that is all.
      return static_cast<bool>(*path == '\0' ? Fd(openat(own_fds, std::to_string(tree).c_str(), kReopenForWriting))
                                             : Fd(openat(tree, path, kOpenForWriting)));
  }
  errno = EINVAL;
  return false;
}

// Does one command. False when there will be no more, or none that makes sense.
bool ServeOne(const Fd& own_fds, const WokenMount& mount) {
  char message[kMaxWakeCommand];
  const ssize_t received = recv(mount.socket.get(), message, sizeof message, MSG_DONTWAIT);
  if (received < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  WakeCommand command;
  if (received < static_cast<ssize_t>(sizeof command)) return false;
  memcpy(&command, message, sizeof command);
  std::string_view paths(message + sizeof command, static_cast<size_t>(received) - sizeof command);
  if (paths.size() != size_t{command.old_size} + command.size || paths.find('\0') != paths.npos) return false;
  const std::string old_path(paths.substr(0, command.old_size));
  const std::string path(paths.substr(command.old_size));
  const bool shown = Show(own_fds.get(), mount.tree.get(), command, old_path.c_str(), path.c_str());
  const int32_t error = shown ? 0 : errno;
  return send(mount.socket.get(), &error, sizeof error, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof error;
}

void SayEnd(const WokenMount& mount) {
  send(mount.socket.get(), &kWakerEnds, sizeof kWakerEnds, MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace

void ServeWaker(const Fd& container, const Fd& own_fds, std::vector<WokenMount> mounts) {
  std::erase_if(mounts, [](WokenMount& mount) { return !Introduce(mount); });
  while (!mounts.empty()) {
    std::vector<pollfd> waiting = {{.fd = container.get(), .events = POLLIN, .revents = 0}};
    for (const WokenMount& mount : mounts)
      waiting.push_back({.fd = mount.socket.get(), .events = POLLIN, .revents = 0});
    if (poll(waiting.data(), waiting.size(), -1) < 0) continue;
    if (waiting[0].revents != 0) break;
    size_t next = 1;
    std::erase_if(mounts, [&](const WokenMount& mount) {
      const bool ends = waiting[next++].revents != 0 && !ServeOne(own_fds, mount);
      if (ends) SayEnd(mount);
      return ends;
    });
  }
  for (const WokenMount& mount : mounts) SayEnd(mount);
}

}  // namespace lisafs
