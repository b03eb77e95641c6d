// Listing directories.

#include <dirent.h>
#include <fcntl.h>

#include <algorithm>

#include "plugin/operations.h"

namespace lisafs {
namespace {

// FUSE's positions: 1 behind ".", 2 behind "..", then one further for each entry of the listing.
constexpr uint64_t kDots = 2;

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

Status Operations::OpenDir(Call& call, const fuse_open_in&, Reply& reply) {
  auto& open = reply.Append<fuse_open_out>();
  if (exclusive()) {
    // It may have all that is going to be asked for.
    LISAFS_ASSIGN_OR_RETURN(NodeRef node, nodes_.Find(call.header.nodeid));
    AddHandle(std::make_shared<Handle>(client_, std::move(node)), true, open, reply);
  } else {
    LISAFS_ASSIGN_OR_RETURN(Pinned node, nodes_.Pin(call.header.nodeid));
    watches_.Watch(client_, node);
    LISAFS_ASSIGN_OR_RETURN(auto handle, OpenDirectory(node));
    AddHandle(std::move(handle), true, open, reply);
  }
  // A reader that the kernel has given the beginning of a listing from its cache goes on by position, in whatever
  // listing is there when the directory has changed meanwhile; positions are places in one listing, so it would miss
  // names. What is never changed can be cached.
  if (exclusive() && options_.read_only) open.open_flags |= FOPEN_CACHE_DIR;
  return {};
}

Result<std::shared_ptr<Handle>> Operations::OpenDirectory(const Pinned& node) {
  LISAFS_ASSIGN_OR_RETURN(auto handle, OpenNode(node, O_RDONLY));
  handle->listing.emplace(client_, handle->fd);
  return handle;
}

Result<std::shared_ptr<Handle>> Operations::OpenedDirectory(uint64_t fh) {
  LISAFS_ASSIGN_OR_RETURN(auto handle, handles_.Find(fh));
  if (!handle->node->is_directory()) return Fail(ENOTDIR);
  if (handle->listing) return handle;
  std::lock_guard lock(handle->opening);
  if (!handle->opened) {
    LISAFS_ASSIGN_OR_RETURN(Pinned node, nodes_.Pin(handle->node));
    LISAFS_ASSIGN_OR_RETURN(handle->opened, OpenDirectory(node));
  }
  return handle->opened;
}

Status Operations::FSyncDir(Call&, const fuse_fsync_in& in, Reply&) {
  LISAFS_ASSIGN_OR_RETURN(auto handle, OpenedDirectory(in.fh));
  LISAFS_RETURN_IF_ERROR(client_.Call<Mid::kFSync>({FdArray(std::span(&handle->fd, 1))}));
  return {};
}

Status Operations::ReadDir(Call&, const fuse_read_in& in, Reply& reply) { return List(in, reply, nullptr); }

Status Operations::ReadDirPlus(Call& call, const fuse_read_in& in, Reply& reply) {
  LISAFS_ASSIGN_OR_RETURN(Pinned directory, nodes_.Pin(call.header.nodeid));
  return List(in, reply, &directory);
}

Status Operations::List(const fuse_read_in& in, Reply& reply, const Pinned* with_attributes) {
  LISAFS_ASSIGN_OR_RETURN(auto handle, OpenedDirectory(in.fh));
  if (in.offset == 0) handle->listing->Rewind();
  DirentWriter writer(reply, in.size);
  const size_t fixed = with_attributes != nullptr ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;

  uint64_t position = in.offset;
  for (; position < kDots; ++position) {
    const bool self = position == 0;
    const std::string_view name = self ? "." : "..";
    if (!writer.Fits(fixed, name)) return {};
    Identity directory = self ? handle->node->identity() : nodes_.ParentIdentity(*handle->node);
    // The kernel looks up neither: node 0.
    if (with_attributes != nullptr) writer.AddAttributes();
    writer.Add(ShownIno(directory.ino, directory.dev_major, directory.dev_minor), position + 1, DT_DIR, name);
  }
  Status listed;
  auto take = [&](const DirectoryListing::Entry& entry) {
    if (!writer.Fits(fixed, entry.name)) return false;
    if (with_attributes != nullptr) {
      Result<Statx> stat = entry.stat != nullptr ? *entry.stat : StatChild(*with_attributes, entry.name);
      if (!stat && stat.error() == Errno(ECONNRESET)) {
        listed = Fail(stat.error());
        return false;
      }
      // One that has gone since is listed all the same, as node 0: readdir(2) would.
      fuse_entry_out& attributes = writer.AddAttributes();
      if (stat) AddEntry(*with_attributes, entry.name, Inode{.stat = *stat}, attributes, reply);
    }
    writer.Add(ShownIno(entry.ino, entry.dev_major, entry.dev_minor), ++position, entry.type, entry.name);
    return true;
  };
  // An entry that fits into the kernel's answer is up to two bytes longer in the server's.
  const uint32_t size = std::min(in.size, kMaxTransfer) + 2;
  LISAFS_RETURN_IF_ERROR(with_attributes != nullptr ? handle->listing->ForEachWithStat(position - kDots, size, take)
                                                    : handle->listing->ForEach(position - kDots, take));
  return listed;
}

}  // namespace lisafs
