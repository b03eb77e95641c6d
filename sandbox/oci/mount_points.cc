#include "sandbox/oci/mount_points.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "base/fd.h"
#include "base/result.h"

namespace lisafs {
namespace {

constexpr int kMaxSymbolicLinks = 255;

// Follows a path one component at a time, making what is missing. Every directory on the way is held open and every
// name is used in the directory it was found in, so that a name that changes meanwhile leads to another place in the
// root at worst.
class Walk {
 public:
  explicit Walk(Fd root) { directories_.push_back(std::move(root)); }

  Result<FoundMountPoint> Make(const std::string& path, bool directory) {
    Push(path);
    Fd last;  // If it is no directory.
    while (!names_.empty()) {
      std::string name = std::move(names_.back());
      names_.pop_back();
      if (name == ".") continue;
      if (name == "..") {
        if (directories_.size() == 1) continue;
        directories_.pop_back();
        path_.pop_back();
        continue;
      }
      bool make_directory = directory || !names_.empty();
      LISAFS_ASSIGN_OR_RETURN(Fd file, OpenOrMake(name, make_directory));
      struct stat attributes;
      if (fstat(file.get(), &attributes) != 0) return FailWithErrno();
      if (S_ISLNK(attributes.st_mode)) {
        LISAFS_RETURN_IF_ERROR(Follow(file.get()));
      } else if (S_ISDIR(attributes.st_mode)) {
        directories_.push_back(std::move(file));
        path_.push_back(std::move(name));
      } else if (!names_.empty()) {
        return Fail(ENOTDIR);
      } else {
        last = std::move(file);
        path_.push_back(std::move(name));
      }
    }
    std::string found;
    for (const std::string& name : path_) found += "/" + name;
    return FoundMountPoint{found.empty() ? "/" : found, last ? std::move(last) : std::move(directories_.back())};
  }

 private:
  // Puts the components of `path` before those that are left. The last of `names_` comes first.
  void Push(std::string_view path) {
    while (!path.empty()) {
      size_t slash = path.rfind('/');
      std::string_view name = slash == std::string_view::npos ? path : path.substr(slash + 1);
      if (!name.empty()) names_.emplace_back(name);
      path = path.substr(0, slash == std::string_view::npos ? 0 : slash);
    }
  }

  Result<Fd> OpenOrMake(const std::string& name, bool directory) {
    int parent = directories_.back().get();
    Fd file(openat(parent, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (file) return file;
    if (errno != ENOENT) return FailWithErrno();
    if (!directory) {
      file.reset(openat(parent, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0755));
    } else if (mkdirat(parent, name.c_str(), 0755) == 0) {
      file.reset(openat(parent, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    }
    if (!file) return FailWithErrno();
    return file;
  }

  Status Follow(int link) {
    char target[PATH_MAX];
    ssize_t length = readlinkat(link, "", target, sizeof target);
    if (length < 0) return FailWithErrno();
    if (length == sizeof target) return Fail(ENAMETOOLONG);
    if (++links_ > kMaxSymbolicLinks) return Fail(ELOOP);
    if (target[0] == '/') {
      directories_.resize(1);
      path_.clear();
    }
    Push({target, static_cast<size_t>(length)});
    return {};
  }

  std::vector<Fd> directories_;     // From the root to the current one.
  std::vector<std::string> path_;   // Their names but for the root's, and that of a file at the end.
  std::vector<std::string> names_;  // Still to go.
  int links_ = 0;
};

bool LiesWithin(const std::string& path, const std::string& directory) {
  return directory == "/" || path == directory || path.starts_with(directory + "/");
}

}  // namespace

std::vector<OciMountPoint> PointsInRoot(std::span<const OciMountPoint> mount_points) {
  std::vector<OciMountPoint> in_root;
  for (auto point = mount_points.begin(); point != mount_points.end(); ++point) {
    bool within = std::any_of(mount_points.begin(), point,
                              [&](const OciMountPoint& before) { return LiesWithin(point->path, before.path); });
    if (!within && point->path != "/") in_root.push_back(*point);
  }
  return in_root;
}

absl::StatusOr<FoundMountPoint> MakeMountPoint(const std::string& root, const OciMountPoint& mount_point) {
  Fd directory(open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return absl::ErrnoToStatus(errno, root);
  Result<FoundMountPoint> made = Walk(std::move(directory)).Make(mount_point.path, mount_point.directory);
  if (!made)
    return absl::ErrnoToStatus(made.error().value(), absl::StrCat("mount point ", mount_point.path, " in ", root));
  return std::move(*made);
}

}  // namespace lisafs
