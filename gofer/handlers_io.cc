#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "gofer/file.h"
#include "gofer/handlers.h"

namespace lisafs {
namespace {

constexpr uint64_t kAllocateModes = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE |
                                    FALLOC_FL_ZERO_RANGE | FALLOC_FL_INSERT_RANGE;

// A lane serves nothing else while it copies, and the end of its connection waits for it.
constexpr uint64_t kMaxCopy = 128 << 20;
// No more than by messages, so that those who wait for their share of a limit do not wait long.
constexpr uint64_t kMaxLimitedCopy = 1 << 20;

// Repeats `transfer`, a pread or pwrite of what is left from a position on, until `size` bytes have moved, nothing more
// moves, or an error. An error after some bytes gives these: the next request will meet it again.
template <typename Transfer>
Result<size_t> TransferAll(size_t size, uint64_t offset, Transfer&& transfer) {
  size_t done = 0;
  while (done < size) {
    ssize_t moved = transfer(done, static_cast<off_t>(offset + done));
    if (moved < 0 && errno == EINTR) continue;
    if (moved < 0 && done == 0) return FailWithErrno();
    if (moved <= 0) break;
    done += static_cast<size_t>(moved);
  }
  return done;
}

Result<size_t> PRead(Connection& connection, const PReadReq& request, Call& call) {
  LISAFS_ASSIGN_OR_RETURN(auto open, connection.fds().Get<HostOpen>(request.fd));
  if (!open->readable()) return Fail(EBADF);
  if (kPReadRespHeaderSize + uint64_t{request.count} > call.response.size()) return Fail(ENOBUFS);
  std::byte* into = call.response.data() + kPReadRespHeaderSize;
  LISAFS_ASSIGN_OR_RETURN(size_t done, TransferAll(request.count, request.offset, [&](size_t from, off_t offset) {
                            return pread(open->fd(), into + from, request.count - from, offset);
                          }));
  connection.ChargeData(done);
  Writer writer(call.response);
  writer.Write(uint64_t{done});
  return writer.size() + done;
}

Result<PWriteResp> PWrite(Connection& connection, const PWriteReq& request) {
  if (request.count > request.data.bytes.size()) return Fail(EIO);
  LISAFS_ASSIGN_OR_RETURN(auto open, connection.fds().Get<HostOpen>(request.fd));
  if (!open->writable()) return Fail(EBADF);
  LISAFS_ASSIGN_OR_RETURN(size_t done, TransferAll(request.count, request.offset, [&](size_t from, off_t offset) {
                            return pwrite(open->fd(), request.data.bytes.data() + from, request.count - from, offset);
                          }));
  return PWriteResp{done};
}

Status FSync(Connection& connection, const FdsReq& request) {
  Status first_error;
  for (size_t i = 0; i < request.fds.size(); ++i) {
    auto open = connection.fds().Get<HostOpen>(request.fds[i]);
    Status synced;
    if (!open) {
      synced = Fail(open.error());
    } else if (fsync((*open)->fd()) != 0) {
      synced = FailWithErrno();
    }
    if (first_error && !synced) first_error = synced;
  }
  return first_error;
}

Status FDataSync(Connection& connection, const FdReq& request) {
  LISAFS_ASSIGN_OR_RETURN(auto open, connection.fds().Get<HostOpen>(request.fd));
  if (fdatasync(open->fd()) != 0) return FailWithErrno();
  return {};
}

// Moves the descriptor's own offset, which nothing else of a regular file uses.
Result<SeekResp> Seek(Connection& connection, const SeekReq& request) {
  LISAFS_ASSIGN_OR_RETURN(auto open, connection.fds().Get<HostOpen>(request.fd));
  if (open->control().file_type() != S_IFREG) return Fail(EINVAL);
  if (request.whence != SEEK_DATA && request.whence != SEEK_HOLE) return Fail(EINVAL);
  off_t found = lseek(open->fd(), static_cast<off_t>(request.offset), static_cast<int>(request.whence));
  if (found < 0) return FailWithErrno();
  return SeekResp{static_cast<uint64_t>(found)};
}

Result<PWriteResp> CopyFileRange(Connection& connection, const CopyFileRangeReq& request) {
  LISAFS_ASSIGN_OR_RETURN(auto from, connection.fds().Get<HostOpen>(request.from_fd));
  LISAFS_ASSIGN_OR_RETURN(auto to, connection.fds().Get<HostOpen>(request.to_fd));
  if (!from->readable() || !to->writable()) return Fail(EBADF);
  loff_t from_offset = static_cast<loff_t>(request.from_offset);
  loff_t to_offset = static_cast<loff_t>(request.to_offset);
  const uint64_t most = connection.restricted(kLimited) ? kMaxLimitedCopy : kMaxCopy;
  ssize_t copied =
      copy_file_range(from->fd(), &from_offset, to->fd(), &to_offset, std::min<uint64_t>(request.length, most), 0);
  if (copied < 0) return FailWithErrno();
  connection.ChargeData(static_cast<uint64_t>(copied));
  return PWriteResp{static_cast<uint64_t>(copied)};
}

Status FAllocate(Connection& connection, const FAllocateReq& request) {
  LISAFS_ASSIGN_OR_RETURN(auto open, connection.fds().Get<HostOpen>(request.fd));
  if (!open->writable()) return Fail(EBADF);
  if ((request.mode & ~kAllocateModes) != 0) return Fail(EOPNOTSUPP);
  if (fallocate(open->fd(), static_cast<int>(request.mode), static_cast<off_t>(request.offset),
                static_cast<off_t>(request.length)) != 0) {
    return FailWithErrno();
  }
  return {};
}

}  // namespace

void ServeData(HandlerTable& table) {
  table.Serve<Mid::kPRead, PRead>();
  table.Serve<Mid::kPWrite, PWrite>(Effect::kWrites);
  table.Serve<Mid::kFSync, FSync>();
  table.Serve<Mid::kFAllocate, FAllocate>(Effect::kWrites);
  table.Serve<Mid::kFDataSync, FDataSync>();
  table.Serve<Mid::kSeek, Seek>();
  table.Serve<Mid::kCopyFileRange, CopyFileRange>(Effect::kWrites);
}

}  // namespace lisafs
