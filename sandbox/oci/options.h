#ifndef LISAFS_SANDBOX_OCI_OPTIONS_H_
#define LISAFS_SANDBOX_OCI_OPTIONS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace lisafs {

// What a bind mount's options in config.json ask of lisafs. Options are read from left to right, a later one overrides
// an earlier.
struct OciMountOptions {
  bool bind = false;       // "bind" or "rbind" is among them.
  bool recursive = false;  // rbind
  bool read_only = false;
  bool nosuid = false;
  bool nodev = false;
  bool noexec = false;
  bool id_mapped = false;            // idmap or ridmap, with or without ids
  bool id_mapped_recursive = false;  // ridmap
  std::string id_map;                // idmap=…, ridmap=…: ParseIdMapOption
};

// Of a mount that is no bind mount: only `bind` and `recursive`, nothing is judged.
OciMountOptions FindBindOptions(const std::vector<std::string>& options);

// INVALID_ARGUMENT names an option that cannot be honoured, or is not known: none is ignored that would change what the
// container may do or see.
absl::StatusOr<OciMountOptions> ReadBindOptions(const std::vector<std::string>& options);

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_OCI_OPTIONS_H_
