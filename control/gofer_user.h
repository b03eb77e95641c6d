#ifndef LISAFS_CONTROL_GOFER_USER_H_
#define LISAFS_CONTROL_GOFER_USER_H_

#include <sys/types.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/fd.h"
#include "proto/lisafs/control/v1/control.pb.h"

namespace lisafs {

// INVALID_ARGUMENT: CheckIdRanges.
absl::Status ValidateIdMap(const control::v1::IdMap& map);

// Where a gofer has its capabilities, and as whom it makes files before it gives them their owner.
struct GoferUser {
  // Invalid: it stays in lisafsd's.
  Fd user_namespace;
  uid_t file_uid = 0;
  gid_t file_gid = 0;
};

// Of a container with a user namespace the gofer's has the same ids of the host, each as itself. Of others it has all
// ids if nothing is writable; if something is, there is none: the kernel leaves set-id bits to nobody who writes
// without CAP_FSETID in the initial namespace, and the container's root has that. Files are made as the container's
// root, if all of the mounts' id maps have that.
//
// INVALID_ARGUMENT: the id maps have no id in common.
absl::StatusOr<GoferUser> ChooseGoferUser(const control::v1::CreateSandboxRequest& request);

}  // namespace lisafs

#endif  // LISAFS_CONTROL_GOFER_USER_H_
