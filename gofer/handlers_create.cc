#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "gofer/file.h"
#include "gofer/handlers.h"
#include "gofer/undo.h"

namespace lisafs {
namespace {

// As a system call fails.
int FailingWith(int error) {
  errno = error;
  return -1;
}

// Makes `name` in the directory with `make`, a call that fails if it exists, and gives it to its owner. What was made
// is removed again if anything fails after that.
template <typename Make>
Result<InodeResp> Create(Connection& connection, const CreateCommon& common, std::string_view name_view, int undo_flags,
                         Make&& make) {
  LISAFS_ASSIGN_OR_RETURN(Name name, Name::Make(name_view));
  LISAFS_ASSIGN_OR_RETURN(LockedDirectory directory, LockDirectory(connection, common.dir_fd));
  LISAFS_ASSIGN_OR_RETURN(FdBudget::Share share, connection.budget().Take());
  if (make(directory.fd(), name.c_str()) != 0) return FailWithErrno();
  UndoCreation undo(directory.fd(), name, undo_flags);
  LISAFS_ASSIGN_OR_RETURN(NewControl child, OpenChild(connection, std::move(share), *directory.control, name));
  LISAFS_ASSIGN_OR_RETURN(
      child.stat, SetNewOwner(Self(connection), child.control->fd(), child.stat, common.uid, common.gid, common.mode));
  undo.Cancel();
  return InodeResp{Issue(connection, std::move(child))};
}

Result<InodeResp> MkdirAt(Connection& connection, const MkdirAtReq& request) {
  return Create(connection, request.common, request.name, AT_REMOVEDIR,
                [&](int directory, const char* name) { return mkdirat(directory, name, request.common.mode & 07777); });
}

// A regular file, or what overlayfs takes for "removed": no privilege is needed to make either.
bool IsOrdinary(const MknodAtReq& request) {
  switch (request.common.mode & S_IFMT) {
    case S_IFREG:
      return true;
    case S_IFCHR:
      return request.major == 0 && request.minor == 0;
    default:
      return false;
  }
}

Result<InodeResp> MakeNode(Connection& connection, const MknodAtReq& request, bool allowed) {
  return Create(connection, request.common, request.name, 0, [&](int directory, const char* name) {
    if (!allowed) return FailingWith(EPERM);
    return mknodat(directory, name, request.common.mode, 0);
  });
}

Result<InodeResp> MknodAt(Connection& connection, const MknodAtReq& request) {
  return MakeNode(connection, request, IsOrdinary(request));
}

Result<InodeResp> MakeNodeAt(Connection& connection, const MknodAtReq& request) {
  uint32_t type = request.common.mode & S_IFMT;
  return MakeNode(connection, request, type == S_IFIFO || type == S_IFSOCK || IsOrdinary(request));
}

Result<InodeResp> SymlinkAt(Connection& connection, const SymlinkAtReq& request) {
  const std::string target(request.target);
  CreateCommon common = {.dir_fd = request.dir_fd, .uid = request.uid, .gid = request.gid};
  return Create(connection, common, request.name, 0, [&](int directory, const char* name) {
    if (target.find('\0') != target.npos) return FailingWith(EINVAL);
    return symlinkat(target.c_str(), directory, name);
  });
}

Result<InodeResp> LinkAt(Connection& connection, const LinkAtReq& request) {
  LISAFS_ASSIGN_OR_RETURN(Name name, Name::Make(request.name));
  LISAFS_ASSIGN_OR_RETURN(LockedDirectory directory, LockDirectory(connection, request.dir_fd));
  LISAFS_ASSIGN_OR_RETURN(auto target, connection.fds().Get<HostControl>(request.target_fd));
  if (target->is_directory()) return Fail(EPERM);
  if (target->node().deleted()) return Fail(EINVAL);
  LISAFS_ASSIGN_OR_RETURN(FdBudget::Share share, connection.budget().Take());
  LISAFS_RETURN_IF_ERROR(Self(connection).Link(target->fd(), directory.fd(), name.c_str()));
  UndoCreation undo(directory.fd(), name, 0);
  LISAFS_ASSIGN_OR_RETURN(NewControl child, OpenChild(connection, std::move(share), *directory.control, name));
  undo.Cancel();
  return InodeResp{Issue(connection, std::move(child))};
}

}  // namespace

void ServeCreating(HandlerTable& table) {
  table.Serve<Mid::kMkdirAt, MkdirAt>(Effect::kWrites);
  table.Serve<Mid::kMknodAt, MknodAt>(Effect::kWrites);
  table.Serve<Mid::kMakeNodeAt, MakeNodeAt>(Effect::kWrites);
  table.Serve<Mid::kSymlinkAt, SymlinkAt>(Effect::kWrites);
  table.Serve<Mid::kLinkAt, LinkAt>(Effect::kWrites);
}

}  // namespace lisafs
