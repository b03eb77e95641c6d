#ifndef LISAFS_BASE_WAKING_H_
#define LISAFS_BASE_WAKING_H_

#include <stddef.h>
#include <stdint.h>

// What lisafs-plugin, lisafs-waker and whoever starts the latter agree on (docs/architecture.md, "Waking watchers").

namespace lisafs {

// The plugin has a SOCK_SEQPACKET socket for its mount number N under the descriptor number kFirstWakerFd + N, if
// others change the files of one of its mounts: the waker's end. Who starts the waker takes it from there
// (pidfd_getfd).
inline constexpr int kFirstWakerFd = 200;
// And this for its own end. Who shuts that down for writing has the waker let go of the mount.
inline constexpr int kFirstOwnWakerFd = 300;

// First comes one message of this many bytes, a secret. The waker then asks for this extended attribute of the mount's
// root, with the secret behind it in hexadecimal digits: the plugin learns which number the kernel knows it by.
inline constexpr size_t kWakerSecretSize = 16;
inline constexpr char kWakerAttribute[] = "user.lisafs.waker.";

// After that, each message is a WakeCommand with its paths. The waker answers with an errno or 0, four bytes, when it
// is done; there is one command at a time. kWakerEnds: it has nothing more to do, since the container has ended.
inline constexpr int32_t kWakerEnds = -1;

enum class WakeAction : uint8_t {
  kCreate = 1,
  kDelete = 2,
  kMove = 3,
  kModify = 4,
  kAttributes = 5,
  kCloseWrite = 6,  // A regular file that was open for writing was closed.
};

// Followed by `old_size` bytes of the path that a move is from, and `size` of the path: each relative to the mount's
// root and without a NUL.
struct WakeCommand {
  WakeAction action;
  uint8_t is_directory;
  uint16_t old_size;
  uint16_t size;
};
inline constexpr size_t kMaxWakePath = 4095;
inline constexpr size_t kMaxWakeCommand = sizeof(WakeCommand) + 2 * kMaxWakePath;

}  // namespace lisafs

#endif  // LISAFS_BASE_WAKING_H_
