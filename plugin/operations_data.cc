// Open files: their data. Where the server donated the host's descriptor, it is used directly; otherwise data travels
// in messages.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "plugin/operations.h"
#include "plugin/turn.h"

namespace lisafs {
namespace {

// The kernel adds this bit to what it sends, and an int has no room for more.
constexpr uint64_t kMaxCopy = 0x7ffff000;

Result<size_t> Transferred(ssize_t count) {
  if (count < 0) return FailWithErrno();
  return static_cast<size_t>(count);
}

Status Done(int result) {
  if (result < 0) return FailWithErrno();
  return {};
}

}  // namespace

// An open file, for work on its data. The host's disk may be slow.
Result<std::shared_ptr<Handle>> Operations::FindData(uint64_t nodeid, uint64_t fh) {
  auto handle = FindOpen(nodeid, fh);
  if (handle && (*handle)->host) GiveTurnAway();
  return handle;
}

Status Operations::Read(Call& call, const fuse_read_in& in, Reply& reply) {
  LISAFS_ASSIGN_OR_RETURN(auto handle, FindData(call.header.nodeid, in.fh));
  auto into = reply.room().first(std::min<size_t>(in.size, kMaxTransfer));
  Result<size_t> count =
      UsesHost(*handle)
          ? Transferred(pread(handle->host.get(), into.data(), into.size(), static_cast<off_t>(in.offset)))
          : client_.PRead(handle->fd, into, in.offset);
  if (!count) return Fail(count.error());
  reply.Extend(*count);
  return {};
}

Status Operations::Write(Call& call, const fuse_write_in& in, Reply& reply) {
  LISAFS_ASSIGN_OR_RETURN(auto data, call.arguments.TakeBytes(in.size));
  LISAFS_ASSIGN_OR_RETURN(auto handle, FindData(call.header.nodeid, in.fh));
  // The host takes set-id bits from a file that this process writes to, since it has no capabilities. Whether they go
  // is for the container's kernel to say, so such a file is written by the server.
  bool set_id = handle->node->mode() & (S_ISUID | S_ISGID);
  if (handle->host) handle->node->Wrote();
  Result<size_t> count =
      UsesHost(*handle) && !set_id
          ? Transferred(pwrite(handle->host.get(), data.data(), data.size(), static_cast<off_t>(in.offset)))
          : client_.PWrite(handle->fd, data, in.offset);
  if (!count) return Fail(count.error());
  handle->node->ReachesTo(in.offset + *count);
  if (set_id && (in.write_flags & FUSE_WRITE_KILL_SUIDGID)) {
    LISAFS_ASSIGN_OR_RETURN(Pinned node, nodes_.Pin(handle->node));
    LISAFS_RETURN_IF_ERROR(DropSetId(node, reply));
  }
  reply.Append<fuse_write_out>().size = static_cast<uint32_t>(*count);
  return {};
}

Status Operations::FSync(Call& call, const fuse_fsync_in& in, Reply&) {
  LISAFS_ASSIGN_OR_RETURN(auto handle, FindData(call.header.nodeid, in.fh));
  bool data_only = in.fsync_flags & FUSE_FSYNC_FDATASYNC;
  if (UsesHost(*handle)) return Done(data_only ? fdatasync(handle->host.get()) : fsync(handle->host.get()));
  if (data_only && client_.Supports(Mid::kFDataSync)) {
    LISAFS_RETURN_IF_ERROR(client_.Call<Mid::kFDataSync>({handle->fd}));
    return {};
  }
  LISAFS_RETURN_IF_ERROR(client_.Call<Mid::kFSync>({FdArray(std::span(&handle->fd, 1))}));
  return {};
}

Status Operations::FAllocate(Call& call, const fuse_fallocate_in& in, Reply& reply) {
  LISAFS_ASSIGN_OR_RETURN(auto handle, FindData(call.header.nodeid, in.fh));
  bool set_id = handle->node->mode() & (S_ISUID | S_ISGID);
  if (UsesHost(*handle) && !set_id) {
    return Done(fallocate(handle->host.get(), static_cast<int>(in.mode), static_cast<off_t>(in.offset),
                          static_cast<off_t>(in.length)));
  }
  LISAFS_RETURN_IF_ERROR(
      client_.Call<Mid::kFAllocate>({.fd = handle->fd, .mode = in.mode, .offset = in.offset, .length = in.length}));
  // Unlike a write, this does not say whether the caller may leave set-id bits: root may.
  if (set_id && call.header.uid != 0) {
    LISAFS_ASSIGN_OR_RETURN(Pinned node, nodes_.Pin(handle->node));
    return DropSetId(node, reply);
  }
  return {};
}

// Only SEEK_DATA and SEEK_HOLE come here.
Status Operations::LSeek(Call& call, const fuse_lseek_in& in, Reply& reply) {
  LISAFS_ASSIGN_OR_RETURN(auto handle, FindData(call.header.nodeid, in.fh));
  if (in.whence != SEEK_DATA && in.whence != SEEK_HOLE) return Fail(EINVAL);
  auto& out = reply.Append<fuse_lseek_out>();
  if (UsesHost(*handle)) {
    off_t found = lseek(handle->host.get(), static_cast<off_t>(in.offset), static_cast<int>(in.whence));
    if (found < 0) return FailWithErrno();
    out.offset = static_cast<uint64_t>(found);
    return {};
  }
  if (client_.Supports(Mid::kSeek)) {
    LISAFS_ASSIGN_OR_RETURN(SeekResp found,
                            client_.Call<Mid::kSeek>({.fd = handle->fd, .offset = in.offset, .whence = in.whence}));
    out.offset = found.offset;
    return {};
  }
  // A file without holes is always a right answer.
  LISAFS_ASSIGN_OR_RETURN(StatResp now, client_.Call<Mid::kFStat>({handle->fd}));
  if (in.offset >= now.stat.size) return Fail(ENXIO);
  out.offset = in.whence == SEEK_DATA ? in.offset : now.stat.size;
  return {};
}

Status Operations::CopyFileRange(Call& call, const fuse_copy_file_range_in& in, Reply& reply) {
  LISAFS_ASSIGN_OR_RETURN(auto from, FindData(call.header.nodeid, in.fh_in));
  LISAFS_ASSIGN_OR_RETURN(auto to, FindData(in.nodeid_out, in.fh_out));
  // EOPNOTSUPP has the kernel copy by reading and writing.
  if (to->node->mode() & (S_ISUID | S_ISGID)) return Fail(EOPNOTSUPP);
  if (!UsesHost(*from) || !UsesHost(*to)) {
    if (!client_.Supports(Mid::kCopyFileRange)) return Fail(EOPNOTSUPP);
    LISAFS_ASSIGN_OR_RETURN(
        PWriteResp copied,
        client_.Call<Mid::kCopyFileRange>({from->fd, in.off_in, to->fd, in.off_out, std::min(in.len, kMaxCopy)}));
    to->node->ReachesTo(in.off_out + copied.count);
    reply.Append<fuse_write_out>().size = static_cast<uint32_t>(copied.count);
    return {};
  }
  loff_t from_offset = static_cast<loff_t>(in.off_in);
  loff_t to_offset = static_cast<loff_t>(in.off_out);
  LISAFS_ASSIGN_OR_RETURN(size_t count,
                          Transferred(copy_file_range(from->host.get(), &from_offset, to->host.get(), &to_offset,
                                                      std::min(in.len, kMaxCopy), static_cast<unsigned>(in.flags))));
  to->node->ReachesTo(in.off_out + count);
  reply.Append<fuse_write_out>().size = static_cast<uint32_t>(count);
  return {};
}

// None is known, which is not to say that none will ever be: ENOSYS would be.
Status Operations::Ioctl(Call&, const fuse_ioctl_in&, Reply&) { return Fail(ENOTTY); }

}  // namespace lisafs
