#ifndef LISAFS_LISAFS_BODIES_H_
#define LISAFS_LISAFS_BODIES_H_

#include <stdint.h>

#include <string_view>

#include "lisafs/wire.h"

// The bodies of LISAFS's messages, each with its fields in wire order. lisafs/messages.h says which message has which,
// and is what to include.

namespace lisafs {

// A server object's handle, on one connection. Zero is never issued.
using Fdid = uint64_t;
inline constexpr Fdid kInvalidFdid = 0;

// A uid or gid that means "none" or "do not change".
inline constexpr uint32_t kNoId = UINT32_MAX;

// The payload limit that gVisor recommends and everybody uses: a 2 MiB huge page less one page, so that a channel's
// window with its headers is a huge page.
inline constexpr uint32_t kDefaultMaxMessage = 2093056;

// statx's timestamp, 16 bytes.
struct StatxTimestamp {
  using WireImage = void;
  int64_t sec = 0;
  uint32_t nsec = 0;
  int32_t padding = 0;
};

// The first 144 bytes of Linux's struct statx, frozen. `mask` says which fields are valid, by STATX_*; bits that a
// client does not know are to be ignored. Device numbers come major first here.
struct Statx {
  using WireImage = void;
  uint32_t mask = 0;
  uint32_t blksize = 0;
  uint64_t attributes = 0;
  uint32_t nlink = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint16_t mode = 0;  // Type and permissions.
  uint16_t padding = 0;
  uint64_t ino = 0;
  uint64_t size = 0;
  uint64_t blocks = 0;  // Of 512 bytes.
  uint64_t attributes_mask = 0;
  StatxTimestamp atime, btime, ctime, mtime;
  uint32_t rdev_major = 0, rdev_minor = 0;
  uint32_t dev_major = 0, dev_minor = 0;
};
static_assert(sizeof(Statx) == 144);

// A new control FD with what it stands for.
struct Inode {
  using WireImage = void;
  Fdid control_fd = kInvalidFdid;
  Statx stat;
};
static_assert(sizeof(Inode) == 152);

struct Timespec {
  using WireImage = void;
  int64_t sec = 0;
  int64_t nsec = 0;  // In SetStat also UTIME_NOW or UTIME_OMIT.
};

// What the messages that create something begin with.
struct CreateCommon {
  using WireImage = void;
  Fdid dir_fd = kInvalidFdid;
  uint32_t uid = kNoId;
  uint32_t gid = kNoId;
  uint16_t mode = 0;  // Type and permissions, as of mknod(2).
  uint16_t padding[3] = {};
};
static_assert(sizeof(CreateCommon) == 24);

using FdArray = PackedArray<Fdid>;
using MidArray = PackedArray<uint16_t>;

// WalkResp::status.
enum class WalkStatus : uint8_t {
  kSuccess = 0,
  kComponentDoesNotExist = 1,
  kComponentSymlink = 2,  // Stopped at a symbolic link with components left.
};

struct Empty {
  auto Tie() const { return std::tuple<>(); }
  static constexpr std::string_view kFieldNames = {};
};
struct ErrorResp {
  uint32_t error = 0;
  LISAFS_FIELDS(error);
};
struct MountResp {
  Inode root;
  uint32_t max_message = 0;  // Payload bytes, headers excluded.
  MidArray supported;
  LISAFS_FIELDS(root, max_message, supported);
};
struct ChannelResp {
  int64_t data_offset = 0;   // Of the channel's window in the donated file, page aligned.
  uint64_t data_length = 0;  // Of the window.
  LISAFS_FIELDS(data_offset, data_length);
};
struct FdReq {
  Fdid fd = kInvalidFdid;
  LISAFS_FIELDS(fd);
};
struct StatResp {
  Statx stat;
  LISAFS_FIELDS(stat);
};
struct SetStatReq {
  Fdid fd = kInvalidFdid;
  uint32_t mask = 0;  // STATX_MODE, _UID, _GID, _SIZE, _ATIME, _MTIME.
  uint32_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t size = 0;
  Timespec atime, mtime;
  LISAFS_FIELDS(fd, mask, mode, uid, gid, size, atime, mtime);
};
struct SetStatResp {
  uint32_t failure_mask = 0;   // The attributes that could not be set,
  uint32_t failure_errno = 0;  // and why the last of them could not.
  LISAFS_FIELDS(failure_mask, failure_errno);
};
struct WalkReq {
  Fdid dir_fd = kInvalidFdid;
  StringArray path;
  LISAFS_FIELDS(dir_fd, path);
};
struct WalkResp {
  WalkStatus status = WalkStatus::kSuccess;
  PackedArray<Inode> inodes;
  LISAFS_FIELDS(status, inodes);
};
struct WalkStatResp {
  PackedArray<Statx> stats;
  LISAFS_FIELDS(stats);
};
// Linux's own word in the flags of an open file that is to be executed (__FMODE_EXEC): it changes nothing.
inline constexpr uint32_t kOpenToExecute = 0x20;
struct OpenAtReq {
  Fdid fd = kInvalidFdid;
  uint32_t flags = 0;
  Pad<4> padding;
  LISAFS_FIELDS(fd, flags, padding);
};
struct OpenAtResp {
  Fdid open_fd = kInvalidFdid;
  LISAFS_FIELDS(open_fd);
};
struct OpenCreateAtReq {
  CreateCommon common;
  uint32_t flags = 0;
  std::string_view name;
  LISAFS_FIELDS(common, flags, name);
};
struct OpenCreateAtResp {
  Inode child;
  Fdid open_fd = kInvalidFdid;
  LISAFS_FIELDS(child, open_fd);
};
struct FdsReq {
  FdArray fds;
  LISAFS_FIELDS(fds);
};
struct PWriteReq {
  uint64_t offset = 0;
  Fdid fd = kInvalidFdid;
  uint32_t count = 0;
  Rest data;  // At least `count` bytes; what follows them is ignored.
  LISAFS_FIELDS(offset, fd, count, data);
};
inline constexpr size_t kPWriteHeaderSize = 20;
struct PWriteResp {
  uint64_t count = 0;
  LISAFS_FIELDS(count);
};
struct PReadReq {
  uint64_t offset = 0;
  Fdid fd = kInvalidFdid;
  uint32_t count = 0;
  Pad<4> padding;
  LISAFS_FIELDS(offset, fd, count, padding);
};
struct PReadResp {
  uint64_t count = 0;
  Rest data;
  LISAFS_FIELDS(count, data);
};
inline constexpr size_t kPReadRespHeaderSize = 8;
struct MkdirAtReq {
  CreateCommon common;
  std::string_view name;
  LISAFS_FIELDS(common, name);
};
struct InodeResp {
  Inode child;
  LISAFS_FIELDS(child);
};
struct MknodAtReq {
  CreateCommon common;
  uint32_t minor = 0;
  uint32_t major = 0;
  std::string_view name;
  LISAFS_FIELDS(common, minor, major, name);
};
struct SymlinkAtReq {
  Fdid dir_fd = kInvalidFdid;
  uint32_t uid = kNoId;
  uint32_t gid = kNoId;
  std::string_view name;
  std::string_view target;
  LISAFS_FIELDS(dir_fd, uid, gid, name, target);
};
struct LinkAtReq {
  Fdid dir_fd = kInvalidFdid;
  Fdid target_fd = kInvalidFdid;
  std::string_view name;
  LISAFS_FIELDS(dir_fd, target_fd, name);
};
struct StatFs {
  uint64_t type = 0;
  int64_t block_size = 0;
  uint64_t blocks = 0;
  uint64_t blocks_free = 0;
  uint64_t blocks_available = 0;
  uint64_t files = 0;
  uint64_t files_free = 0;
  uint64_t name_length = 0;
  LISAFS_FIELDS(type, block_size, blocks, blocks_free, blocks_available, files, files_free, name_length);
};
struct FAllocateReq {
  Fdid fd = kInvalidFdid;
  uint64_t mode = 0;
  uint64_t offset = 0;
  uint64_t length = 0;
  LISAFS_FIELDS(fd, mode, offset, length);
};
struct StringResp {
  std::string_view value;
  LISAFS_FIELDS(value);
};
struct ConnectReq {
  Fdid fd = kInvalidFdid;
  uint32_t sock_type = 0;
  Pad<4> padding;
  LISAFS_FIELDS(fd, sock_type, padding);
};
struct ConnectWithCredsReq {
  Fdid fd = kInvalidFdid;
  uint32_t sock_type = 0;
  Pad<4> padding;
  uint32_t uid = kNoId;
  uint32_t gid = kNoId;
  LISAFS_FIELDS(fd, sock_type, padding, uid, gid);
};
struct UnlinkAtReq {
  Fdid dir_fd = kInvalidFdid;
  uint32_t flags = 0;  // 0 or AT_REMOVEDIR.
  std::string_view name;
  LISAFS_FIELDS(dir_fd, flags, name);
};
struct RenameAtReq {
  Fdid old_dir_fd = kInvalidFdid;
  Fdid new_dir_fd = kInvalidFdid;
  std::string_view old_name;
  std::string_view new_name;
  LISAFS_FIELDS(old_dir_fd, new_dir_fd, old_name, new_name);
};
struct RenameAt2Req {
  Fdid old_dir_fd = kInvalidFdid;
  Fdid new_dir_fd = kInvalidFdid;
  std::string_view old_name;
  std::string_view new_name;
  uint32_t flags = 0;  // RENAME_NOREPLACE or RENAME_EXCHANGE.
  LISAFS_FIELDS(old_dir_fd, new_dir_fd, old_name, new_name, flags);
};
struct Getdents64Req {
  Fdid fd = kInvalidFdid;
  int32_t count = 0;  // A budget in bytes of struct linux_dirent64; negative: from the start of the directory.
  Pad<4> padding;
  LISAFS_FIELDS(fd, count, padding);
};
// Followed by `count` Dirents. Read and written one at a time.
struct Getdents64Resp {
  uint16_t count = 0;
  Rest dirents;
  LISAFS_FIELDS(count, dirents);
};
struct Dirent {
  uint64_t ino = 0;
  uint32_t dev_minor = 0;
  uint32_t dev_major = 0;
  uint64_t off = 0;  // The directory's position behind this entry: the kernel's d_off.
  uint8_t type = 0;  // DT_*.
  std::string_view name;
  LISAFS_FIELDS(ino, dev_minor, dev_major, off, type, name);
};
struct FGetXattrReq {
  Fdid fd = kInvalidFdid;
  uint32_t size = 0;  // 0: whatever the value's size.
  std::string_view name;
  LISAFS_FIELDS(fd, size, name);
};
struct FSetXattrReq {
  Fdid fd = kInvalidFdid;
  uint32_t flags = 0;  // XATTR_CREATE or XATTR_REPLACE.
  std::string_view name;
  std::string_view value;
  LISAFS_FIELDS(fd, flags, name, value);
};
struct FListXattrReq {
  Fdid fd = kInvalidFdid;
  uint64_t size = 0;
  LISAFS_FIELDS(fd, size);
};
struct FListXattrResp {
  StringArray names;
  LISAFS_FIELDS(names);
};
struct FRemoveXattrReq {
  Fdid fd = kInvalidFdid;
  std::string_view name;
  LISAFS_FIELDS(fd, name);
};
struct BindAtReq {
  CreateCommon common;
  uint32_t sock_type = 0;
  std::string_view name;
  LISAFS_FIELDS(common, sock_type, name);
};
struct BindAtResp {
  Inode child;
  Fdid bound_socket_fd = kInvalidFdid;
  LISAFS_FIELDS(child, bound_socket_fd);
};
struct OpenBackingResp {
  uint32_t backing_id = 0;  // Never 0.
  Statx stat;
  LISAFS_FIELDS(backing_id, stat);
};
struct WatchReq {
  Fdid fd = kInvalidFdid;
  uint64_t id = 0;  // What HostChanges are to call it.
  LISAFS_FIELDS(fd, id);
};
struct SetDonationReq {
  uint32_t donate = 0;  // 0: no, 1: yes.
  LISAFS_FIELDS(donate);
};
struct ListenReq {
  Fdid fd = kInvalidFdid;
  int32_t backlog = 0;
  Pad<4> padding;
  LISAFS_FIELDS(fd, backlog, padding);
};

// Of an open directory, from a position that an entry gave, or 0: the start. Where the open FD's own position is
// afterwards is not said.
struct ListStatReq {
  Fdid fd = kInvalidFdid;
  uint64_t position = 0;
  uint32_t size = 0;  // At most so many bytes of entries.
  Pad<4> padding;
  LISAFS_FIELDS(fd, position, size, padding);
};
// Followed by `count` StatDirents. Read and written one at a time.
struct ListStatResp {
  uint16_t count = 0;
  Rest dirents;
  LISAFS_FIELDS(count, dirents);
};
struct StatDirent {
  uint64_t off = 0;  // The directory's position behind this entry: the kernel's d_off.
  Statx stat;
  std::string_view name;
  LISAFS_FIELDS(off, stat, name);
};
inline constexpr size_t kStatDirentSize = 154;  // Without its name.
struct SeekReq {
  Fdid fd = kInvalidFdid;
  uint64_t offset = 0;
  uint32_t whence = 0;  // SEEK_DATA or SEEK_HOLE.
  Pad<4> padding;
  LISAFS_FIELDS(fd, offset, whence, padding);
};
struct SeekResp {
  uint64_t offset = 0;
  LISAFS_FIELDS(offset);
};
struct CopyFileRangeReq {
  Fdid from_fd = kInvalidFdid;
  uint64_t from_offset = 0;
  Fdid to_fd = kInvalidFdid;
  uint64_t to_offset = 0;
  uint64_t length = 0;
  LISAFS_FIELDS(from_fd, from_offset, to_fd, to_offset, length);
};
struct OpenUnnamedReq {
  CreateCommon common;
  uint32_t flags = 0;  // O_WRONLY or O_RDWR.
  Pad<4> padding;
  LISAFS_FIELDS(common, flags, padding);
};

}  // namespace lisafs

#endif  // LISAFS_LISAFS_BODIES_H_
