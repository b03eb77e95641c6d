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

// Gives the client the host's descriptor with the response, if the connection is to. A descriptor that cannot be
// duplicated is not an error: the client then reads and writes by messages.
void DonateRegular(Connection& connection, int fd, Call& call) {
  if (!connection.options().donate_regular_files) return;
  Fd copy(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (copy) call.donations.Add(std::move(copy));
}

// What of a client's flags is looked at; the others vanish silently.
int KnownFlags(uint32_t flags) { return static_cast<int>(flags & (O_ACCMODE | O_TRUNC)); }

// Linux's fourth access mode opens neither for reading nor for writing.
bool OpensForNothing(int flags) { return (flags & O_ACCMODE) == O_ACCMODE; }

Result<OpenAtResp> OpenAt(Connection& connection, const OpenAtReq& request, Call& call) {
  int flags = KnownFlags(request.flags);
  bool changes = flags != O_RDONLY;
  if (connection.options().read_only && changes) return Fail(EROFS);
  LISAFS_ASSIGN_OR_RETURN(auto control, connection.fds().Get<HostControl>(request.fd));
  switch (control->file_type()) {
    case S_IFREG:
      break;
    case S_IFDIR:
      if (changes) return Fail(EISDIR);
      break;
    case S_IFLNK:
      return Fail(EINVAL);
    default:
      // Opening a device or a FIFO acts on the host.
      return Fail(EPERM);
  }
  if (OpensForNothing(flags)) return Fail(EINVAL);
  LISAFS_ASSIGN_OR_RETURN(FdBudget::Share share, connection.budget().Take());
  LISAFS_ASSIGN_OR_RETURN(Fd fd, Self(connection).Reopen(control->fd(), flags));
  if (control->file_type() == S_IFREG) DonateRegular(connection, fd.get(), call);
  auto open = std::make_shared<HostOpen>(std::move(share), std::move(control), std::move(fd), flags & O_ACCMODE);
  return OpenAtResp{connection.fds().Insert(std::move(open))};
}

Result<OpenCreateAtResp> OpenCreateAt(Connection& connection, const OpenCreateAtReq& request, Call& call) {
  LISAFS_ASSIGN_OR_RETURN(Name name, Name::Make(request.name));
  LISAFS_ASSIGN_OR_RETURN(LockedDirectory directory, LockDirectory(connection, request.common.dir_fd));
  int access = static_cast<int>(request.flags & O_ACCMODE);
  if (OpensForNothing(access)) return Fail(EINVAL);
  LISAFS_ASSIGN_OR_RETURN(FdBudget::Share control_share, connection.budget().Take());
  LISAFS_ASSIGN_OR_RETURN(FdBudget::Share open_share, connection.budget().Take());

  const CreateCommon& common = request.common;
  Fd fd(openat(directory.fd(), name.c_str(), access | O_CREAT | O_EXCL | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC,
               common.mode & 07777));
  if (!fd) return FailWithErrno();
  UndoCreation undo(directory.fd(), name, 0);
  LISAFS_ASSIGN_OR_RETURN(Statx stat, SetNewOwner(Self(connection), fd.get(), common.uid, common.gid, common.mode));
  // From the descriptor, not from the name: that may be another file's by now.
  LISAFS_ASSIGN_OR_RETURN(Fd control, Self(connection).Reopen(fd.get(), O_PATH));
  undo.Cancel();

  NewControl child =
      AdoptChild(connection, std::move(control_share), *directory.control, name, std::move(control), stat);
  DonateRegular(connection, fd.get(), call);
  auto open = std::make_shared<HostOpen>(std::move(open_share), child.control, std::move(fd), access);
  OpenCreateAtResp response;
  response.child = Issue(connection, std::move(child));
  response.open_fd = connection.fds().Insert(std::move(open));
  return response;
}

}  // namespace

void ServeOpening(HandlerTable& table) {
  table.Serve<Mid::kOpenAt, OpenAt>();
  table.Serve<Mid::kOpenCreateAt, OpenCreateAt>(Effect::kWrites);
}

}  // namespace lisafs
