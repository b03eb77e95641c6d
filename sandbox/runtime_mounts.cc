#include "sandbox/runtime_mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/fd.h"

namespace lisafs {
namespace {

// Everybody may pass: in a container with a user namespace of its own, root is somebody else here.
constexpr mode_t kPassOnly = 0711;
// On the host the last of these stays an empty directory. The low-level runtime keeps the root's path in its state, and
// runc changes to it before it enters the container, whenever it executes something there.
constexpr const char* kHostDirectories[] = {"/run/lisafs", kMountDirectory, "/run/lisafs/mnt/rootfs"};
// Mount points and a config.json, of which OciConfig limits the size.
constexpr char kTmpfsOptions[] = "mode=0711,size=64m,nr_inodes=1k";

// Makes a directory, or lets everybody pass through the one that is there: lisafsd makes /run/lisafs for its owner
// alone. What is in it has modes of its own.
absl::Status MakePassable(const char* directory) {
  if (mkdir(directory, kPassOnly) == 0) return absl::OkStatus();
  struct stat attributes;
  if (errno != EEXIST || stat(directory, &attributes) != 0) return absl::ErrnoToStatus(errno, directory);
  mode_t mode = attributes.st_mode & 07777;
  if ((mode & kPassOnly) != kPassOnly && chmod(directory, mode | kPassOnly) != 0)
    return absl::ErrnoToStatus(errno, directory);
  return absl::OkStatus();
}

}  // namespace

absl::Status EnterMountNamespace() {
  for (const char* directory : kHostDirectories) {
    if (absl::Status made = MakePassable(directory); !made.ok()) return made;
  }
  if (unshare(CLONE_NEWNS) != 0) return absl::ErrnoToStatus(errno, "a mount namespace of its own");
  if (mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) {
    return absl::ErrnoToStatus(errno, "keeping mounts from the host");
  }
  if (mount("lisafs", kMountDirectory, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, kTmpfsOptions) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("tmpfs on ", kMountDirectory));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> StageMountPoint(const std::string& name, bool directory) {
  std::string path = absl::StrCat(kMountDirectory, "/", name);
  bool made;
  if (directory) {
    made = mkdir(path.c_str(), kPassOnly) == 0;
  } else {
    made = Fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)).valid();
  }
  if (!made) return absl::ErrnoToStatus(errno, path);
  return path;
}

absl::StatusOr<std::string> StageFile(const std::string& name, const std::string& text) {
  std::string path = absl::StrCat(kMountDirectory, "/", name);
  Fd file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file) return absl::ErrnoToStatus(errno, path);
  for (size_t written = 0; written < text.size();) {
    ssize_t count = write(file.get(), text.data() + written, text.size() - written);
    if (count < 0) return absl::ErrnoToStatus(errno, path);
    written += static_cast<size_t>(count);
  }
  return path;
}

absl::Status ReplaceFile(const std::string& path, const std::string& text) {
  absl::StatusOr<std::string> replacement = StageFile("config.json", text);
  if (!replacement.ok()) return replacement.status();
  if (mount(replacement->c_str(), path.c_str(), nullptr, MS_BIND, nullptr) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("mounting the rewritten file on ", path));
  }
  return absl::OkStatus();
}

}  // namespace lisafs
