#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <utility>

#include "gofer/file.h"
#include "gofer/handlers.h"
#include "gofer/undo.h"

namespace lisafs {
namespace {

// What of a client's flags is looked at; the others vanish silently.
int KnownFlags(uint32_t flags) { return static_cast<int>(flags & (O_ACCMODE | O_TRUNC)); }

// Linux's fourth access mode opens neither for reading nor for writing.
bool OpensForNothing(int flags) { return (flags & O_ACCMODE) == O_ACCMODE; }

Result<OpenAtResp> OpenAt(Connection& connection, const OpenAtReq& request, Call& call) {
  int flags = KnownFlags(request.flags);
  bool changes = flags != O_RDONLY;
  if (connection.read_only() && changes) return Fail(EROFS);
  LISAFS_ASSIGN_OR_RETURN(auto control, connection.fds().Get<HostControl>(request.fd));
  switch (control->file_type()) {
    case S_IFREG:
      break;
    case S_IFDIR:
      if (changes) return Fail(EISDIR);
      break;
    case S_IFLNK:
      return Fail(EINVAL);
    case S_IFIFO:
      if (!Policy(connection).open_fifos) return Fail(EPERM);
      break;
    case S_IFSOCK:
      return Fail(Policy(connection).open_sockets ? ENXIO : EPERM);
    default:
      // Opening a device acts on the host.
      return Fail(EPERM);
  }
  if (OpensForNothing(flags)) return Fail(EINVAL);
  LISAFS_ASSIGN_OR_RETURN(FdBudget::Share share, connection.budget().TakeForOpenFile());
  LISAFS_ASSIGN_OR_RETURN(Fd fd, Self(connection).Reopen(control->fd(), flags));
  auto open = std::make_shared<HostOpen>(std::move(share), control, std::move(fd), flags & O_ACCMODE);
  if (control->file_type() == S_IFREG) DonateRegular(connection, open, call);
  bool donate_directory = control->is_directory() && connection.options().donate_mount_point;
  // Only the client can wait for what comes through a FIFO; and one that works on directories by itself needs them.
  if (control->file_type() == S_IFIFO || donate_directory) call.donations.Lend(open->fd(), open);
  return OpenAtResp{connection.fds().Insert(std::move(open))};
}

// Gives a new file, open, to the client.
OpenCreateAtResp IssueOpened(Connection& connection, NewControl&& child, FdBudget::Share share, Fd fd, int access,
                             Call& call) {
  auto open = std::make_shared<HostOpen>(std::move(share), child.control, std::move(fd), access);
  DonateRegular(connection, open, call);
  OpenCreateAtResp response;
  response.child = Issue(connection, std::move(child));
  response.open_fd = connection.fds().Insert(std::move(open));
  return response;
}

Result<OpenCreateAtResp> OpenCreateAt(Connection& connection, const OpenCreateAtReq& request, Call& call) {
  LISAFS_ASSIGN_OR_RETURN(Name name, Name::Make(request.name));
  LISAFS_ASSIGN_OR_RETURN(LockedDirectory directory, LockDirectory(connection, request.common.dir_fd));
  int access = static_cast<int>(request.flags & O_ACCMODE);
  if (OpensForNothing(access)) return Fail(EINVAL);
  LISAFS_ASSIGN_OR_RETURN(FdBudget::Share control_share, connection.budget().TakeForOpenFile());
  LISAFS_ASSIGN_OR_RETURN(FdBudget::Share open_share, connection.budget().TakeForOpenFile());

  const CreateCommon& common = request.common;
  Fd fd(openat(directory.fd(), name.c_str(), access | O_CREAT | O_EXCL | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC,
               common.mode & 07777));
  if (!fd) return FailWithErrno();
  UndoCreation undo(directory.fd(), name, 0);
  LISAFS_ASSIGN_OR_RETURN(Statx stat, StatFd(fd.get()));
  LISAFS_ASSIGN_OR_RETURN(stat, SetNewOwner(Self(connection), fd.get(), stat, common.uid, common.gid, common.mode));
  // From the descriptor, not from the name: that may be another file's by now.
  LISAFS_ASSIGN_OR_RETURN(Fd control, Self(connection).Reopen(fd.get(), O_PATH));
  undo.Cancel();
  return IssueOpened(
      connection, AdoptChild(connection, std::move(control_share), *directory.control, name, std::move(control), stat),
      std::move(open_share), std::move(fd), access, call);
}

// The file stands nowhere in the tree, and its control FD stays where it stands: LinkAt gives the name to another.
Result<OpenCreateAtResp> OpenUnnamed(Connection& connection, const OpenUnnamedReq& request, Call& call) {
  LISAFS_ASSIGN_OR_RETURN(LockedDirectory directory, LockDirectory(connection, request.common.dir_fd));
  int access = static_cast<int>(request.flags & O_ACCMODE);
  if (access != O_WRONLY && access != O_RDWR) return Fail(EINVAL);
  LISAFS_ASSIGN_OR_RETURN(FdBudget::Share control_share, connection.budget().TakeForOpenFile());
  LISAFS_ASSIGN_OR_RETURN(FdBudget::Share open_share, connection.budget().TakeForOpenFile());

  const CreateCommon& common = request.common;
  Fd fd(openat(directory.fd(), ".", access | O_TMPFILE | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC, common.mode & 07777));
  if (!fd) return FailWithErrno();
  LISAFS_ASSIGN_OR_RETURN(Statx stat, StatFd(fd.get()));
  LISAFS_ASSIGN_OR_RETURN(stat, SetNewOwner(Self(connection), fd.get(), stat, common.uid, common.gid, common.mode));
  LISAFS_ASSIGN_OR_RETURN(Fd control, Self(connection).Reopen(fd.get(), O_PATH));
  NewControl child = {std::make_shared<HostControl>(std::move(control_share), connection.tree().MakeRoot(), S_IFREG,
                                                    std::move(control)),
                      stat};
  return IssueOpened(connection, std::move(child), std::move(open_share), std::move(fd), access, call);
}

// With a backing id the client's kernel opens the file again in whatever mode the container asks for, checking only
// that the mount is writable. What else an open for writing is refused for (a file's attributes) is looked at here.
Status MayBeBacking(int fd) {
  struct statx host;
  if (statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_TYPE, &host) != 0) return FailWithErrno();
  if (!S_ISREG(host.stx_mode)) return Fail(EINVAL);
  if (host.stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND)) return Fail(EACCES);
  return {};
}

Result<OpenBackingResp> OpenBacking(Connection& connection, const FdReq& request) {
  // With a backing file a client's kernel could do what is refused now.
  if (connection.restricted(kBypassDonated | kWithholdPassthrough)) return Fail(EACCES);
  LISAFS_ASSIGN_OR_RETURN(auto open, connection.fds().Get<HostOpen>(request.fd));
  LISAFS_RETURN_IF_ERROR(MayBeBacking(open->fd()));
  LISAFS_ASSIGN_OR_RETURN(uint32_t id, open->BackingId([&] { return MountOf(connection).OpenBacking(open->fd()); }));
  LISAFS_ASSIGN_OR_RETURN(Statx stat, StatFd(open->fd()));
  return OpenBackingResp{.backing_id = id, .stat = stat};
}

Status SetDonation(Connection& connection, const SetDonationReq& request) {
  if (request.donate > 1) return Fail(EINVAL);
  MountOf(connection).set_donates(request.donate == 1);
  return {};
}

}  // namespace

void ServeBacking(HandlerTable& table) { table.Serve<Mid::kOpenBacking, OpenBacking>(); }

void ServeOpening(HandlerTable& table) {
  table.Serve<Mid::kOpenAt, OpenAt>();
  table.Serve<Mid::kSetDonation, SetDonation>();
  table.Serve<Mid::kOpenCreateAt, OpenCreateAt>(Effect::kWrites);
  table.Serve<Mid::kOpenUnnamed, OpenUnnamed>(Effect::kWrites);
}

}  // namespace lisafs
