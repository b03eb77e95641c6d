#ifndef LISAFS_CONFINE_CONFINE_H_
#define LISAFS_CONFINE_CONFINE_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

// Puts the calling program into a place of its own: fresh namespaces, an empty root, few capabilities, no way to gain
// any. A program's main calls these in the order below, while it has one thread, and then installs its seccomp filter
// (seccomp/) before it reads the first byte from anybody it does not trust.

namespace lisafs {

// A step of confinement that failed: what was tried, and the errno.
struct ConfineError {
  std::string what;
  Errno error;
};
template <typename T>
using ConfineResult = tl::expected<T, ConfineError>;

// Goes on in a child process that is alone in new mount, pid, network, ipc, uts and cgroup namespaces. In the child it
// returns; the calling process never comes back.
//
// With `ready_fd` < 0 the calling process stays to forward SIGTERM, SIGINT and SIGHUP, and exits as the child does (128
// + signal if it was killed); the child dies with it. With `ready_fd` >= 0 the child becomes the caller's sibling
// (CLONE_PARENT), so that whoever started the program is its parent; the calling process writes the child's pid, in
// decimal with a newline, to `ready_fd` and exits.
ConfineResult<void> EnterNamespaces(int ready_fd);

// Opens a directory descriptor on this process's own /proc/self/fd, as a mount of its own: ".." leads nowhere. To be
// called after EnterNamespaces and before EmptyRoot. Needed to reopen a descriptor's file with other flags.
ConfineResult<Fd> OpenProcSelfFd();

// Makes an empty, read-only tmpfs the root and working directory, and unmounts everything else from the namespace.
ConfineResult<void> EmptyRoot();

struct Privileges {
  std::vector<int> capabilities;  // CAP_*: permitted and effective become exactly these; bounding, inheritable and
                                  // ambient become empty.
  uint64_t max_open_files = 0;    // RLIMIT_NOFILE, cut to the hard limit; 0: the hard limit.
};
// umask 0, rlimits (core 0), capabilities, not dumpable, no_new_privs.
ConfineResult<void> DropPrivileges(const Privileges& privileges);

// Closes every descriptor but standard input, output and error and `keep`. Standard input becomes /dev/null if it is
// not already: call it before EmptyRoot.
ConfineResult<void> CloseOtherDescriptors(std::span<const int> keep);

}  // namespace lisafs

#endif  // LISAFS_CONFINE_CONFINE_H_
