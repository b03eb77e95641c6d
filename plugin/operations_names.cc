// Names: made, removed and changed.

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>

#include "plugin/operations.h"

namespace lisafs {

Status Operations::MakeDir(Call& call, const fuse_mkdir_in& in, Reply& reply) {
  LISAFS_ASSIGN_OR_RETURN(std::string_view name, call.arguments.TakeName());
  LISAFS_ASSIGN_OR_RETURN(Pinned directory, nodes_.Pin(call.header.nodeid));
  NamesChange change(directory.node());
  LISAFS_ASSIGN_OR_RETURN(
      InodeResp made,
      client_.Call<Mid::kMkdirAt>(
          {.common = Creation(directory, call.header, Masked(directory, in.mode, in.umask) | S_IFDIR), .name = name}));
  AddEntry(directory, name, made.child, reply.Append<fuse_entry_out>(), reply);
  return {};
}

Status Operations::MakeNode(Call& call, const fuse_mknod_in& in, Reply& reply) {
  LISAFS_ASSIGN_OR_RETURN(std::string_view name, call.arguments.TakeName());
  LISAFS_ASSIGN_OR_RETURN(Pinned directory, nodes_.Pin(call.header.nodeid));
  NamesChange change(directory.node());
  MknodAtReq request{.common = Creation(directory, call.header, Masked(directory, in.mode, in.umask)), .name = name};
  Result<InodeResp> made = Fail(EPERM);                          // No devices.
  if (S_ISREG(in.mode) || (S_ISCHR(in.mode) && in.rdev == 0)) {  // The latter is an overlay's whiteout.
    made = client_.Call<Mid::kMknodAt>(request);
  } else if ((S_ISFIFO(in.mode) || S_ISSOCK(in.mode)) && client_.Supports(Mid::kMakeNodeAt)) {
    made = client_.Call<Mid::kMakeNodeAt>(request);
  }
  if (!made) return Fail(made.error());
  AddEntry(directory, name, made->child, reply.Append<fuse_entry_out>(), reply);
  return {};
}

Status Operations::Symlink(Call& call, const None&, Reply& reply) {
  LISAFS_ASSIGN_OR_RETURN(std::string_view name, call.arguments.TakeName());
  LISAFS_ASSIGN_OR_RETURN(std::string_view target, call.arguments.TakeString());
  LISAFS_ASSIGN_OR_RETURN(Pinned directory, nodes_.Pin(call.header.nodeid));
  NamesChange change(directory.node());
  CreateCommon owner = Creation(directory, call.header, S_IFLNK);
  LISAFS_ASSIGN_OR_RETURN(
      InodeResp made,
      client_.Call<Mid::kSymlinkAt>(
          {.dir_fd = owner.dir_fd, .uid = owner.uid, .gid = owner.gid, .name = name, .target = target}));
  AddEntry(directory, name, made.child, reply.Append<fuse_entry_out>(), reply);
  return {};
}

Status Operations::Link(Call& call, const fuse_link_in& in, Reply& reply) {
  LISAFS_ASSIGN_OR_RETURN(std::string_view name, call.arguments.TakeName());
  LISAFS_ASSIGN_OR_RETURN(Pinned target, nodes_.Pin(in.oldnodeid));
  LISAFS_ASSIGN_OR_RETURN(Pinned directory, nodes_.Pin(call.header.nodeid));
  NamesChange change(directory.node());
  LISAFS_ASSIGN_OR_RETURN(
      InodeResp made, client_.Call<Mid::kLinkAt>({.dir_fd = directory.fd(), .target_fd = target.fd(), .name = name}));
  AddEntry(directory, name, made.child, reply.Append<fuse_entry_out>(), reply);
  return {};
}

Status Operations::Unlink(Call& call, const None&, Reply&) { return Remove(call, 0); }

Status Operations::RemoveDir(Call& call, const None&, Reply&) { return Remove(call, AT_REMOVEDIR); }

Status Operations::Rename(Call& call, const fuse_rename_in& in, Reply&) { return RenameChild(call, in.newdir, 0); }

Status Operations::Rename2(Call& call, const fuse_rename2_in& in, Reply&) {
  return RenameChild(call, in.newdir, in.flags);
}

Status Operations::Remove(Call& call, uint32_t flags) {
  LISAFS_ASSIGN_OR_RETURN(std::string_view name, call.arguments.TakeName());
  LISAFS_ASSIGN_OR_RETURN(Pinned directory, nodes_.Pin(call.header.nodeid));
  NamesChange change(directory.node());
  Pinned doomed = PinDoomed(directory, name);
  LISAFS_RETURN_IF_ERROR(client_.Call<Mid::kUnlinkAt>({.dir_fd = directory.fd(), .flags = flags, .name = name}));
  nodes_.Unlinked(directory.node(), name);
  return {};
}

Status Operations::RenameChild(Call& call, uint64_t new_directory, uint32_t flags) {
  if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0) return Fail(EINVAL);
  LISAFS_ASSIGN_OR_RETURN(std::string_view old_name, call.arguments.TakeName());
  LISAFS_ASSIGN_OR_RETURN(std::string_view new_name, call.arguments.TakeName());
  LISAFS_ASSIGN_OR_RETURN(Pinned from, nodes_.Pin(call.header.nodeid));
  LISAFS_ASSIGN_OR_RETURN(Pinned to, nodes_.Pin(new_directory));
  NamesChange change_from(from.node()), change_to(to.node());
  Pinned doomed;
  if (flags == 0) doomed = PinDoomed(to, new_name);

  auto renaming = nodes_.LockForRename();
  if (flags == 0) {
    LISAFS_RETURN_IF_ERROR(client_.Call<Mid::kRenameAt>(
        {.old_dir_fd = from.fd(), .new_dir_fd = to.fd(), .old_name = old_name, .new_name = new_name}));
  } else {
    if (!client_.Supports(Mid::kRenameAt2)) return Fail(EINVAL);
    LISAFS_RETURN_IF_ERROR(client_.Call<Mid::kRenameAt2>(
        {.old_dir_fd = from.fd(), .new_dir_fd = to.fd(), .old_name = old_name, .new_name = new_name, .flags = flags}));
  }
  if (flags & RENAME_EXCHANGE) {
    nodes_.Exchanged(from.node(), old_name, to.node(), new_name);
  } else {
    nodes_.Renamed(from.node(), old_name, to.node(), new_name);
  }
  return {};
}

Pinned Operations::PinDoomed(const Pinned& directory, std::string_view name) {
  NodeRef child = nodes_.FindChild(directory.node(), name);
  if (!child) return Pinned();
  auto pinned = nodes_.Pin(child);
  while (!pinned && pinned.error() == Errno(EMFILE) && nodes_.ReduceBudget()) pinned = nodes_.Pin(child);
  // If it is not there any more, then what is there instead is not what somebody uses. And removing must not fail for
  // want of descriptors: it is how they come free.
  return pinned ? *std::move(pinned) : Pinned();
}

}  // namespace lisafs
