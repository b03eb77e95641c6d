#ifndef LISAFS_SANDBOX_DETACHED_TREE_H_
#define LISAFS_SANDBOX_DETACHED_TREE_H_

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/fd.h"
#include "sandbox/mount_attributes.h"

namespace lisafs {

// A mount of its own of some directory or file, attached nowhere: whoever holds the descriptor reaches what is below it
// and, since nothing is above it, nothing else. What is mounted or unmounted elsewhere later does not show in it.
struct DetachedTree {
  Fd fd;            // O_PATH.
  mode_t type = 0;  // S_IFDIR, S_IFREG; others if asked for.
  // The file systems' and the files' numbers of the source, last, and of the directories that it is in. Empty if that
  // could not be found out.
  std::vector<std::pair<dev_t, ino_t>> place;

  // Whether both show the same files, or one of them some of the other's.
  bool Overlaps(const DetachedTree& other) const;
};

// What the root of a tree may be.
enum class TreeTypes { kDirectoryOrFile, kAny };

// An id-mapped mount: the ids that files have in the source are those inside of a user namespace, and show as the ones
// that these are outside of it. Ids that the namespace does not have show as the overflow id, and nobody can give them.
struct TreeIdMap {
  int user_namespace = -1;  // -1: ids are what they are.
  bool recursive = false;   // Of the mounts below, too.
};

// Opens `source` in the calling thread's mount namespace, following symbolic links. With `recursive` the mounts below
// it come along, with the same attributes.
//
// NOT_FOUND: it does not exist. INVALID_ARGUMENT: it is of a type not allowed. FAILED_PRECONDITION: its file system
// cannot be id-mapped, or is already. Messages do not repeat `source`.
absl::StatusOr<DetachedTree> OpenDetachedTree(const std::string& source, const MountAttributes& attributes,
                                              bool recursive, TreeTypes types = TreeTypes::kDirectoryOrFile,
                                              const TreeIdMap& id_map = {});

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_DETACHED_TREE_H_
