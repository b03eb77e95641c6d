#include "sandbox/detached_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/status.h"

namespace lisafs {

absl::StatusOr<DetachedTree> OpenDetachedTree(const std::string& source, const MountAttributes& attributes,
                                              bool recursive, TreeTypes types) {
  // The type is checked before anything is cloned: merely opening some devices has effects, O_PATH has none.
  Fd path(open(source.c_str(), O_PATH | O_CLOEXEC));
  if (!path) return ErrnoStatus(errno);
  struct stat stat;
  if (fstat(path.get(), &stat) != 0) return ErrnoStatus(errno, "stat");
  DetachedTree tree;
  tree.type = stat.st_mode & S_IFMT;
  if (types == TreeTypes::kDirectoryOrFile && tree.type != S_IFDIR && tree.type != S_IFREG) {
    return absl::InvalidArgumentError("neither a directory nor a regular file");
  }

  unsigned recurse = recursive ? AT_RECURSIVE : 0;
  tree.fd.reset(open_tree(path.get(), "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recurse));
  if (!tree.fd) return ErrnoStatus(errno, "open_tree");

  // Only adds: what the source's own mount forbids stays forbidden.
  mount_attr change{};
  change.attr_set = attributes.Flags();
  change.propagation = MS_PRIVATE;
  if (mount_setattr(tree.fd.get(), "", AT_EMPTY_PATH | recurse, &change, sizeof change) != 0) {
    return ErrnoStatus(errno, "mount_setattr");
  }
  return tree;
}

}  // namespace lisafs
