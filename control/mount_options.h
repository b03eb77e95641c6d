#ifndef LISAFS_CONTROL_MOUNT_OPTIONS_H_
#define LISAFS_CONTROL_MOUNT_OPTIONS_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/lisafs/control/v1/control.pb.h"

// A mount's options and policy as an operator writes them. All errors are INVALID_ARGUMENT and name the word that is
// wrong.

namespace lisafs {

// What `lisafsctl mount set` takes: words KEY=VALUE, each at most once.
//
//   read-only=on|off  descriptors=on|off  passthrough=on|off  revoked=on|off
//   ops=RATE[/BURST]|off  bytes=RATE[/BURST]|off    a second; numbers may end in K, M or G, powers of 1024
//
// Sets the fields of `update` and names them in its mask.
absl::Status ParsePolicy(const std::vector<std::string>& words, control::v1::UpdateMountRequest& update);

// What `lisafsctl mount add -o` takes, separated by commas: ro, rw, nosuid, nodev, noexec, rec, withhold (descriptors),
// nopassthrough, fifo, uds-open, uds-create, ops and bytes as above, and idmap=IDS and ridmap=IDS, as crun and podman
// have them (sandbox/oci/id_map_option.h), but for ids of the container.
absl::Status ParseMountOptions(const std::string& text, control::v1::MountSpec& spec);

}  // namespace lisafs

#endif  // LISAFS_CONTROL_MOUNT_OPTIONS_H_
