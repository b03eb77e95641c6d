#include <fcntl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine/confine.h"

namespace lisafs {
namespace {

// A detached tmpfs that holds nothing and takes nothing.
StepResult<Fd> MakeEmptyMount() {
  Fd context(fsopen("tmpfs", FSOPEN_CLOEXEC));
  if (!context) return FailStepWithErrno("fsopen tmpfs");
  struct Option {
    fsconfig_command command;
    const char* key;
    const char* value;
  };
  constexpr Option kOptions[] = {
      {FSCONFIG_SET_STRING, "source", "none"}, {FSCONFIG_SET_STRING, "size", "4k"},
      {FSCONFIG_SET_STRING, "nr_inodes", "2"}, {FSCONFIG_SET_STRING, "mode", "0555"},
      {FSCONFIG_SET_FLAG, "ro", nullptr},      {FSCONFIG_CMD_CREATE, nullptr, nullptr},
  };
  for (const Option& option : kOptions) {
    if (fsconfig(context.get(), option.command, option.key, option.value, 0) < 0) {
      return FailStep(std::string("fsconfig tmpfs ") + (option.key ? option.key : "create"), Errno::Last());
    }
  }
  Fd mount(fsmount(context.get(), FSMOUNT_CLOEXEC,
                   MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC));
  if (!mount) return FailStepWithErrno("fsmount tmpfs");
  return mount;
}

}  // namespace

StepResult<Fd> OpenProcSelfFd() {
  // /proc is the host's, in which this process has another number than in its own pid namespace; "self" is right in
  // either. The detached copy keeps just that directory when the rest of /proc goes.
  Fd directory(open_tree(AT_FDCWD, "/proc/self/fd", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!directory) return FailStepWithErrno("open_tree /proc/self/fd");
  return directory;
}

StepResult<void> EmptyRoot() {
  // First, so that nothing below reaches the namespace that this one was copied from.
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) return FailStepWithErrno("make / private");
  auto empty = MakeEmptyMount();
  if (!empty) return tl::unexpected(empty.error());
  if (move_mount(empty->get(), "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0) {
    return FailStepWithErrno("move_mount the empty root");
  }
  if (fchdir(empty->get()) < 0) return FailStepWithErrno("fchdir to the empty root");
  // pivot_root(".", ".") stacks the old root upon the new one, where "." finds it to unmount; see pivot_root(2).
  if (syscall(SYS_pivot_root, ".", ".") < 0) return FailStepWithErrno("pivot_root");
  if (umount2(".", MNT_DETACH) < 0) return FailStepWithErrno("unmount the old root");
  if (chdir("/") < 0) return FailStepWithErrno("chdir /");
  return {};
}

}  // namespace lisafs
