#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <mutex>
#include <shared_mutex>

#include "gofer/file.h"
#include "gofer/handlers.h"

namespace lisafs {
namespace {

// The C library's renameat2 makes another system call for no flags.
int RenameOnHost(int old_dir, const char* old_name, int new_dir, const char* new_name, unsigned flags) {
  return static_cast<int>(syscall(SYS_renameat2, old_dir, old_name, new_dir, new_name, flags));
}

Status UnlinkAt(Connection& connection, const UnlinkAtReq& request) {
  LISAFS_ASSIGN_OR_RETURN(Name name, Name::Make(request.name));
  LISAFS_ASSIGN_OR_RETURN(LockedDirectory directory, LockDirectory(connection, request.dir_fd));
  if (unlinkat(directory.fd(), name.c_str(), static_cast<int>(request.flags)) != 0) return FailWithErrno();
  connection.tree().Remove(directory.control->node(), request.name);
  return {};
}

Status Rename(Connection& connection, const RenameAtReq& request, unsigned flags) {
  LISAFS_ASSIGN_OR_RETURN(Name old_name, Name::Make(request.old_name));
  LISAFS_ASSIGN_OR_RETURN(Name new_name, Name::Make(request.new_name));
  LISAFS_ASSIGN_OR_RETURN(auto old_dir, connection.fds().Get<HostControl>(request.old_dir_fd));
  LISAFS_ASSIGN_OR_RETURN(auto new_dir, connection.fds().Get<HostControl>(request.new_dir_fd));
  if (!old_dir->is_directory() || !new_dir->is_directory()) return Fail(ENOTDIR);

  Node& from = old_dir->node();
  Node& to = new_dir->node();
  std::unique_lock from_lock(from.op_lock(), std::defer_lock);
  std::unique_lock<std::shared_mutex> to_lock;
  if (&from == &to) {
    from_lock.lock();
  } else {
    to_lock = std::unique_lock(to.op_lock(), std::defer_lock);
    std::lock(from_lock, to_lock);
  }
  if (from.deleted() || to.deleted()) return Fail(EINVAL);
  if (&from == &to && request.old_name == request.new_name) return {};

  auto rename = [&](unsigned flags) {
    return RenameOnHost(old_dir->fd(), old_name.c_str(), new_dir->fd(), new_name.c_str(), flags) == 0;
  };
  // A rename between two links to one file succeeds and does nothing: then the old name is still there, which takes a
  // second call to find out. So one that nobody here knows a target of is first tried as one that has none.
  bool moved = flags == 0 && !connection.tree().Has(to, request.new_name) && rename(RENAME_NOREPLACE);
  if (!moved) {
    if (!rename(flags)) return FailWithErrno();
    moved = (flags & RENAME_NOREPLACE) != 0 || !StatName(old_dir->fd(), old_name.c_str());
  }
  if ((flags & RENAME_EXCHANGE) != 0) {
    connection.tree().Exchange(from, request.old_name, to, request.new_name);
  } else if (moved) {
    connection.tree().Move(from, request.old_name, to, request.new_name);
  }
  return {};
}

Status RenameAt(Connection& connection, const RenameAtReq& request) { return Rename(connection, request, 0); }

Status RenameAt2(Connection& connection, const RenameAt2Req& request) {
  if ((request.flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0) return Fail(EINVAL);
  return Rename(connection,
                {.old_dir_fd = request.old_dir_fd,
                 .new_dir_fd = request.new_dir_fd,
                 .old_name = request.old_name,
                 .new_name = request.new_name},
                request.flags);
}

}  // namespace

void ServeNames(HandlerTable& table) {
  table.Serve<Mid::kUnlinkAt, UnlinkAt>(Effect::kWrites);
  table.Serve<Mid::kRenameAt, RenameAt>(Effect::kWrites);
  table.Serve<Mid::kRenameAt2, RenameAt2>(Effect::kWrites);
}

}  // namespace lisafs
