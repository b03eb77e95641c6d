#include "sandbox/oci/source.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/fd.h"

#ifndef MQUEUE_MAGIC
#define MQUEUE_MAGIC 0x19800202
#endif
#ifndef CONFIGFS_MAGIC
#define CONFIGFS_MAGIC 0x62656570
#endif
#ifndef FUSE_CTL_SUPER_MAGIC
#define FUSE_CTL_SUPER_MAGIC 0x65735543
#endif

namespace lisafs {
namespace {

constexpr decltype(statfs::f_type) kKernelFileSystems[] = {
    BINFMTFS_MAGIC,     BPF_FS_MAGIC,     CGROUP2_SUPER_MAGIC,  CGROUP_SUPER_MAGIC, CONFIGFS_MAGIC, DEBUGFS_MAGIC,
    DEVPTS_SUPER_MAGIC, EFIVARFS_MAGIC,   FUSE_CTL_SUPER_MAGIC, MQUEUE_MAGIC,       NSFS_MAGIC,     PROC_SUPER_MAGIC,
    PSTOREFS_MAGIC,     SECURITYFS_MAGIC, SELINUX_MAGIC,        SYSFS_MAGIC,        TRACEFS_MAGIC,
};

absl::Status Failed(const OciMount& mount, int error) {
  return absl::ErrnoToStatus(error, absl::StrCat("mount ", mount.target, ": source ", mount.source));
}

}  // namespace

absl::StatusOr<OciSource> InspectSource(const OciMount& mount) {
  Fd source(open(mount.source.c_str(), O_PATH | O_CLOEXEC));
  struct statx file;
  struct statfs system;
  struct statvfs flags;
  if (!source || statx(source.get(), "", AT_EMPTY_PATH, STATX_TYPE, &file) != 0 ||
      fstatfs(source.get(), &system) != 0 || fstatvfs(source.get(), &flags) != 0) {
    return Failed(mount, errno);
  }
  OciSource out;
  out.directory = S_ISDIR(file.stx_mode);
  bool kernels = std::find(std::begin(kKernelFileSystems), std::end(kKernelFileSystems), system.f_type) !=
                 std::end(kKernelFileSystems);
  bool shared_memory =
      mount.target == "/dev/shm" && system.f_type == TMPFS_MAGIC && (file.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
  out.served = (out.directory || S_ISREG(file.stx_mode)) && !kernels && !shared_memory;
  out.inherited.read_only = (flags.f_flag & ST_RDONLY) != 0;
  out.inherited.nosuid = (flags.f_flag & ST_NOSUID) != 0;
  out.inherited.nodev = (flags.f_flag & ST_NODEV) != 0;
  out.inherited.noexec = (flags.f_flag & ST_NOEXEC) != 0;
  return out;
}

}  // namespace lisafs
