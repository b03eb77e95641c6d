#ifndef LISAFS_SANDBOX_OCI_ID_MAP_OPTION_H_
#define LISAFS_SANDBOX_OCI_ID_MAP_OPTION_H_

#include <string_view>

#include "absl/status/statusor.h"
#include "sandbox/id_map.h"

namespace lisafs {

// The ids in a mount's option idmap=IDS, as crun and podman have it: "uids=0-1-10#10-11-10;gids=0-100-10". Of each
// three numbers the first are the source's ids, the second the host's that these show as, the third says how many.
// After an @ the second are ids of the container, whose user namespace `container` then is; null: it is not known here.
//
// INVALID_ARGUMENT: malformed, or not ids that the kernel takes.
absl::StatusOr<IdMap> ParseIdMapOption(std::string_view text, const IdMap* container);

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_OCI_ID_MAP_OPTION_H_
