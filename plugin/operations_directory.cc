// Listing directories.

#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <chrono>

#include "plugin/operations.h"

namespace lisafs {
namespace {

// Packs entries as the kernel wants them, up to its buffer's size.
class DirentWriter {
 public:
  DirentWriter(Reply& reply, uint32_t size) : reply_(reply), left_(std::min<size_t>(size, reply.room().size())) {}

  bool Fits(size_t fixed, std::string_view name) const { return FUSE_REC_ALIGN(fixed + name.size()) <= left_; }

  // After Fits with FUSE_NAME_OFFSET.
  void Add(uint64_t ino, uint64_t next_position, uint32_t type, std::string_view name) {
    fuse_dirent& dirent = reply_.Append<fuse_dirent>();
    dirent.ino = ino;
    dirent.off = next_position;
    dirent.namelen = static_cast<uint32_t>(name.size());
    dirent.type = type;
    size_t padded = FUSE_REC_ALIGN(name.size());
    memset(reply_.room().data(), 0, padded);
    memcpy(reply_.room().data(), name.data(), name.size());
    reply_.Extend(padded);
    left_ -= sizeof(fuse_dirent) + padded;
  }
  // What goes before an entry of READDIRPLUS, after Fits with FUSE_NAME_OFFSET_DIRENTPLUS.
  fuse_entry_out& AddAttributes() {
    left_ -= sizeof(fuse_entry_out);
    return reply_.Append<fuse_entry_out>();
  }

 private:
  Reply& reply_;
  size_t left_;
};

}  // namespace

Result<std::shared_ptr<Handle>> Operations::OpenDirectory(const NodeRef& directory) {
  LISAFS_ASSIGN_OR_RETURN(Pinned node, nodes_.Pin(directory));
  if (!exclusive()) watches_.Watch(client_, node);
  return OpenNode(node, O_RDONLY);
}

Status Operations::FSyncDir(Call& call, const fuse_fsync_in&, Reply&) {
  LISAFS_ASSIGN_OR_RETURN(NodeRef node, nodes_.Find(call.header.nodeid));
  LISAFS_ASSIGN_OR_RETURN(auto handle, OpenDirectory(node));
  LISAFS_RETURN_IF_ERROR(client_.Call<Mid::kFSync>({FdArray(std::span(&handle->fd, 1))}));
  return {};
}

Status Operations::ReadDir(Call& call, const fuse_read_in& in, Reply& reply) { return List(call, in, reply, nullptr); }

Status Operations::ReadDirPlus(Call& call, const fuse_read_in& in, Reply& reply) {
  LISAFS_ASSIGN_OR_RETURN(Pinned directory, nodes_.Pin(call.header.nodeid));
  return List(call, in, reply, &directory);
}

uint64_t Operations::LookStamp(const Node& directory) const {
  const uint64_t policy = options_.policy->changes.load(std::memory_order_acquire);
  return policy << 32 | (exclusive() ? 0 : directory.watch().load(std::memory_order_acquire));
}

bool Operations::IsPresent(const Node& directory, DirectoryListing& listing) const {
  if (!listing.IsUnchanged(LookStamp(directory))) return false;
  return exclusive() || (watches_.Watched(directory) && listing.age() < std::chrono::seconds(kWatchedLifetime.seconds));
}

Result<std::shared_ptr<Handle>> Operations::PrepareListing(const NodeRef& directory, uint64_t position,
                                                           uint32_t stat_size, DirectoryListing::Stats& stats) {
  DirectoryListing& listing = directory->listing();
  std::shared_ptr<Handle> opened;
  const bool begins = position == 0;
  // A revoked mount's server is to say so.
  if ((begins ? !IsPresent(*directory, listing) : !listing.is_known()) ||
      (options_.policy->Restrictions() & kRevoked)) {
    LISAFS_ASSIGN_OR_RETURN(opened, OpenDirectory(directory));
    LISAFS_RETURN_IF_ERROR(listing.Refresh(client_, opened->fd, LookStamp(*directory), begins ? stat_size : 0, &stats));
  }
  if (begins) listing.Begun();
  const auto from = DirectoryListing::Position::Of(position);
  if (stat_size == 0 || !stats.empty() || listing.IsEnd(from)) return opened;
  if (opened == nullptr) opened = open_directories_.Take(*directory);
  if (opened == nullptr) {
    LISAFS_ASSIGN_OR_RETURN(opened, OpenDirectory(directory));
  }
  LISAFS_ASSIGN_OR_RETURN(stats, listing.GetStats(client_, opened->fd, from, stat_size));
  return opened;
}

Status Operations::List(const Call& call, const fuse_read_in& in, Reply& reply, const Pinned* with_attributes) {
  LISAFS_ASSIGN_OR_RETURN(NodeRef node, nodes_.Find(call.header.nodeid));
  if (!node->is_directory()) return Fail(ENOTDIR);
  DirectoryListing& listing = node->listing();
  auto lock = listing.Lock();

  // An entry that fits into the kernel's answer is up to two bytes longer in the server's.
  const bool lists_stats = with_attributes != nullptr && client_.Supports(Mid::kListStat);
  const uint32_t stat_size = lists_stats ? std::min(in.size, kMaxTransfer) + 2 : 0;
  DirectoryListing::Stats stats;
  LISAFS_ASSIGN_OR_RETURN(auto opened, PrepareListing(node, in.offset, stat_size, stats));
  auto from = DirectoryListing::Position::Of(in.offset);
  if (in.offset == 0) from.generation = listing.generation();

  DirentWriter writer(reply, in.size);
  const size_t fixed = with_attributes != nullptr ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
  uint64_t end = in.offset;
  for (; from.number < DirectoryListing::kFirstNumber; ++from.number) {
    const bool self = from.number == 0;
    const std::string_view name = self ? "." : "..";
    if (!writer.Fits(fixed, name)) return {};
    Identity directory = self ? node->identity() : nodes_.ParentIdentity(*node);
    // The kernel looks up neither: node 0.
    if (with_attributes != nullptr) writer.AddAttributes();
    end = self ? DirectoryListing::Position{from.generation, 1}.value() : listing.Start(from.generation);
    writer.Add(ShownIno(directory.ino, directory.dev_major, directory.dev_minor), end, DT_DIR, name);
  }
  Status listed;
  auto stat = stats.begin();
  const bool all = listing.ForEach(from, [&](const DirectoryListing::Entry& entry) {
    if (!writer.Fits(fixed, entry.name)) return false;
    if (with_attributes != nullptr) {
      while (stat != stats.end() && stat->first < entry.number) ++stat;
      // The server has more of them, and is asked for that when the kernel wants what follows.
      if (!stats.empty() && stat == stats.end()) return false;
      Result<Statx> found = Fail(ENOENT);
      if (stats.empty()) {
        found = StatChild(*with_attributes, entry.name);
      } else if (stat->first == entry.number) {
        found = stat->second;
      }
      if (!found && found.error() == Errno(ECONNRESET)) {
        listed = Fail(found.error());
        return false;
      }
      // One that has gone since is listed all the same, as node 0: readdir(2) would.
      fuse_entry_out& attributes = writer.AddAttributes();
      if (found) AddEntry(*with_attributes, entry.name, Inode{.stat = *found}, attributes, reply);
    }
    end = entry.next;
    writer.Add(ShownIno(entry.ino, entry.dev_major, entry.dev_minor), end, entry.type, entry.name);
    return true;
  });
  LISAFS_RETURN_IF_ERROR(listed);
  if (!all) {
    if (lists_stats && opened != nullptr) open_directories_.PutBack(std::move(opened));
    return {};
  }
  if (reply.payload_size() != 0) {
    listing.Given(DirectoryListing::Position::Of(end));
    return {};
  }
  listing.Ended(from);
  // The kernel takes what it has cached to be the whole listing from now on. Changes of its own it sees by itself, but
  // of an older generation it may have cached what would hide the rest of others.
  if (from.generation != listing.generation() || listing.HidesTheRestWhenCached() ||
      (!exclusive() && !IsPresent(*node, listing))) {
    reply.outdated_listing = node->id();
  }
  return {};
}

}  // namespace lisafs
