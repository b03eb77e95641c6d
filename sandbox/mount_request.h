#ifndef LISAFS_SANDBOX_MOUNT_REQUEST_H_
#define LISAFS_SANDBOX_MOUNT_REQUEST_H_

#include "proto/lisafs/control/v1/control.pb.h"
#include "sandbox/oci/config.h"
#include "sandbox/oci/source.h"

namespace lisafs {

// Adds a bind mount to what lisafsd is asked for. Its target gets a number where an earlier mount has the same one:
// nothing forbids to mount twice on one place. The request's user namespace is in it already, if there is one.
control::v1::MountSpec& AddMountSpec(const OciMount& mount, const OciSource& source,
                                     control::v1::CreateSandboxRequest& request);

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_MOUNT_REQUEST_H_
