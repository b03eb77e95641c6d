#include "seccomp/waker_policy.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/fd.h"
#include "seccomp/policy_testing.h"

namespace lisafs {
namespace {

// Where the cases find it.
constexpr int kProcSelfFd = 77;

// `file` is no directory: what gets through fails.
const PolicyCase kCases[] = {
    {"what the commands ask for", true,
     [](int file, int) {
       const timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT}, {.tv_sec = 0, .tv_nsec = UTIME_NOW}};
       if (mknodat(file, "x", S_IFREG, 0) == 0 || errno != ENOTDIR || mkdirat(file, "x", 0) == 0) _exit(1);
       if (renameat(file, "x", file, "y") == 0 || errno != ENOTDIR) _exit(1);
       if (unlinkat(file, "x", 0) == 0 || unlinkat(file, "x", AT_REMOVEDIR) == 0 || errno != ENOTDIR) _exit(1);
       if (utimensat(file, "x", times, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOTDIR) _exit(1);
       if (utimensat(file, "", times, AT_EMPTY_PATH) != 0 || fgetxattr(file, "user.none", nullptr, 0) >= 0) _exit(1);
     }},
    {"serve", true,
     [](int file, int socket) {
       pollfd wait = {socket, POLLIN, 0};
       char byte = 'x';
       if (poll(&wait, 1, 0) != 0 || send(socket, &byte, 1, MSG_NOSIGNAL) != 1) _exit(1);
       if (recv(socket, &byte, 1, MSG_DONTWAIT) >= 0 || errno != EAGAIN) _exit(1);
       if (close(file) != 0) _exit(1);
     }},
    {"open for a moment", true,
     [](int file, int) {
       if (openat(file, "x", kOpenForWriting) >= 0 || errno != ENOTDIR) _exit(1);
       if (openat(kProcSelfFd, "none", kReopenForWriting) >= 0 || errno != ENOENT) _exit(1);
     }},
    {"open to read", false, [](int file, int) { openat(file, "x", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC); }},
    {"open to read and write", false, [](int file, int) { openat(file, "x", kOpenForWriting | O_RDWR); }},
    {"make a file by opening it", false, [](int file, int) { openat(file, "x", kOpenForWriting | O_CREAT, 0); }},
    {"cut a file short by opening it", false, [](int file, int) { openat(file, "x", kOpenForWriting | O_TRUNC); }},
    {"follow a link", false, [](int file, int) { openat(file, "x", kReopenForWriting); }},
    {"open a path of the process's own", false, [](int, int) { openat(AT_FDCWD, "x", kOpenForWriting); }},
    {"write", false,
     [](int file, int) {
       if (write(file, "x", 1) < 0) return;
     }},
    {"make a device", false, [](int file, int) { mknodat(file, "x", S_IFCHR, 0); }},
    {"make a link", false,
     [](int file, int) {
       if (linkat(file, "x", file, "y", 0) != 0) return;
     }},
    {"by a path of the process's own", false, [](int, int) { mkdirat(AT_FDCWD, "x", 0); }},
    {"to a path of the process's own", false, [](int file, int) { renameat(file, "x", AT_FDCWD, "y"); }},
    {"change a mode", false, [](int file, int) { fchmod(file, 0600); }},
    {"change an owner", false,
     [](int file, int) {
       if (fchown(file, 1, 1) != 0) return;
     }},
    {"change a size", false,
     [](int file, int) {
       if (ftruncate(file, 1) != 0) return;
     }},
    {"take descriptors", false,
     [](int, int socket) {
       msghdr message = {};
       recvmsg(socket, &message, MSG_DONTWAIT);
     }},
    {"read", false,
     [](int file, int) {
       char byte;
       if (read(file, &byte, 1) < 0) return;
     }},
    {"open by handle", false, [](int file, int) { syscall(SYS_open_by_handle_at, file, nullptr, 0); }},
    {"mount", false, [](int, int) { syscall(SYS_mount, "", "/", "", 0, nullptr); }},
    {"ioctl", false, [](int file, int) { syscall(SYS_ioctl, file, 0, nullptr); }},
    {"execve", false, [](int, int) { syscall(SYS_execve, "/none", nullptr, nullptr); }},
    {"fork", false, [](int, int) { syscall(SYS_clone, 0, nullptr, nullptr, nullptr, 0); }},
    {"map memory", false, [](int, int) { mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }},
};

TEST(WakerPolicy, AdmitsWhatItShould) {
  const Fd proc_self_fd(open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC));
  ASSERT_EQ(dup2(proc_self_fd.get(), kProcSelfFd), kProcSelfFd);
  ExpectOutcomes(WakerPolicy({.proc_self_fd = kProcSelfFd, .ready_fd = 78}), kCases);
}

}  // namespace
}  // namespace lisafs
