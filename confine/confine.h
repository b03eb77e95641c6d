#ifndef LISAFS_CONFINE_CONFINE_H_
#define LISAFS_CONFINE_CONFINE_H_

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

// Puts the calling program into a place of its own: fresh namespaces, an empty root, few capabilities, no way to gain
// any. A program's main calls these in the order below, as root and while it has one thread, and then installs its
// seccomp filter (seccomp/) before it reads the first byte from anybody it does not trust:
//
//   CloseOtherDescriptors → EnterNamespaces → OpenProcSelfFd → EmptyRoot → EnterUserNamespace → DropPrivileges
//   → RestrictFileAccess → SeccompPolicy::Install
//
// Whatever the program needs from the file system (host directories, /dev/fuse) it opens, or inherits, before
// EmptyRoot.

namespace lisafs {

// Closes every descriptor but standard input, output and error and those in `keep`. Standard input becomes /dev/null
// unless `keep` has 0; one of the three that is closed becomes /dev/null too, so that nothing else takes its number.
StepResult<void> CloseOtherDescriptors(std::span<const int> keep);

// Makes room for `count` descriptors (fewer if so many may not be open). The kernel's table doubles when it is full,
// and a process with threads then waits for the other CPUs (RCU). To be called after EnterNamespaces, with one thread.
StepResult<void> MakeRoomForDescriptors(int count);

// Goes on in a child process that is alone in new mount, pid, network, ipc, uts and cgroup namespaces. In the child it
// returns; the calling process never comes back, unless this fails there.
//
// With `ready_fd` < 0 the calling process stays, without descriptors, to forward SIGTERM, SIGINT and SIGHUP, and exits
// as the child does (128 + signal if it was killed); the child dies with it. With `ready_fd` >= 0 the child becomes the
// caller's sibling (CLONE_PARENT), in a session of its own, so that whoever started the program is its parent and may
// die before it; the calling process writes the child's pid, as its parent sees it, in decimal with a newline to
// `ready_fd` and exits with status 0. The child returns only once that line is written, so that what it writes to
// `ready_fd` comes after.
//
// Process 1 of a pid namespace ignores every signal that it has no handler for, SIGKILL and faults excepted. A child
// whose caller stays therefore gets handlers for SIGTERM, SIGINT and SIGHUP that exit with 128 + signal, at any moment:
// the program has nothing to tidy up that the kernel does not. One that was handed over ignores them: it may be in a
// container's cgroup, where engines signal every process, and ends when its work does.
//
// The new pid namespace has numbers for at least `max_threads` threads, and for some hundreds at most beyond that: root
// is under no other limit of threads that belongs to a process. Linux before 6.14 has no such limit; 0: none is set.
StepResult<void> EnterNamespaces(int ready_fd, int max_threads = 0);

// Writes "ready" as a line to the descriptor that EnterNamespaces wrote the pid to, and closes it: the program is
// confined and about to serve. Nothing if there is none.
StepResult<void> SayReady(Fd ready);

// Opens a directory descriptor on this process's own /proc/self/fd, as a mount of its own: ".." leads nowhere. To be
// called after EnterNamespaces and before EmptyRoot. openat(it, "N", flags) without O_NOFOLLOW reopens descriptor N's
// file with other flags, whatever became of its name; that works for this process and its threads, not for others.
StepResult<Fd> OpenProcSelfFd();

// Makes an empty, read-only tmpfs the root and working directory, and unmounts everything else from the namespace.
// Descriptors stay good.
StepResult<void> EmptyRoot();

// Enters a user namespace and closes its descriptor; nothing if there is none. From then on the process's capabilities
// hold there alone: over files whose owner and group the namespace has, and over nothing that the initial namespace
// guards, such as mounts, devices and files by their handles. The process stays the user that it was, whom the
// namespace need not know.
StepResult<void> EnterUserNamespace(Fd user_namespace);

struct Privileges {
  std::vector<int> capabilities;  // CAP_*: permitted and effective become exactly these; bounding, inheritable and
                                  // ambient become empty. One that the process does not have is an error (EPERM).
  uint64_t max_open_files = 0;    // RLIMIT_NOFILE, soft and hard, cut to the hard limit; 0: the hard limit.
  uint64_t max_memory = 0;        // RLIMIT_DATA in bytes, likewise. What is mapped shared does not count.
  // Whose the files are that the process makes (fsuid, fsgid): the kernel makes none for somebody whom the process's
  // user namespace or the files' mount does not know. Capabilities do not depend on it.
  uid_t file_uid = 0;
  gid_t file_gid = 0;
};
// umask 0, rlimits (no core), no supplementary groups, an empty session keyring, capabilities, not dumpable,
// no_new_privs. The user stays root, which means no more than owning root's files: securebits keep it from getting
// capabilities back by exec.
StepResult<void> DropPrivileges(const Privileges& privileges);

// A directory with all that is below it, or a single file; may be O_PATH, and of a detached tree.
struct FileAccess {
  int tree;
  bool read_only = false;
};
// From now on the calling thread, and those that it starts, open, make, remove and move files below these trees alone,
// and there nothing is executed; TCP, abstract sockets and signals reach nothing outside. Landlock: what has been
// opened before stays open, and attributes can be changed wherever a descriptor is had. What other mounts of the same
// directory show is below it too. Does nothing where the kernel has no Landlock, or not its second version
// (Linux 5.19). Needs no_new_privs; no mount can be made or changed after it.
StepResult<void> RestrictFileAccess(std::span<const FileAccess> trees);

// The version of the kernel's Landlock; negative if it has none.
int LandlockVersion();

}  // namespace lisafs

#endif  // LISAFS_CONFINE_CONFINE_H_
