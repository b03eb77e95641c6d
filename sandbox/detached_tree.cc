#include "sandbox/detached_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/status.h"

namespace lisafs {
namespace {

absl::Status MapIds(const Fd& tree, const TreeIdMap& map) {
  mount_attr change{};
  change.attr_set = MOUNT_ATTR_IDMAP;
  change.userns_fd = static_cast<uint64_t>(map.user_namespace);
  if (mount_setattr(tree.get(), "", AT_EMPTY_PATH | (map.recursive ? AT_RECURSIVE : 0), &change, sizeof change) == 0) {
    return absl::OkStatus();
  }
  switch (errno) {
    case EINVAL:
      return absl::FailedPreconditionError(map.recursive ? "a file system in it cannot be id-mapped (EINVAL)"
                                                         : "its file system cannot be id-mapped (EINVAL)");
    case EPERM:
      return absl::FailedPreconditionError("it is id-mapped already, or not this host's to map (EPERM)");
    default:
      return ErrnoStatus(errno, "mount_setattr MOUNT_ATTR_IDMAP");
  }
}

}  // namespace

absl::StatusOr<DetachedTree> OpenDetachedTree(const std::string& source, const MountAttributes& attributes,
                                              bool recursive, TreeTypes types, const TreeIdMap& id_map) {
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
  if (id_map.user_namespace >= 0) LISAFS_RETURN_IF_NOT_OK(MapIds(tree.fd, id_map));
  return tree;
}

}  // namespace lisafs
