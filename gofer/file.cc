#include "gofer/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

namespace lisafs {
namespace {

Result<Statx> Stat(int directory, const char* name, int flags) {
  struct statx host;
  if (statx(directory, name, flags | AT_NO_AUTOMOUNT, STATX_BASIC_STATS | STATX_BTIME, &host) != 0) {
    return FailWithErrno();
  }
  // The wire's Statx is the start of the kernel's.
  Statx stat;
  static_assert(offsetof(struct statx, stx_dev_minor) + sizeof host.stx_dev_minor == sizeof stat);
  memcpy(static_cast<void*>(&stat), &host, sizeof stat);
  stat.attributes = 0;
  stat.attributes_mask = 0;
  return stat;
}

}  // namespace

bool HostOpen::readable() const { return flags_ != O_WRONLY; }

bool HostOpen::writable() const { return flags_ != O_RDONLY; }

Result<MountPoint::Root> HostMount::OpenRoot(FdBudget::Share share) {
  LISAFS_ASSIGN_OR_RETURN(Fd fd, Duplicate(tree_.get()));
  LISAFS_ASSIGN_OR_RETURN(Statx stat, StatFd(fd.get()));
  return Root{std::make_shared<HostControl>(std::move(share), root(), stat.mode & S_IFMT, std::move(fd)), stat};
}

Result<Fd> HostMount::OpenRootForClient() {
  LISAFS_ASSIGN_OR_RETURN(Statx stat, StatFd(tree_.get()));
  // Opening anything else acts on the host.
  bool opens = S_ISDIR(stat.mode) || S_ISREG(stat.mode);
  return self_.Reopen(tree_.get(), opens ? O_RDONLY : O_PATH);
}

Result<Backing> HostMount::OpenBacking(int fd) {
  if (passthrough_.broker == nullptr) return Fail(EOPNOTSUPP);
  return passthrough_.broker->Open(passthrough_.mount, fd);
}

HostMount& MountOf(Connection& connection) { return static_cast<HostMount&>(connection.mount()); }

const SelfFds& Self(Connection& connection) { return MountOf(connection).self(); }

const HostPolicy& Policy(Connection& connection) { return static_cast<HostMount&>(connection.mount()).policy(); }

Result<Statx> StatFd(int fd) { return Stat(fd, "", AT_EMPTY_PATH); }

Result<Statx> StatName(int directory, const char* name) { return Stat(directory, name, AT_SYMLINK_NOFOLLOW); }

Result<NewControl> OpenChild(Connection& connection, FdBudget::Share share, HostControl& directory, const Name& name) {
  Fd child(openat(directory.fd(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!child) return FailWithErrno();
  LISAFS_ASSIGN_OR_RETURN(Statx stat, StatFd(child.get()));
  return AdoptChild(connection, std::move(share), directory, name, std::move(child), stat);
}

NewControl AdoptChild(Connection& connection, FdBudget::Share share, HostControl& directory, const Name& name, Fd child,
                      const Statx& stat) {
  NodeRef node = connection.tree().Child(directory.node(), name.view());
  return {std::make_shared<HostControl>(std::move(share), std::move(node), stat.mode & S_IFMT, std::move(child)), stat};
}

Inode Issue(Connection& connection, NewControl&& made) {
  return {.control_fd = connection.fds().Insert(std::move(made.control)), .stat = made.stat};
}

Result<Fd> Duplicate(int fd) {
  Fd copy(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy) return FailWithErrno();
  return copy;
}

void DonateRegular(Connection& connection, const std::shared_ptr<HostOpen>& open, Call& call) {
  if (!connection.options().donate_regular_files || connection.restricted(kBypassDonated)) return;
  if (!MountOf(connection).donates()) return;
  call.donations.Lend(open->fd(), open);
}

Result<LockedDirectory> LockDirectory(Connection& connection, Fdid fd) {
  LISAFS_ASSIGN_OR_RETURN(auto control, connection.fds().Get<HostControl>(fd));
  if (!control->is_directory()) return Fail(ENOTDIR);
  std::unique_lock lock(control->node().op_lock());
  if (control->node().deleted()) return Fail(EINVAL);
  return LockedDirectory{std::move(control), std::move(lock)};
}

Result<Statx> SetNewOwner(const SelfFds& self, int fd, Statx stat, uint32_t uid, uint32_t gid, uint32_t mode) {
  // What the gofer makes is root's already, unless the directory passes its group on.
  const bool is_its_owners = (uid == kNoId || uid == stat.uid) && (gid == kNoId || gid == stat.gid);
  if (!is_its_owners) {
    if (fchownat(fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0) return FailWithErrno();
    LISAFS_ASSIGN_OR_RETURN(stat, StatFd(fd));
  }
  uint32_t lost = mode & (S_ISUID | S_ISGID) & ~stat.mode;
  if (lost == 0) return stat;
  LISAFS_RETURN_IF_ERROR(self.Chmod(fd, (stat.mode & ~S_IFMT) | lost));
  return StatFd(fd);
}

}  // namespace lisafs
