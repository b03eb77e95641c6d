// What a file is: names to nodes, attributes, links' targets.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "plugin/operations.h"

namespace lisafs {
namespace {

// The mode without the bits that Linux removes from a regular file when somebody without CAP_FSETID changes it.
uint16_t WithoutSetId(uint16_t mode) {
  mode &= ~S_ISUID;
  if (mode & S_IXGRP) mode &= ~S_ISGID;
  return mode;
}

void SetEntryLifetime(fuse_entry_out& entry, Lifetime lifetime) {
  entry.entry_valid = lifetime.seconds;
  entry.entry_valid_nsec = lifetime.nanoseconds;
}

Timespec ToTimespec(uint64_t sec, uint32_t nsec, bool now) {
  return {.sec = static_cast<int64_t>(sec), .nsec = now ? UTIME_NOW : static_cast<int64_t>(nsec)};
}

}  // namespace

Status Operations::Lookup(Call& call, const None&, Reply& reply) {
  LISAFS_ASSIGN_OR_RETURN(std::string_view name, call.arguments.TakeName());
  LISAFS_ASSIGN_OR_RETURN(Pinned directory, nodes_.Pin(call.header.nodeid));
  if (!exclusive()) watches_.Watch(client_, directory);
  const uint64_t changes = watches_.changes();
  auto stat = StatChild(directory, name);
  auto& entry = reply.Append<fuse_entry_out>();
  if (!stat && stat.error() == Errno(ENOENT)) {
    // Node 0: remember that there is nothing.
    SetEntryLifetime(entry, AbsenceLifetime(directory.node(), name));
  } else if (!stat) {
    return Fail(stat.error());
  } else {
    AddEntry(directory, name, Inode{.stat = *stat}, entry, reply);
  }
  // The kernel may have been told already to forget what this answer is about.
  if (changes != watches_.changes()) SetEntryLifetime(entry, Lifetime());
  return {};
}

Status Operations::Forget(Call& call, const fuse_forget_in& in, Reply& reply) {
  reply.ExpectNone();
  ForgetNode(call.header.nodeid, in.nlookup);
  return {};
}

void Operations::ForgetNode(uint64_t nodeid, uint64_t lookups) {
  if (nodes_.Forget(nodeid, lookups)) DropKeptOpen(nodeid);
}

Status Operations::BatchForget(Call& call, const fuse_batch_forget_in& in, Reply& reply) {
  reply.ExpectNone();
  for (uint32_t i = 0; i < in.count; ++i) {
    LISAFS_ASSIGN_OR_RETURN(auto one, call.arguments.Take<fuse_forget_one>());
    ForgetNode(one.nodeid, one.nlookup);
  }
  return {};
}

Status Operations::GetAttr(Call& call, const fuse_getattr_in& in, Reply& reply) {
  if (Condemn(call.header.nodeid)) {
    reply.Append<fuse_attr_out>();
    return {};
  }
  LISAFS_ASSIGN_OR_RETURN(Statx stat, StatNodeOrHandle(call.header.nodeid, in.getattr_flags, in.fh));
  auto& out = reply.Append<fuse_attr_out>();
  SetAttributeLifetime(out, call.header.nodeid);
  FillAttributes(stat, out.attr);
  return {};
}

Status Operations::GetStatx(Call& call, const FuseStatxIn& in, Reply& reply) {
  if (Condemn(call.header.nodeid)) {
    reply.Append<FuseStatxOut>().stat.mask = STATX_BASIC_STATS;
    return {};
  }
  LISAFS_ASSIGN_OR_RETURN(Statx stat, StatNodeOrHandle(call.header.nodeid, in.getattr_flags, in.fh));
  auto& out = reply.Append<FuseStatxOut>();
  SetAttributeLifetime(out, call.header.nodeid);
  out.stat = stat;
  out.stat.mask &= STATX_BASIC_STATS | STATX_BTIME;
  out.stat.ino = ShownIno(stat.ino, stat.dev_major, stat.dev_minor);
  return {};
}

// The kernel asks nobody before it reads or writes a file that it passes through. But it gives up an inode of which it
// is told that it has no type: then what has it open gets EIO, and only another generation of the node can be used.
bool Operations::Condemn(uint64_t nodeid) {
  if (!(options_.policy->Restrictions() & kRevoked) || !io_modes_.enabled()) return false;
  auto node = nodes_.Find(nodeid);
  if (!node || !io_modes_.PassesThrough(**node)) return false;
  (*node)->NextGeneration();
  generations_differ_.store(true, std::memory_order_relaxed);
  return true;
}

Status Operations::SetAttr(Call& call, const fuse_setattr_in& in, Reply& reply) {
  LISAFS_ASSIGN_OR_RETURN(Pinned node, nodes_.Pin(call.header.nodeid));
  SetStatReq request;
  if (in.valid & FATTR_MODE) {
    request.mask |= STATX_MODE;
    request.mode = in.mode & ~S_IFMT;
  }
  if (in.valid & FATTR_UID) {
    request.mask |= STATX_UID;
    request.uid = in.uid;
  }
  if (in.valid & FATTR_GID) {
    request.mask |= STATX_GID;
    request.gid = in.gid;
  }
  if (in.valid & FATTR_SIZE) {
    request.mask |= STATX_SIZE;
    request.size = in.size;
    DropKeptOpen(call.header.nodeid);
  }
  if (in.valid & (FATTR_ATIME | FATTR_ATIME_NOW)) {
    request.mask |= STATX_ATIME;
    request.atime = ToTimespec(in.atime, in.atimensec, in.valid & FATTR_ATIME_NOW);
  }
  if (in.valid & (FATTR_MTIME | FATTR_MTIME_NOW)) {
    request.mask |= STATX_MTIME;
    request.mtime = ToTimespec(in.mtime, in.mtimensec, in.valid & FATTR_MTIME_NOW);
  }
  if (request.mask != 0) LISAFS_RETURN_IF_ERROR(SetStat(node, request));
  if (in.valid & FATTR_KILL_SUIDGID) LISAFS_RETURN_IF_ERROR(DropSetId(node, reply));

  LISAFS_ASSIGN_OR_RETURN(StatResp now, client_.Call<Mid::kFStat>({node.fd()}));
  // A chown that names nobody, which only the owner and root may make: all that is left of it is what it does to the
  // bits.
  bool names_nobody = (in.valid & ~(FATTR_FH | FATTR_LOCKOWNER | FATTR_CTIME)) == 0;
  if (names_nobody && (call.header.uid == 0 || call.header.uid == now.stat.uid) && S_ISREG(now.stat.mode)) {
    node.node().Saw(now.stat);
    LISAFS_RETURN_IF_ERROR(DropSetId(node, reply));
    now.stat.mode = node.node().mode();
  }
  node.node().Saw(now.stat);
  auto& out = reply.Append<fuse_attr_out>();
  SetAttributeLifetime(out, call.header.nodeid);
  FillAttributes(now.stat, out.attr);
  return {};
}

Status Operations::ReadLink(Call& call, const None&, Reply& reply) {
  LISAFS_ASSIGN_OR_RETURN(Pinned node, nodes_.Pin(call.header.nodeid));
  return client_.Call<Mid::kReadLinkAt>({node.fd()}, [&](const StringResp& response) -> Status {
    if (response.value.size() > reply.room().size()) return Fail(EPROTO);
    memcpy(reply.room().data(), response.value.data(), response.value.size());
    reply.Extend(response.value.size());
    return {};
  });
}

Status Operations::StatFs(Call& call, const None&, Reply& reply) {
  LISAFS_ASSIGN_OR_RETURN(Pinned node, nodes_.Pin(call.header.nodeid));
  LISAFS_ASSIGN_OR_RETURN(lisafs::StatFs stat, client_.Call<Mid::kFStatFS>({node.fd()}));
  fuse_kstatfs& out = reply.Append<fuse_statfs_out>().st;
  out.blocks = stat.blocks;
  out.bfree = stat.blocks_free;
  out.bavail = stat.blocks_available;
  out.files = stat.files;
  out.ffree = stat.files_free;
  out.bsize = static_cast<uint32_t>(stat.block_size);
  out.frsize = static_cast<uint32_t>(stat.block_size);
  out.namelen = static_cast<uint32_t>(stat.name_length);
  return {};
}

Result<Statx> Operations::StatChild(const Pinned& directory, std::string_view name) {
  Statx stat;
  bool found = false;
  LISAFS_RETURN_IF_ERROR(client_.Call<Mid::kWalkStat>({directory.fd(), StringArray(std::span(&name, 1))},
                                                      [&](const WalkStatResp& response) {
                                                        found = response.stats.size() == 1;
                                                        if (found) stat = response.stats[0];
                                                      }));
  if (!found) return Fail(ENOENT);
  return stat;
}

Result<Statx> Operations::StatNode(uint64_t nodeid) {
  LISAFS_ASSIGN_OR_RETURN(InodeTable::Place place, nodes_.Reach(nodeid));
  if (watches_.subscribed() && !exclusive() && IsWatchable(*place.node) && !watches_.Watched(*place.node)) {
    if (auto node = nodes_.Pin(place.node)) watches_.Watch(client_, *node);
  }
  if (place.parent) {
    auto stat = StatChild(place.parent, place.name);
    if (stat && Identity::Of(*stat) == place.node->identity()) {
      place.node->Saw(*stat);
      return stat;
    }
  }
  LISAFS_ASSIGN_OR_RETURN(Pinned node, nodes_.Pin(place.node));
  LISAFS_ASSIGN_OR_RETURN(StatResp response, client_.Call<Mid::kFStat>({node.fd()}));
  node.node().Saw(response.stat);
  return response.stat;
}

Result<Statx> Operations::StatNodeOrHandle(uint64_t nodeid, uint32_t flags, uint64_t fh) {
  if (!(flags & FUSE_GETATTR_FH)) return StatNode(nodeid);
  LISAFS_ASSIGN_OR_RETURN(auto handle, FindOpen(nodeid, fh));
  LISAFS_ASSIGN_OR_RETURN(StatResp response, client_.Call<Mid::kFStat>({handle->fd}));
  handle->node->Saw(response.stat);
  return response.stat;
}

Status Operations::SetStat(const Pinned& node, SetStatReq request) {
  request.fd = node.fd();
  LISAFS_ASSIGN_OR_RETURN(SetStatResp response, client_.Call<Mid::kSetStat>(request));
  if (response.failure_mask != 0) return Fail(static_cast<int>(response.failure_errno));
  return {};
}

Status Operations::DropSetId(const Pinned& node, Reply& reply) {
  if (!S_ISREG(node.node().mode()) || WithoutSetId(node.node().mode()) == node.node().mode()) return {};
  LISAFS_ASSIGN_OR_RETURN(StatResp now, client_.Call<Mid::kFStat>({node.fd()}));
  uint16_t mode = WithoutSetId(now.stat.mode);
  if (mode == now.stat.mode) return {};
  LISAFS_RETURN_IF_ERROR(SetStat(node, {.mask = STATX_MODE, .mode = static_cast<uint32_t>(mode & ~S_IFMT)}));
  reply.changed = node.node().id();
  now.stat.mode = mode;
  node.node().Saw(now.stat);
  return {};
}

void Operations::AddEntry(const Pinned& directory, std::string_view name, const Inode& child, fuse_entry_out& entry,
                          Reply& reply) {
  absent_.Remove(directory.node().id(), name);
  FillEntry(nodes_.Intern(directory.node(), name, child.stat, child.control_fd), child.stat, entry, reply);
  SetEntryLifetime(entry, EntryLifetime(directory.node()));
}

void Operations::FillEntry(uint64_t nodeid, const Statx& stat, fuse_entry_out& entry, Reply& reply) {
  entry.nodeid = nodeid;
  if (generations_differ_.load(std::memory_order_relaxed)) {
    if (auto node = nodes_.Find(nodeid)) entry.generation = (*node)->generation();
  }
  reply.looked_up.push_back(nodeid);
  SetAttributeLifetime(entry, nodeid);
  FillAttributes(stat, entry.attr);
}

Lifetime Operations::EntryLifetime(const Node& directory) const {
  if (exclusive()) return kEndlessLifetime;
  return watches_.Watched(directory) ? kWatchedLifetime : kShortLifetime;
}

Lifetime Operations::AbsenceLifetime(const Node& directory, std::string_view name) {
  if (!exclusive() && !watches_.Watched(directory)) return kShortLifetime;
  return absent_.Add(directory.id(), name) ? EntryLifetime(directory) : kShortLifetime;
}

// Mappings that are written past the kernel's notice change size and times at any moment.
Lifetime Operations::AttributeLifetime(uint64_t nodeid) {
  const bool watching = watches_.subscribed() && !exclusive();
  const Lifetime lifetime = exclusive() ? kEndlessLifetime : kShortLifetime;
  if (!io_modes_.enabled() && !watching) return lifetime;
  auto found = nodes_.Find(nodeid);
  if (!found) return lifetime;
  const Node& node = **found;
  if (node.has_unseen_writers()) return {};
  if (!watching || !node.is_directory() || watches_.CannotWatch(node)) return lifetime;
  if (watches_.Watched(node)) return kWatchedLifetime;
  // To be watched by inotify in the container a directory need not be looked into. But the kernel then checks its
  // permissions, and so asks.
  return waker_.connected() ? Lifetime() : kBriefLifetime;
}

void Operations::FillAttributes(const Statx& stat, fuse_attr& attributes) const {
  attributes.ino = ShownIno(stat.ino, stat.dev_major, stat.dev_minor);
  attributes.size = stat.size;
  attributes.blocks = stat.blocks;
  attributes.atime = static_cast<uint64_t>(stat.atime.sec);
  attributes.mtime = static_cast<uint64_t>(stat.mtime.sec);
  attributes.ctime = static_cast<uint64_t>(stat.ctime.sec);
  attributes.atimensec = stat.atime.nsec;
  attributes.mtimensec = stat.mtime.nsec;
  attributes.ctimensec = stat.ctime.nsec;
  attributes.mode = stat.mode;
  attributes.nlink = stat.nlink;
  attributes.uid = stat.uid;
  attributes.gid = stat.gid;
  // The kernel's own encoding of device numbers, of 12 and 20 bits.
  attributes.rdev = (stat.rdev_minor & 0xff) | (stat.rdev_major << 8) | ((stat.rdev_minor & ~0xffu) << 12);
  attributes.blksize = stat.blksize;
}

// A source that spans several file systems has numbers that repeat, and the kernel shows one device for all of them:
// programs that look for hard links and loops would be misled.
uint64_t Operations::ShownIno(uint64_t ino, uint32_t dev_major, uint32_t dev_minor) const {
  if (dev_major == root_.dev_major && dev_minor == root_.dev_minor) return ino;
  uint64_t device = uint64_t{dev_major} << 20 ^ dev_minor;
  return ino ^ (device * 0x9e3779b97f4a7c15 & ~uint64_t{0xffffffff});
}

}  // namespace lisafs
