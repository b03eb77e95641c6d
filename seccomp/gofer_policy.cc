#include "seccomp/gofer_policy.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <sys/fanotify.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "seccomp/runtime_rules.h"

namespace lisafs {
namespace {

// Reopening is never creating, and a read-only gofer asks for nothing but reading.
constexpr uint32_t kCreating = O_CREAT;
constexpr uint32_t kChanging = O_ACCMODE | O_CREAT | O_TRUNC;

// What FAllocate passes on; the gofer itself refuses everything else.
constexpr uint32_t kAllocateModes = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE |
                                    FALLOC_FL_ZERO_RANGE | FALLOC_FL_INSERT_RANGE;

void AllowConnections(SeccompPolicy& policy) {
  policy
      .Allow(SCMP_SYS(memfd_create), "Channel: the file of the windows",
             {ArgIs(1, MFD_CLOEXEC | MFD_ALLOW_SEALING, "MFD_CLOEXEC|MFD_ALLOW_SEALING")})
      .Allow(SCMP_SYS(pwrite64), "Channel: the size of that file; PWrite")
      .Allow(SCMP_SYS(sendmsg), "responses with descriptors")
      .Allow(SCMP_SYS(setsockopt), "Channel: few descriptors are on their way to a client",
             {ArgIs(1, SOL_SOCKET, "SOL_SOCKET"), ArgIs(2, SO_SNDBUF, "SO_SNDBUF")})
      .Allow(SCMP_SYS(fcntl), "Channel, donated files: a descriptor to give away",
             {ArgIs(1, F_DUPFD_CLOEXEC, "F_DUPFD_CLOEXEC")})
      .Allow(SCMP_SYS(fcntl), "Channel: the socket for descriptors does not block",
             {ArgIs(1, F_SETFL, "F_SETFL"), ArgIs(2, O_NONBLOCK, "O_NONBLOCK")})
      .Allow(SCMP_SYS(fcntl), "Channel: neither side can shrink the windows",
             {ArgIs(1, F_ADD_SEALS, "F_ADD_SEALS"), ArgIs(2, F_SEAL_SHRINK | F_SEAL_SEAL, "F_SEAL_SHRINK|F_SEAL_SEAL")})
      .Allow(SCMP_SYS(socketpair), "Channel: the socket for descriptors",
             {ArgIs(0, AF_UNIX, "AF_UNIX"), ArgIs(1, SOCK_SEQPACKET | SOCK_CLOEXEC, "SOCK_SEQPACKET|SOCK_CLOEXEC"),
              ArgIs(2, 0, "protocol 0")});
}

void AllowReading(SeccompPolicy& policy, const GoferPolicyOptions& options) {
  const ArgCondition in_proc_self_fd = ArgIs(0, options.proc_self_fd, "/proc/self/fd");
  if (options.read_only) {
    policy.Allow(SCMP_SYS(openat), "walking",
                 {ArgIsDescriptor(0), ArgMasked(2, kChanging | O_NOFOLLOW, O_RDONLY | O_NOFOLLOW,
                                                "O_RDONLY|O_NOFOLLOW, no O_CREAT, no O_TRUNC")});
    policy.Allow(SCMP_SYS(openat), "reopening",
                 {in_proc_self_fd, ArgMasked(2, kChanging, O_RDONLY, "O_RDONLY, no O_CREAT, no O_TRUNC")});
  } else {
    policy.Allow(SCMP_SYS(openat), "walking, creating", {ArgIsDescriptor(0), ArgHas(2, O_NOFOLLOW, "O_NOFOLLOW")});
    policy.Allow(SCMP_SYS(openat), "reopening", {in_proc_self_fd, ArgLacks(2, kCreating, "O_CREAT")});
  }
  constexpr int kOfDescriptor = AT_EMPTY_PATH | AT_NO_AUTOMOUNT;
  constexpr int kOfName = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
  policy
      .Allow(SCMP_SYS(statx), "FStat and every answer with an inode",
             {ArgIsDescriptor(0), ArgIs(2, kOfDescriptor, "AT_EMPTY_PATH|AT_NO_AUTOMOUNT")})
      .Allow(SCMP_SYS(statx), "WalkStat, ListStat",
             {ArgIsDescriptor(0), ArgMasked(2, ~uint32_t{AT_STATX_DONT_SYNC}, kOfName,
                                            "AT_SYMLINK_NOFOLLOW|AT_NO_AUTOMOUNT, and AT_STATX_DONT_SYNC or not")})
      .Allow(SCMP_SYS(fstatfs), "FStatFS, Getdents64")
      .Allow(SCMP_SYS(readlinkat), "ReadLinkAt", {ArgIsDescriptor(0)})
      .Allow(SCMP_SYS(getdents64), "Getdents64, ListStat")
      .Allow(SCMP_SYS(lseek), "Getdents64, ListStat: a directory's position; Seek")
      .Allow(SCMP_SYS(pread64), "PRead")
      .Allow(SCMP_SYS(fsync), "FSync")
      .Allow(SCMP_SYS(fdatasync), "FDataSync")
      // With the working directory on /proc/self/fd, "N" is descriptor N's file itself.
      .Allow(SCMP_SYS(getxattr), "FGetXattr: \"N\" in /proc/self/fd")
      .Allow(SCMP_SYS(listxattr), "FListXattr: \"N\" in /proc/self/fd");
}

// Of what mknod(2) makes, everything but devices: an overlay's whiteout is a device in name only.
void AllowMakingNodes(SeccompPolicy& policy) {
  constexpr struct {
    mode_t type;
    const char* text;
  } kTypes[] = {{S_IFREG, "S_IFREG"}, {S_IFIFO, "S_IFIFO"}, {S_IFSOCK, "S_IFSOCK"}};
  for (const auto& [type, text] : kTypes) {
    policy.Allow(SCMP_SYS(mknodat), "MknodAt, MakeNodeAt", {ArgIsDescriptor(0), ArgMasked(2, S_IFMT, type, text)});
  }
  policy.Allow(SCMP_SYS(mknodat), "MknodAt: a whiteout",
               {ArgIsDescriptor(0), ArgMasked(2, S_IFMT, S_IFCHR, "S_IFCHR"), ArgIs(3, 0, "device 0")});
}

void AllowChanging(SeccompPolicy& policy, const GoferPolicyOptions& options) {
  const ArgCondition in_proc_self_fd = ArgIs(0, options.proc_self_fd, "/proc/self/fd");
  AllowMakingNodes(policy);
  policy.Allow(SCMP_SYS(ftruncate), "SetStat")
      .Allow(SCMP_SYS(copy_file_range), "CopyFileRange", {ArgIs(5, 0, "no flags")})
      .Allow(SCMP_SYS(fallocate), "FAllocate", {ArgLacks(1, ~kAllocateModes, "unknown mode")})
      .Allow(SCMP_SYS(fchmodat), "SetStat, before Linux 6.6", {in_proc_self_fd})
      .Allow(__NR_fchmodat2, "SetStat", {ArgIsDescriptor(0), ArgIs(3, AT_EMPTY_PATH, "AT_EMPTY_PATH")})
      .Allow(SCMP_SYS(fchownat), "SetStat, the owner of what is created",
             {ArgIsDescriptor(0), ArgIs(4, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, "AT_EMPTY_PATH|AT_SYMLINK_NOFOLLOW")})
      .Allow(SCMP_SYS(utimensat), "SetStat", {ArgIsDescriptor(0), ArgIs(3, AT_EMPTY_PATH, "AT_EMPTY_PATH")})
      .Allow(SCMP_SYS(mkdirat), "MkdirAt", {ArgIsDescriptor(0)})
      .Allow(SCMP_SYS(symlinkat), "SymlinkAt", {ArgIsDescriptor(1)})
      .Allow(SCMP_SYS(linkat), "LinkAt: the very file a descriptor is on",
             {in_proc_self_fd, ArgIsDescriptor(2), ArgIs(4, AT_SYMLINK_FOLLOW, "AT_SYMLINK_FOLLOW")})
      .Allow(SCMP_SYS(unlinkat), "UnlinkAt, undoing a creation", {ArgIsDescriptor(0)})
      .Allow(
          SCMP_SYS(renameat2), "RenameAt, RenameAt2",
          {ArgIsDescriptor(0), ArgIsDescriptor(2),
           ArgLacks(4, ~uint32_t{RENAME_NOREPLACE | RENAME_EXCHANGE}, "flags but RENAME_NOREPLACE, RENAME_EXCHANGE")})
      .Allow(SCMP_SYS(setxattr), "FSetXattr: \"N\" in /proc/self/fd")
      .Allow(SCMP_SYS(removexattr), "FRemoveXattr: \"N\" in /proc/self/fd");
}

// Marks are made on a descriptor's file, as it is reopened. Without CAP_SYS_ADMIN, which only makes groups, whoever
// marks a file must be able to read it.
void AllowWatching(SeccompPolicy& policy, const GoferPolicyOptions& options) {
  const ArgCondition group = ArgIs(0, options.watch_fd, "the fanotify group");
  policy
      .Allow(SCMP_SYS(fanotify_mark), "Watch: \"N\" in /proc/self/fd",
             {group, ArgLacks(1, FAN_MARK_MOUNT | FAN_MARK_FILESYSTEM, "not of a mount or a file system"),
              ArgIs(3, options.proc_self_fd, "/proc/self/fd")})
      .Allow(SCMP_SYS(name_to_handle_at), "Watch: what events call a file",
             {ArgIsDescriptor(0), ArgHas(4, AT_EMPTY_PATH, "AT_EMPTY_PATH")})
      .Allow(SCMP_SYS(read), "events", {group});
}

void AllowMakingSockets(SeccompPolicy& policy) {
  constexpr int kFlags = SOCK_NONBLOCK | SOCK_CLOEXEC;
  const ArgCondition unix_domain = ArgIs(0, AF_UNIX, "AF_UNIX");
  const ArgCondition protocol = ArgIs(2, 0, "protocol 0");
  const char* why = "Connect, BindAt";
  policy
      .Allow(SCMP_SYS(socket), why,
             {unix_domain, ArgIs(1, SOCK_STREAM | kFlags, "SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC"), protocol})
      .Allow(SCMP_SYS(socket), why,
             {unix_domain, ArgIs(1, SOCK_DGRAM | kFlags, "SOCK_DGRAM|SOCK_NONBLOCK|SOCK_CLOEXEC"), protocol})
      .Allow(SCMP_SYS(socket), why,
             {unix_domain, ArgIs(1, SOCK_SEQPACKET | kFlags, "SOCK_SEQPACKET|SOCK_NONBLOCK|SOCK_CLOEXEC"), protocol});
}

void AllowConnectingSockets(SeccompPolicy& policy) {
  policy.Allow(SCMP_SYS(connect), "Connect: \"N\" in /proc/self/fd")
      .Allow(SCMP_SYS(setresgid), "ConnectWithCreds: a thread for one connection takes the application's ids")
      .Allow(SCMP_SYS(setresuid), "ConnectWithCreds: a thread for one connection takes the application's ids");
}

void AllowServingSockets(SeccompPolicy& policy) {
  policy.Allow(SCMP_SYS(fchmod), "BindAt: the mode that the socket's file is to have")
      .Allow(SCMP_SYS(bind), "BindAt: \"N/name\" in /proc/self/fd")
      .Allow(SCMP_SYS(listen), "Listen")
      .Allow(SCMP_SYS(accept4), "Accept", {ArgIs(3, SOCK_NONBLOCK | SOCK_CLOEXEC, "SOCK_NONBLOCK|SOCK_CLOEXEC")});
}

}  // namespace

SeccompPolicy GoferPolicy(const GoferPolicyOptions& options) {
  SeccompPolicy policy;
  AllowRuntime(policy);
  AllowTransport(policy);
  if (options.ready_fd >= 0) {
    policy.Allow(SCMP_SYS(write), "the line that says ready", {ArgIs(0, options.ready_fd, "--ready-fd")});
  }
  AllowConnections(policy);
  AllowReading(policy, options);
  if (!options.read_only) AllowChanging(policy, options);
  if (options.watch_fd >= 0) AllowWatching(policy, options);
  if (options.open_sockets || options.create_sockets) AllowMakingSockets(policy);
  if (options.open_sockets) AllowConnectingSockets(policy);
  if (options.create_sockets) AllowServingSockets(policy);
  return policy;
}

}  // namespace lisafs
