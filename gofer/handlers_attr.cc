#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>

#include "gofer/file.h"
#include "gofer/handlers.h"

namespace lisafs {
namespace {

constexpr uint32_t kSettable = STATX_MODE | STATX_UID | STATX_GID | STATX_SIZE | STATX_ATIME | STATX_MTIME;
constexpr uint32_t kOwner = STATX_UID | STATX_GID;
constexpr uint32_t kTimes = STATX_ATIME | STATX_MTIME;

Result<StatResp> FStat(Connection& connection, const FdReq& request) {
  std::shared_ptr<FdObject> object = connection.fds().Find(request.fd);
  if (object == nullptr) return Fail(EBADF);
  Result<Statx> stat = Fail(EINVAL);
  if (object->kind() == FdObject::Kind::kControl) stat = StatFd(static_cast<HostControl&>(*object).fd());
  if (object->kind() == FdObject::Kind::kOpen) stat = StatFd(static_cast<HostOpen&>(*object).fd());
  if (!stat) return Fail(stat.error());
  return StatResp{*stat};
}

Status SetMode(const SelfFds& self, HostControl& file, uint32_t mode) {
  if (file.file_type() == S_IFLNK) return Fail(EOPNOTSUPP);
  return self.Chmod(file.fd(), mode & ~S_IFMT);
}

Status SetSize(const SelfFds& self, HostControl& file, uint64_t size) {
  switch (file.file_type()) {
    case S_IFREG:
      break;
    case S_IFDIR:
      return Fail(EISDIR);
    case S_IFLNK:
      return Fail(ELOOP);
    default:
      return Fail(EINVAL);
  }
  LISAFS_ASSIGN_OR_RETURN(Fd writable, self.Reopen(file.fd(), O_WRONLY));
  if (ftruncate(writable.get(), static_cast<off_t>(size)) != 0) return FailWithErrno();
  return {};
}

Status SetTimes(HostControl& file, const SetStatReq& request) {
  auto time = [&](uint32_t bit, const Timespec& value) {
    return (request.mask & bit) != 0 ? timespec{value.sec, value.nsec} : timespec{0, UTIME_OMIT};
  };
  timespec times[] = {time(STATX_ATIME, request.atime), time(STATX_MTIME, request.mtime)};
  if (utimensat(file.fd(), "", times, AT_EMPTY_PATH) != 0) return FailWithErrno();
  return {};
}

Status SetOwner(const SelfFds& self, HostControl& file, const SetStatReq& request) {
  uint32_t uid = (request.mask & STATX_UID) != 0 ? request.uid : kNoId;
  uint32_t gid = (request.mask & STATX_GID) != 0 ? request.gid : kNoId;
  if (uid == kNoId && gid == kNoId) return {};
  if (fchownat(file.fd(), "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0) return FailWithErrno();
  // chown(2) takes set-id bits away, also those that the same request asks for.
  bool wants_set_id = (request.mask & STATX_MODE) != 0 && (request.mode & (S_ISUID | S_ISGID)) != 0;
  if (wants_set_id && !file.is_directory()) return SetMode(self, file, request.mode);
  return {};
}

// Each attribute is tried, whatever became of the others.
Result<SetStatResp> SetStat(Connection& connection, const SetStatReq& request) {
  LISAFS_ASSIGN_OR_RETURN(auto file, connection.fds().Get<HostControl>(request.fd));
  if ((request.mask & ~kSettable) != 0) return Fail(EPERM);
  const SelfFds& self = Self(connection);
  SetStatResp response;
  auto attempt = [&](uint32_t bits, auto&& set) {
    if ((request.mask & bits) == 0) return;
    if (Status status = set(); !status) {
      response.failure_mask |= request.mask & bits;
      response.failure_errno = static_cast<uint32_t>(status.error().value());
    }
  };
  attempt(STATX_MODE, [&] { return SetMode(self, *file, request.mode); });
  attempt(STATX_SIZE, [&] { return SetSize(self, *file, request.size); });
  attempt(kTimes, [&] { return SetTimes(*file, request); });
  attempt(kOwner, [&] { return SetOwner(self, *file, request); });
  return response;
}

Result<StatFs> FStatFs(Connection& connection, const FdReq& request) {
  LISAFS_ASSIGN_OR_RETURN(auto file, connection.fds().Get<HostControl>(request.fd));
  struct statfs host;
  if (fstatfs(file->fd(), &host) != 0) return FailWithErrno();
  return StatFs{
      .type = static_cast<uint64_t>(host.f_type),
      .block_size = host.f_bsize,
      .blocks = host.f_blocks,
      .blocks_free = host.f_bfree,
      .blocks_available = host.f_bavail,
      .files = host.f_files,
      .files_free = host.f_ffree,
      .name_length = static_cast<uint64_t>(host.f_namelen),
  };
}

// Straight into the response: only the length is looked at.
Result<size_t> ReadLinkAt(Connection& connection, const FdReq& request, Call& call) {
  LISAFS_ASSIGN_OR_RETURN(auto link, connection.fds().Get<HostControl>(request.fd));
  if (link->file_type() != S_IFLNK || link->node().deleted()) return Fail(EINVAL);
  Writer writer(call.response);
  std::span<std::byte> length = writer.Reserve(sizeof(uint16_t));
  std::span<std::byte> target = writer.Reserve(std::min<size_t>(call.response.size() - writer.size(), PATH_MAX));
  ssize_t n = readlinkat(link->fd(), "", reinterpret_cast<char*>(target.data()), target.size());
  if (n < 0) return FailWithErrno();
  Writer(length).Write(static_cast<uint16_t>(n));
  return length.size() + static_cast<size_t>(n);
}

}  // namespace

void ServeAttributes(HandlerTable& table) {
  table.Serve<Mid::kFStat, FStat>();
  table.Serve<Mid::kSetStat, SetStat>(Effect::kWrites);
  table.Serve<Mid::kFStatFS, FStatFs>();
  table.Serve<Mid::kReadLinkAt, ReadLinkAt>();
}

}  // namespace lisafs
