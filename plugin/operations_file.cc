// Open files: what opens, makes and closes them.

#include <fcntl.h>
#include <sys/stat.h>

#include "plugin/operations.h"

namespace lisafs {
namespace {

// What of open(2)'s flags reaches the host. The kernel sees to the rest: it appends at offsets of its own, and an
// exclusive creation is one here anyhow. What is opened to be executed the gofer only takes note of.
constexpr uint32_t kHostFlags = O_ACCMODE | O_TRUNC | kOpenToExecute;

// How often a file that others make and remove at the same time may slip away before that is an error.
constexpr int kCreateTries = 100;

}  // namespace

Status Operations::Open(Call& call, const fuse_open_in& in, Reply& reply) {
  auto& open = reply.Append<fuse_open_out>();
  if (auto kept = FindKeptOpen(call.header.nodeid, in.flags)) {
    AddHandle(std::move(kept), false, open, reply);
    return {};
  }
  LISAFS_ASSIGN_OR_RETURN(Pinned node, nodes_.Pin(call.header.nodeid));
  LISAFS_ASSIGN_OR_RETURN(auto handle, OpenNode(node, in.flags));
  if (in.open_flags & FUSE_OPEN_KILL_SUIDGID) LISAFS_RETURN_IF_ERROR(DropSetId(node, reply));
  if (handle->executes) waker_.AwaitClosed(node.node());
  AddHandle(handle, false, open, reply);
  KeepOpen(handle, in.flags);
  return {};
}

Result<std::shared_ptr<Handle>> Operations::FindOpen(uint64_t nodeid, uint64_t fh) {
  if (fh != 0 || !opens_by_itself_) return handles_.Find(fh);
  if (auto kept = FindKeptOpen(nodeid, O_RDONLY)) return kept;
  LISAFS_ASSIGN_OR_RETURN(Pinned node, nodes_.Pin(nodeid));
  LISAFS_ASSIGN_OR_RETURN(auto handle, OpenNode(node, O_RDONLY));
  KeepOpen(handle, O_RDONLY);
  return handle;
}

std::shared_ptr<Handle> Operations::FindKeptOpen(uint64_t nodeid, uint32_t flags) {
  if (flags & (O_ACCMODE | O_TRUNC)) {
    DropKeptOpen(nodeid);
    return nullptr;
  }
  // Who executes a file has to wait for the waker, if there is one since the mount was shared.
  if (!exclusive() || ((flags & kOpenToExecute) && waker_.connected())) return nullptr;
  return open_files_.Find(nodeid, options_.policy->Restrictions());
}

void Operations::KeepOpen(const std::shared_ptr<Handle>& handle, uint32_t flags) {
  const uint32_t restrictions = options_.policy->Restrictions();
  if ((flags & (O_ACCMODE | O_TRUNC)) || !exclusive() || handle->node->has_writers()) return;
  // Who is revoked or limited asks for each.
  if (restrictions & (kRevoked | kLimited)) return;
  io_modes_.Enter(handle, false, nullptr);
  if (auto gone = open_files_.Keep(handle, restrictions)) io_modes_.Leave(*gone);
}

void Operations::DropKeptOpen(uint64_t nodeid) {
  if (auto gone = open_files_.Drop(nodeid)) io_modes_.Leave(*gone);
}

void Operations::DropAllKeptOpen() {
  for (const auto& handle : open_files_.DropAll()) io_modes_.Leave(*handle);
}

Status Operations::Create(Call& call, const fuse_create_in& in, Reply& reply) {
  LISAFS_ASSIGN_OR_RETURN(std::string_view name, call.arguments.TakeName());
  LISAFS_ASSIGN_OR_RETURN(Pinned directory, nodes_.Pin(call.header.nodeid));
  for (int tries = 0; tries < kCreateTries; ++tries) {
    LISAFS_ASSIGN_OR_RETURN(bool done, TryCreate(directory, name, call.header, in, reply));
    if (done) return {};
    TakeBack(reply);
  }
  return Fail(ESTALE);
}

Result<bool> Operations::TryCreate(const Pinned& directory, std::string_view name, const fuse_in_header& header,
                                   const fuse_create_in& in, Reply& reply) {
  NamesChange change(directory.node());
  auto& entry = reply.Append<fuse_entry_out>();
  auto& open = reply.Append<fuse_open_out>();

  Donations donated;
  auto created =
      client_.Call<Mid::kOpenCreateAt>({.common = Creation(directory, header, Masked(directory, in.mode, in.umask)),
                                        .flags = in.flags & kHostFlags,
                                        .name = name},
                                       &donated);
  if (created) {
    AddEntry(directory, name, created->child, entry, reply);
    auto node = nodes_.Pin(entry.nodeid);
    if (!node) {
      // Its control FD had to go at once, and is not to be had again. A call that fails leaves nothing.
      client_.CloseLater(created->open_fd);
      (void)client_.Call<Mid::kUnlinkAt>({.dir_fd = directory.fd(), .name = name});
      return Fail(node.error());
    }
    node->node().LacksXattrFor(kXattrLifetime, 0);
    AddHandle(std::make_shared<Handle>(client_, *std::move(node), created->open_fd, donated.Take(0), in.flags), true,
              open, reply);
    SetAttributeLifetime(entry, entry.nodeid);
    return true;
  }
  if (created.error() != Errno(EEXIST) || (in.flags & O_EXCL)) return Fail(created.error());

  // Somebody made one since the kernel looked. It may be removed again before it is open.
  auto gone = [](Errno error) { return error == Errno(ENOENT) || error == Errno(ESTALE); };
  auto stat = StatChild(directory, name);
  if (!stat) return gone(stat.error()) ? Result<bool>(false) : Fail(stat.error());
  if (!S_ISREG(stat->mode)) return Fail(ESTALE);  // The kernel looks again and sees a link or a directory.
  AddEntry(directory, name, Inode{.stat = *stat}, entry, reply);
  auto node = nodes_.Pin(entry.nodeid);
  if (!node) return gone(node.error()) ? Result<bool>(false) : Fail(node.error());
  DropKeptOpen(entry.nodeid);
  LISAFS_ASSIGN_OR_RETURN(auto handle, OpenNode(*node, in.flags));
  if (in.open_flags & FUSE_OPEN_KILL_SUIDGID) LISAFS_RETURN_IF_ERROR(DropSetId(*node, reply));
  AddHandle(std::move(handle), false, open, reply);
  return true;
}

// A file without a name, which LINK may give it.
Status Operations::TmpFile(Call& call, const fuse_create_in& in, Reply& reply) {
  LISAFS_ASSIGN_OR_RETURN(Pinned directory, nodes_.Pin(call.header.nodeid));
  Donations donated;
  LISAFS_ASSIGN_OR_RETURN(
      OpenCreateAtResp made,
      client_.Call<Mid::kOpenUnnamed>({.common = Creation(directory, call.header, Masked(directory, in.mode, in.umask)),
                                       .flags = in.flags & O_ACCMODE},
                                      &donated));
  auto& entry = reply.Append<fuse_entry_out>();
  FillEntry(nodes_.InternUnnamed(made.child.stat, made.child.control_fd), made.child.stat, entry, reply);
  auto& open = reply.Append<fuse_open_out>();
  LISAFS_ASSIGN_OR_RETURN(Pinned node, nodes_.Pin(entry.nodeid));
  AddHandle(std::make_shared<Handle>(client_, std::move(node), made.open_fd, donated.Take(0), in.flags), true, open,
            reply);
  SetAttributeLifetime(entry, entry.nodeid);
  return {};
}

Status Operations::Release(Call&, const fuse_release_in& in, Reply&) {
  RemoveHandle(in.fh);
  return {};
}

Status Operations::Flush(Call&, const fuse_flush_in& in, Reply&) {
  LISAFS_ASSIGN_OR_RETURN(auto handle, handles_.Find(in.fh));
  LISAFS_RETURN_IF_ERROR(client_.Call<Mid::kFlush>({handle->fd}));
  return {};
}

Result<std::shared_ptr<Handle>> Operations::OpenNode(const Pinned& node, uint32_t flags) {
  // Linux's fourth access mode: only the kernel has to do with a file that can be neither read nor written.
  if ((flags & O_ACCMODE) == O_ACCMODE) flags &= ~O_ACCMODE;
  LISAFS_ASSIGN_OR_RETURN(Pinned pinned, nodes_.Pin(node.ref()));
  Donations donated;
  LISAFS_ASSIGN_OR_RETURN(OpenAtResp opened,
                          client_.Call<Mid::kOpenAt>({.fd = node.fd(), .flags = flags & kHostFlags}, &donated));
  return std::make_shared<Handle>(client_, std::move(pinned), opened.open_fd, donated.Take(0), flags);
}

bool Operations::IsUnchanged(const Handle& handle) {
  // The kernel sees what it changes itself.
  if (exclusive()) return true;
  if (handle.host) {
    struct stat now;
    return fstat(handle.host.get(), &now) == 0 &&
           handle.node->ContentIs(static_cast<uint64_t>(now.st_size), now.st_mtim.tv_sec, now.st_mtim.tv_nsec);
  }
  auto now = client_.Call<Mid::kFStat>({handle.fd});
  return now && handle.node->ContentIs(now->stat.size, now->stat.mtime.sec, now->stat.mtime.nsec);
}

// Who opens a file sees what it is now. While it is open, the kernel drops pages when it learns of another size or time
// of change; of a file that is passed through it has none.
void Operations::AddHandle(std::shared_ptr<Handle> handle, bool is_new, fuse_open_out& open, Reply& reply) {
  Node& node = *handle->node;
  // Writes that are passed through are the broker's, which has no CAP_FSETID: they take set-id bits from the file
  // whoever writes. So such a file is not.
  const bool may_start = S_ISREG(node.mode()) && !(node.mode() & (S_ISUID | S_ISGID)) &&
                         node.size() >= options_.passthrough_from.value_or(0);
  IoModes::Mode mode = io_modes_.Enter(handle, may_start, [](const Handle& opened) {
    auto backing = opened.client.Call<Mid::kOpenBacking>({opened.fd});
    // Large files are to be had by descriptor then.
    if (!backing && IoModes::IsFinal(backing.error())) (void)opened.client.Call<Mid::kSetDonation>({.donate = 1});
    return backing;
  });
  bool unchanged = is_new;
  if (mode.backing_id != 0) {
    handle->host.reset();
    open.open_flags = kFopenPassthrough;
    SetBackingId(open, mode.backing_id);
    unchanged = unchanged || exclusive() ||
                (mode.stat_known && node.ContentIs(mode.stat.size, mode.stat.mtime.sec, mode.stat.mtime.nsec));
    // What the kernel was told so far it may believe too long.
    unchanged = unchanged && !handle->read_write;
  } else {
    unchanged = unchanged || (!mode.cache_outdated && IsUnchanged(*handle));
    if (unchanged) open.open_flags = FOPEN_KEEP_CACHE;
  }
  if (!unchanged) reply.changed = node.id();
  open.fh = handles_.Add(std::move(handle));
  reply.opened = open.fh;
}

void Operations::RemoveHandle(uint64_t fh) {
  auto handle = handles_.Remove(fh);
  if (!handle) return;
  io_modes_.Leave(*handle);
  const bool writes = handle->writes;
  handle.reset();
  PromptClosing* promptly = closes_promptly_.load(std::memory_order_acquire);
  if (writes && promptly != nullptr) promptly->Closed();
}

CreateCommon Operations::Creation(const Pinned& directory, const fuse_in_header& header, uint32_t mode) const {
  // In a set-group-ID directory the group is the directory's, which the host sees to.
  bool group_of_directory = directory.node().mode() & S_ISGID;
  return {.dir_fd = directory.fd(),
          .uid = header.uid,
          .gid = group_of_directory ? kNoId : header.gid,
          .mode = static_cast<uint16_t>(mode)};
}

// A directory's default access control list decides in the place of the umask.
uint32_t Operations::Masked(const Pinned& directory, uint32_t mode, uint32_t umask) {
  if ((mode & umask) == 0) return mode;
  Node& node = directory.node();
  const uint64_t until = node.lacks_xattr_until();
  if (until <= MonotonicNanoseconds()) {
    Status has_one =
        client_.Call<Mid::kFGetXattr>({.fd = directory.fd(), .name = kDefaultAcl}, [](const StringResp&) {});
    if (has_one) return mode;
    node.LacksXattrFor(kXattrLifetime, until);
  }
  return mode & ~umask;
}

}  // namespace lisafs
