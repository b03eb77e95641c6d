#ifndef LISAFS_SECCOMP_GOFER_POLICY_H_
#define LISAFS_SECCOMP_GOFER_POLICY_H_

#include "seccomp/policy.h"

namespace lisafs {

struct GoferPolicyOptions {
  // The directory /proc/self/fd, through which descriptors are reopened: the one descriptor below which the last
  // component of a path may be a link. The conditions on paths guard against mistakes in the gofer; what holds one that
  // was taken over is its empty root and its detached trees.
  int proc_self_fd;
  // Every mount is read-only: no call that changes a file system is needed.
  bool read_only;
  // A mount's client may connect to the sockets in it; may make sockets in it that it serves.
  bool open_sockets = false;
  bool create_sockets = false;
  // The fanotify group, if a mount's client may be told what others change.
  int watch_fd = -1;
  // Where the line is written that says ready; negative: nowhere.
  int ready_fd = -1;
};

// For the gofer. To be made by the process that installs it, since it admits signals to that process.
SeccompPolicy GoferPolicy(const GoferPolicyOptions& options);

}  // namespace lisafs

#endif  // LISAFS_SECCOMP_GOFER_POLICY_H_
