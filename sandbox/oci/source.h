#ifndef LISAFS_SANDBOX_OCI_SOURCE_H_
#define LISAFS_SANDBOX_OCI_SOURCE_H_

#include "absl/status/statusor.h"
#include "sandbox/oci/config.h"

namespace lisafs {

// What stands on the host at a bind mount's source.
struct OciSource {
  bool directory = false;

  // Whether its files are to be served by lisafs. These stay ordinary bind mounts, since they hold no file data of the
  // host:
  //  - sockets, FIFOs and devices;
  //  - what lies on a file system in which the kernel shows itself (proc, sysfs, cgroup, nsfs and the like);
  //  - a tmpfs of its own on /dev/shm, which engines mount for each container or pod: it is memory that processes
  //  share, also
  //    those of different containers, and has to be the same pages for all.
  bool served = false;

  // What the host's mount already refuses, as a bind mount of it would too. `bind` and `recursive` are not set.
  OciMountOptions inherited;
};

// Looks at the source of `mount`, a bind mount, in the calling thread's mount namespace. Messages name target and
// source. NOT_FOUND: it does not exist.
absl::StatusOr<OciSource> InspectSource(const OciMount& mount);

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_OCI_SOURCE_H_
