#include "sandbox/fuse_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace lisafs {
namespace {

// The kernel says why it refuses an option only in the file system context's log.
absl::Status ContextError(int context, const std::string& what) {
  int error = errno;
  char line[256];
  ssize_t size = read(context, line, sizeof line);
  std::string why = size > 0 ? absl::StrCat(" (", std::string(line, size), ")") : "";
  return ErrnoStatus(error, absl::StrCat(what, why));
}

}  // namespace

absl::StatusOr<FuseMount> MakeFuseMount(mode_t root_type, const MountAttributes& attributes) {
  FuseMount fuse;
  fuse.device.reset(open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (!fuse.device) {
    return absl::FailedPreconditionError(ErrnoStatus(errno, "/dev/fuse cannot be opened").message());
  }
  Fd context(fsopen("fuse", FSOPEN_CLOEXEC));
  if (!context) return absl::FailedPreconditionError(ErrnoStatus(errno, "fsopen").message());

  const std::pair<const char*, std::string> options[] = {
      {"source", "lisafs"},
      {"subtype", "lisafs"},
      {"fd", absl::StrCat(fuse.device.get())},
      {"rootmode", root_type == S_IFDIR ? "40000" : "100000"},
      {"user_id", "0"},
      {"group_id", "0"},
  };
  for (const auto& [key, value] : options) {
    if (fsconfig(context.get(), FSCONFIG_SET_STRING, key, value.c_str(), 0) != 0) {
      return ContextError(context.get(), absl::StrCat("FUSE option ", key));
    }
  }
  for (const char* flag : {"allow_other", "default_permissions"}) {
    if (fsconfig(context.get(), FSCONFIG_SET_FLAG, flag, nullptr, 0) != 0) {
      return ContextError(context.get(), absl::StrCat("FUSE option ", flag));
    }
  }
  if (fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return ContextError(context.get(), "FUSE file system");
  }
  fuse.mount.reset(fsmount(context.get(), FSMOUNT_CLOEXEC, attributes.Flags()));
  if (!fuse.mount) return ContextError(context.get(), "fsmount");
  return fuse;
}

absl::StatusOr<std::string> FileSystemNumber(const Fd& mount) {
  struct statx stat;
  if (statx(mount.get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &stat) != 0) return ErrnoStatus(errno, "statx");
  return absl::StrCat(stat.stx_dev_major, ":", stat.stx_dev_minor);
}

absl::Status ForgetRootAttributes(const Fd& device) {
  struct stat stat;
  if (fstat(device.get(), &stat) != 0) return ErrnoStatus(errno, "stat");
  constexpr unsigned kMiscMajor = 10, kFuseMinor = 229;
  if (!S_ISCHR(stat.st_mode) || stat.st_rdev != makedev(kMiscMajor, kFuseMinor)) {
    return absl::InvalidArgumentError("not /dev/fuse");
  }
  struct {
    fuse_out_header header;
    fuse_notify_inval_inode_out node;
  } message = {};
  message.header.len = sizeof message;
  message.header.error = FUSE_NOTIFY_INVAL_INODE;
  message.node.ino = FUSE_ROOT_ID;
  // Its attributes alone: pages may be locked by a request that is not answered.
  message.node.off = -1;
  // ENOENT: the kernel does not know them, since nobody has asked yet.
  if (write(device.get(), &message, sizeof message) < 0 && errno != ENOENT) return ErrnoStatus(errno, "notification");
  return absl::OkStatus();
}

absl::StatusOr<Fd> OpenMountPoint(const std::string& path, mode_t root_type) {
  Fd mount_point(open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!mount_point) return ErrnoStatus(errno);
  struct stat stat;
  if (fstat(mount_point.get(), &stat) != 0) return ErrnoStatus(errno, "stat");
  if ((stat.st_mode & S_IFMT) != root_type) {
    return absl::InvalidArgumentError(root_type == S_IFDIR ? "not a directory, as its source is"
                                                           : "not a regular file, as its source is");
  }
  return mount_point;
}

absl::Status AttachMount(int mount, int mount_point) {
  if (move_mount(mount, "", mount_point, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0) {
    return ErrnoStatus(errno, "move_mount");
  }
  return absl::OkStatus();
}

}  // namespace lisafs
