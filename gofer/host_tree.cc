#include "gofer/host_tree.h"

#include <fcntl.h>
#include <sys/mount.h>

namespace lisafs {

StepResult<Fd> OpenHostTree(const std::string& path, bool read_only) {
  Fd tree(open_tree(AT_FDCWD, path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
  if (!tree) return FailStepWithErrno("opening the tree");
  mount_attr attributes = {};
  attributes.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (read_only ? MOUNT_ATTR_RDONLY : 0);
  if (mount_setattr(tree.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof attributes) != 0) {
    return FailStepWithErrno("setting the tree's attributes");
  }
  return tree;
}

}  // namespace lisafs
