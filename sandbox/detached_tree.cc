#include "sandbox/detached_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <string_view>

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

// Only for who compares it, so it may have been moved meanwhile.
std::vector<std::pair<dev_t, ino_t>> PlaceOf(const std::string& source) {
  std::unique_ptr<char, decltype(&free)> path(realpath(source.c_str(), nullptr), &free);
  if (path == nullptr) return {};
  const std::string_view whole(path.get());
  std::vector<std::pair<dev_t, ino_t>> place;
  for (size_t end = 0; end != whole.npos; end = end + 1 < whole.size() ? whole.find('/', end + 1) : whole.npos) {
    struct stat stat;
    if (lstat(std::string(end == 0 ? "/" : whole.substr(0, end)).c_str(), &stat) != 0) return {};
    place.emplace_back(stat.st_dev, stat.st_ino);
  }
  struct stat own;
  if (lstat(path.get(), &own) != 0) return {};
  if (whole.size() > 1) place.emplace_back(own.st_dev, own.st_ino);
  return place;
}

bool Contains(const std::vector<std::pair<dev_t, ino_t>>& place, std::pair<dev_t, ino_t> directory) {
  return std::find(place.begin(), place.end(), directory) != place.end();
}

}  // namespace

bool DetachedTree::Overlaps(const DetachedTree& other) const {
  if (place.empty() || other.place.empty()) return true;
  return Contains(place, other.place.back()) || Contains(other.place, place.back());
}

absl::StatusOr<DetachedTree> OpenDetachedTree(const std::string& source, const MountAttributes& attributes,
                                              bool recursive, TreeTypes types, const TreeIdMap& id_map) {
  // The type is checked before anything is cloned: merely opening some devices has effects, O_PATH has none.
  Fd path(open(source.c_str(), O_PATH | O_CLOEXEC));
  if (!path) return ErrnoStatus(errno);
  struct stat stat;
  if (fstat(path.get(), &stat) != 0) return ErrnoStatus(errno, "stat");
  DetachedTree tree;
  tree.type = stat.st_mode & S_IFMT;
  tree.place = PlaceOf(source);
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
