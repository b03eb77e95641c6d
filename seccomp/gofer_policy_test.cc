#include "seccomp/gofer_policy.h"

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <sys/xattr.h>

#include "base/fd.h"
#include "seccomp/policy_testing.h"

namespace lisafs {
namespace {

// What a gofer would hold.
struct Held {
  Fd directory{open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  Fd file{memfd_create("file", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
  Fd proc_self_fd{open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};

  Fd group{eventfd(1, EFD_CLOEXEC)};  // Making a fanotify group needs root.

  int events() const { return group.get(); }
  int dir() const { return directory.get(); }
  int fd() const { return file.get(); }
  int proc() const { return proc_self_fd.get(); }
  std::string name() const { return std::to_string(file.get()); }
};

enum class Admitted {
  kAlways,
  kReadWrite,      // Not by a read-only gofer.
  kOpenSockets,    // By one with such a mount;
  kCreateSockets,  // likewise;
  kSockets,        // by either.
  kWatch,          // By one with a fanotify group.
  kNever,
};
using enum Admitted;

struct Case {
  const char* name;
  Admitted admitted;
  void (*call)(const Held& held);
};

// Calls are made on names and descriptors on which they do no harm: that they come back is what counts.
constexpr char kNone[] = "seccomp_gofer_policy_test/none";

const Case kCases[] = {
    {"walk", kAlways, [](const Held& h) { openat(h.dir(), kNone, O_PATH | O_NOFOLLOW | O_CLOEXEC); }},
    {"open", kAlways, [](const Held& h) { openat(h.dir(), kNone, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC); }},
    {"open to write", kReadWrite, [](const Held& h) { openat(h.dir(), kNone, O_RDWR | O_NOFOLLOW | O_CLOEXEC); }},
    {"create", kReadWrite,
     [](const Held& h) { openat(h.dir(), kNone, O_CREAT | O_EXCL | O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0600); }},
    {"open through a link", kNever, [](const Held& h) { openat(h.dir(), kNone, O_RDONLY | O_CLOEXEC); }},
    {"reopen", kAlways, [](const Held& h) { openat(h.proc(), h.name().c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC); }},
    {"reopen to write", kReadWrite, [](const Held& h) { openat(h.proc(), h.name().c_str(), O_WRONLY | O_CLOEXEC); }},
    {"reopen to truncate", kReadWrite,
     [](const Held& h) { openat(h.proc(), h.name().c_str(), O_RDONLY | O_TRUNC | O_CLOEXEC); }},
    {"create when reopening", kNever, [](const Held& h) { openat(h.proc(), kNone, O_CREAT | O_RDWR, 0600); }},
    {"openat2", kNever, [](const Held& h) { syscall(SYS_openat2, h.dir(), kNone, nullptr, 0); }},
#ifdef __x86_64__
    {"open without a directory", kNever, [](const Held&) { syscall(SYS_open, "/none", O_RDONLY); }},
    {"stat by path", kNever, [](const Held&) { syscall(SYS_stat, "/none", nullptr); }},
#endif
    {"statx", kAlways,
     [](const Held& h) {
       struct statx out;
       statx(h.fd(), "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_ALL, &out);
     }},
    {"statx of a name", kAlways,
     [](const Held& h) {
       struct statx out;
       statx(h.dir(), kNone, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_ALL, &out);
       statx(h.dir(), kNone, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_ALL, &out);
     }},
    {"statx through a link", kNever,
     [](const Held& h) {
       struct statx out;
       statx(h.dir(), kNone, AT_NO_AUTOMOUNT, STATX_ALL, &out);
     }},
    {"statx by path", kNever,
     [](const Held&) {
       struct statx out;
       statx(AT_FDCWD, "/none", 0, STATX_ALL, &out);
     }},
    {"fstatfs", kAlways,
     [](const Held& h) {
       struct statfs out;
       fstatfs(h.fd(), &out);
     }},
    {"readlinkat", kAlways,
     [](const Held& h) {
       char target[16];
       if (readlinkat(h.fd(), "", target, sizeof target) > 0) return;
     }},
    {"getdents64", kAlways,
     [](const Held& h) {
       char entries[1024];
       syscall(SYS_getdents64, h.dir(), entries, sizeof entries);
       lseek(h.dir(), 0, SEEK_SET);
     }},
    {"pread", kAlways,
     [](const Held& h) {
       char byte;
       if (pread(h.fd(), &byte, 1, 0) > 0) return;
     }},
    {"pwrite", kAlways,
     [](const Held& h) {
       if (pwrite(h.fd(), "x", 1, 0) > 0) return;
     }},
    {"write", kNever,
     [](const Held& h) {
       if (write(h.fd(), "x", 1) > 0) return;
     }},
    {"last words", kAlways,
     [](const Held&) {
       if (write(STDERR_FILENO, "", 0) > 0) return;
     }},
    {"ftruncate", kReadWrite,
     [](const Held& h) {
       if (ftruncate(h.fd(), 1) < 0) return;
     }},
    {"fdatasync", kAlways, [](const Held& h) { fdatasync(h.fd()); }},
    {"copy_file_range", kReadWrite,
     [](const Held& h) {
       if (copy_file_range(h.fd(), nullptr, h.fd(), nullptr, 1, 0) < 0) return;
     }},
    {"copy_file_range with flags", kNever,
     [](const Held& h) {
       if (copy_file_range(h.fd(), nullptr, h.fd(), nullptr, 1, 1) < 0) return;
     }},
    {"file without a name", kReadWrite,
     [](const Held& h) { Fd(openat(h.dir(), ".", O_TMPFILE | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600)); }},
    {"fsync", kAlways, [](const Held& h) { fsync(h.fd()); }},
    {"fallocate", kReadWrite, [](const Held& h) { fallocate(h.fd(), 0, 0, 1); }},
    {"fallocate with an unknown mode", kNever, [](const Held& h) { fallocate(h.fd(), 0x1000, 0, 1); }},
    {"fallocate to punch a hole", kReadWrite,
     [](const Held& h) { fallocate(h.fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1); }},
    {"xattr by name", kAlways, [](const Held& h) { getxattr(h.name().c_str(), "user.none", nullptr, 0); }},
    {"list xattrs by name", kAlways, [](const Held& h) { listxattr(h.name().c_str(), nullptr, 0); }},
    {"set xattr by name", kReadWrite,
     [](const Held& h) { setxattr(h.name().c_str(), "user.none", "", 0, XATTR_REPLACE); }},
    {"remove xattr by name", kReadWrite, [](const Held& h) { removexattr(h.name().c_str(), "user.none"); }},
    {"fchmodat", kReadWrite, [](const Held& h) { syscall(SYS_fchmodat, h.proc(), h.name().c_str(), 0600); }},
    {"fchmodat elsewhere", kNever, [](const Held& h) { syscall(SYS_fchmodat, h.dir(), kNone, 0600); }},
    {"fchmodat2", kReadWrite, [](const Held& h) { syscall(__NR_fchmodat2, h.fd(), "", 0600, AT_EMPTY_PATH); }},
    {"fchmodat2 of a name", kNever, [](const Held& h) { syscall(__NR_fchmodat2, h.dir(), kNone, 0600, 0); }},
    {"fchownat", kReadWrite,
     [](const Held& h) {
       if (fchownat(h.fd(), "", -1, -1, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0) return;
     }},
    {"chown of a name", kNever,
     [](const Held& h) {
       if (fchownat(h.dir(), kNone, -1, -1, AT_SYMLINK_NOFOLLOW) < 0) return;
     }},
    {"chown by path", kNever, [](const Held&) { syscall(SYS_fchownat, AT_FDCWD, "/none", 0, 0, 0); }},
    {"utimensat", kReadWrite,
     [](const Held& h) {
       const timespec times[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
       syscall(SYS_utimensat, h.fd(), "", times, AT_EMPTY_PATH);
     }},
    {"mkdirat", kReadWrite, [](const Held& h) { mkdirat(h.dir(), kNone, 0700); }},
    {"times of a name", kNever,
     [](const Held& h) { syscall(SYS_utimensat, h.dir(), kNone, nullptr, AT_SYMLINK_NOFOLLOW); }},
    {"mknodat", kReadWrite, [](const Held& h) { mknodat(h.dir(), kNone, S_IFREG | 0600, 0); }},
    {"mknodat of a FIFO", kReadWrite, [](const Held& h) { mknodat(h.dir(), kNone, S_IFIFO | 0600, 0); }},
    {"mknodat of a socket", kReadWrite, [](const Held& h) { mknodat(h.dir(), kNone, S_IFSOCK | 0600, 0); }},
    {"mknodat of a whiteout", kReadWrite, [](const Held& h) { mknodat(h.dir(), kNone, S_IFCHR, 0); }},
    {"mknodat of a character device", kNever, [](const Held& h) { mknodat(h.dir(), kNone, S_IFCHR | 0600, 0x103); }},
    {"mknodat of a block device", kNever, [](const Held& h) { mknodat(h.dir(), kNone, S_IFBLK | 0600, 0x801); }},
    {"symlinkat", kReadWrite,
     [](const Held& h) {
       if (symlinkat("target", h.dir(), kNone) < 0) return;
     }},
    {"linkat", kReadWrite,
     [](const Held& h) {
       if (linkat(h.proc(), h.name().c_str(), h.dir(), kNone, AT_SYMLINK_FOLLOW) < 0) return;
     }},
    {"linkat by name", kNever,
     [](const Held& h) {
       if (linkat(h.dir(), kNone, h.dir(), kNone, 0) < 0) return;
     }},
    {"unlinkat", kReadWrite, [](const Held& h) { unlinkat(h.dir(), kNone, 0); }},
    {"renameat2", kReadWrite, [](const Held& h) { renameat2(h.dir(), kNone, h.dir(), kNone, RENAME_NOREPLACE); }},
    {"renameat2 that leaves a whiteout", kNever,
     [](const Held& h) { renameat2(h.dir(), kNone, h.dir(), kNone, RENAME_WHITEOUT); }},
    {"rename by path", kNever, [](const Held& h) { renameat2(AT_FDCWD, "/none", h.dir(), kNone, 0); }},
    {"window file", kAlways,
     [](const Held&) {
       int fd = memfd_create("windows", MFD_CLOEXEC | MFD_ALLOW_SEALING);
       if (pwrite(fd, "", 1, 4095) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL) < 0) _exit(1);
       if (mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED) _exit(1);
     }},
    {"an executable window file", kNever, [](const Held&) { memfd_create("windows", MFD_CLOEXEC); }},
    {"another seal", kNever, [](const Held& h) { fcntl(h.fd(), F_ADD_SEALS, F_SEAL_WRITE); }},
    {"signals for input", kNever, [](const Held& h) { fcntl(h.fd(), F_SETFL, O_ASYNC); }},
    {"an owner for signals", kNever, [](const Held& h) { fcntl(h.fd(), F_SETOWN, 1); }},
    {"descriptor socket", kAlways,
     [](const Held&) {
       int ends[2];
       if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) _exit(1);
       int size = 1;
       if (setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size) < 0) _exit(1);
       shutdown(ends[0], SHUT_RDWR);
     }},
    {"another socket option", kNever,
     [](const Held& h) {
       int on = 1;
       setsockopt(h.fd(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
     }},
    {"another socket pair", kNever,
     [](const Held&) {
       int ends[2];
       socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);
     }},
    {"socket", kSockets, [](const Held&) { socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }},
    {"socket for datagrams", kSockets,
     [](const Held&) { socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }},
    {"socket for packets", kSockets,
     [](const Held&) { socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }},
    {"socket that waits", kNever, [](const Held&) { socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0); }},
    {"socket of another domain", kNever,
     [](const Held&) { socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }},
    {"connect", kOpenSockets, [](const Held& h) { connect(h.fd(), nullptr, 0); }},
    {"other ids", kOpenSockets,
     [](const Held&) {
       if (syscall(SYS_setresgid, -1, -1, -1) != 0 || syscall(SYS_setresuid, -1, -1, -1) != 0) _exit(1);
     }},
    {"bind", kCreateSockets, [](const Held& h) { bind(h.fd(), nullptr, 0); }},
    {"listen", kCreateSockets, [](const Held& h) { listen(h.fd(), 1); }},
    {"accept", kCreateSockets, [](const Held& h) { accept4(h.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC); }},
    {"accept and wait", kNever, [](const Held& h) { accept4(h.fd(), nullptr, nullptr, SOCK_CLOEXEC); }},
    {"fchmod", kCreateSockets, [](const Held& h) { fchmod(h.fd(), 0600); }},
    {"executable memory", kNever,
     [](const Held&) { mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }},
    {"memory made executable", kNever,
     [](const Held&) {
       void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
       mprotect(page, 4096, PROT_READ | PROT_EXEC);
     }},
    {"dup", kAlways, [](const Held& h) { fcntl(h.fd(), F_DUPFD_CLOEXEC, 0); }},
    {"dup onto a number", kNever, [](const Held& h) { dup3(h.dir(), h.proc(), O_CLOEXEC); }},
    {"status flags", kAlways, [](const Held& h) { fcntl(h.fd(), F_SETFL, O_NONBLOCK); }},
    {"lock", kNever, [](const Held& h) { fcntl(h.fd(), F_SETLEASE, F_WRLCK); }},
    {"execve", kNever, [](const Held&) { syscall(SYS_execve, "/none", nullptr, nullptr); }},
    {"execveat", kNever, [](const Held& h) { syscall(SYS_execveat, h.fd(), "", nullptr, nullptr, AT_EMPTY_PATH); }},
    {"fork", kNever,
     [](const Held&) {
       if (syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) == 0) _exit(0);
     }},
    {"ptrace", kNever, [](const Held&) { syscall(SYS_ptrace, 0, 0, 0, 0); }},
    {"mount", kNever, [](const Held&) { syscall(SYS_mount, "", "/", "", 0, nullptr); }},
    {"chroot", kNever, [](const Held&) { syscall(SYS_chroot, "/"); }},
    {"unshare", kNever, [](const Held&) { syscall(SYS_unshare, 0); }},
    {"setns", kNever, [](const Held&) { syscall(SYS_setns, -1, 0); }},
    {"setuid", kNever, [](const Held&) { syscall(SYS_setuid, 0); }},
    {"open_by_handle_at", kNever, [](const Held&) { syscall(SYS_open_by_handle_at, -1, nullptr, 0); }},
    {"io_uring", kNever, [](const Held&) { syscall(SYS_io_uring_setup, 1, nullptr); }},
    {"bpf", kNever, [](const Held&) { syscall(SYS_bpf, 0, nullptr, 0); }},
    {"ioctl", kNever, [](const Held& h) { syscall(SYS_ioctl, h.fd(), 0, 0); }},
    {"kill another process", kNever, [](const Held&) { syscall(SYS_tgkill, getppid(), getppid(), 0); }},
    {"a thread's name", kNever, [](const Held&) { prctl(PR_SET_NAME, "name", 0, 0, 0); }},
    {"limits", kNever, [](const Held&) { syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, nullptr, nullptr); }},
    {"keys", kNever, [](const Held&) { syscall(SYS_keyctl, 0, 0, 0, 0, 0); }},
    {"another process's memory", kNever,
     [](const Held&) { syscall(SYS_process_vm_readv, 1, nullptr, 0, nullptr, 0, 0); }},
    {"a process's descriptor", kNever, [](const Held&) { syscall(SYS_pidfd_open, 1, 0); }},
    {"user faults", kNever, [](const Held&) { syscall(SYS_userfaultfd, 0); }},
    {"watch a file", kWatch,
     [](const Held& h) { fanotify_mark(h.events(), FAN_MARK_ADD, FAN_MODIFY, h.proc(), h.name().c_str()); }},
    {"watch for another", kNever,
     [](const Held& h) { fanotify_mark(h.fd(), FAN_MARK_ADD, FAN_MODIFY, h.proc(), h.name().c_str()); }},
    {"watch a mount", kNever,
     [](const Held& h) {
       fanotify_mark(h.events(), FAN_MARK_ADD | FAN_MARK_MOUNT, FAN_MODIFY, h.proc(), h.name().c_str());
     }},
    {"watch a file system", kNever,
     [](const Held& h) {
       fanotify_mark(h.events(), FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_MODIFY, h.proc(), h.name().c_str());
     }},
    {"watch by path", kNever,
     [](const Held& h) { fanotify_mark(h.events(), FAN_MARK_ADD, FAN_MODIFY, AT_FDCWD, "/"); }},
    {"another group", kNever, [](const Held&) { fanotify_init(FAN_CLASS_NOTIF, O_RDONLY); }},
    {"events", kWatch,
     [](const Held& h) {
       char byte;
       if (read(h.events(), &byte, 1) == 0) return;
     }},
    {"what events call a file", kWatch,
     [](const Held& h) { syscall(SYS_name_to_handle_at, h.fd(), "", nullptr, nullptr, AT_EMPTY_PATH); }},
    {"a file's handle", kNever,
     [](const Held& h) { syscall(SYS_name_to_handle_at, h.dir(), kNone, nullptr, nullptr, 0); }},
    {"a futex's lock", kNever,
     [](const Held&) {
       int word = 0;
       syscall(SYS_futex, &word, FUTEX_LOCK_PI, 0, nullptr, nullptr, 0);
     }},
    {"another filter", kNever, [](const Held&) { prctl(PR_SET_SECCOMP, 0, 0, 0, 0); }},
};

struct Mounts {
  const char* name;
  bool read_only;
  bool open_sockets;
  bool create_sockets;
  bool watch = false;

  bool Admit(Admitted admitted) const {
    switch (admitted) {
      case kAlways:
        return true;
      case kReadWrite:
        return !read_only;
      case kOpenSockets:
        return open_sockets;
      case kCreateSockets:
        return create_sockets;
      case kSockets:
        return open_sockets || create_sockets;
      case kWatch:
        return watch;
      case kNever:
        return false;
    }
    return false;
  }
};

class GoferPolicyTest : public testing::TestWithParam<Mounts> {};

TEST_P(GoferPolicyTest, AdmitsWhatItShould) {
  const Mounts& mounts = GetParam();
  for (const Case& c : kCases) {
    EXPECT_EQ(OutcomeOf([&] {
                Held held;
                InstallOrExit(GoferPolicy({.proc_self_fd = held.proc(),
                                           .read_only = mounts.read_only,
                                           .open_sockets = mounts.open_sockets,
                                           .create_sockets = mounts.create_sockets,
                                           .watch_fd = mounts.watch ? held.events() : -1}));
                c.call(held);
              }),
              mounts.Admit(c.admitted) ? kSurvived : kKilled)
        << c.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Mounts, GoferPolicyTest,
                         testing::Values(Mounts{"ReadOnly", true, false, false},
                                         Mounts{"ReadWrite", false, false, false},
                                         Mounts{"ReadOnlyWithSockets", true, true, false},
                                         Mounts{"WithBoundSockets", false, false, true},
                                         Mounts{"Watched", true, false, false, true}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace lisafs
