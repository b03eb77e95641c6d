#ifndef LISAFS_LISAFS_MESSAGES_H_
#define LISAFS_LISAFS_MESSAGES_H_

#include <stdint.h>

#include <string_view>

#include "lisafs/wire.h"

// Every message of LISAFS, declared once. Its codec follows from the fields of its bodies; its name in logs, its
// counters and its row in docs/protocol.md follow from its line in LISAFS_MESSAGES.
//
// The wire is gVisor's (pkg/lisafs), byte for byte. What it means is docs/protocol.md's to say; the comments here give
// only what a field's name does not.

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

// -------------------------------------------------------------------------------------------------------------------
// bodies

struct Empty {
  auto Tie() const { return std::tuple<>(); }
  static constexpr std::string_view kFieldNames = "";
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
struct ListenReq {
  Fdid fd = kInvalidFdid;
  int32_t backlog = 0;
  Pad<4> padding;
  LISAFS_FIELDS(fd, backlog, padding);
};

// -------------------------------------------------------------------------------------------------------------- the
// messages

// X(number, name, request body, response body, descriptors that may come with the response, purpose).
// 0 to 255 are gVisor's; 256 and up are ours: a server announces them, a stock client never sends them.
#define LISAFS_MESSAGES(X)                                                                                         \
  X(0, Error, Empty, ErrorResp, 0, "A failed request's response: a Linux errno.")                                  \
  X(1, Mount, Empty, MountResp, 1, "Begins: the root's control FD, the payload limit and what the server serves.") \
  X(2, Channel, Empty, ChannelResp, 2,                                                                             \
    "Makes a shared-memory lane. Donates the windows' file and the descriptor socket.")                            \
  X(3, FStat, FdReq, StatResp, 0, "The attributes of a control FD or an open FD.")                                 \
  X(4, SetStat, SetStatReq, SetStatResp, 0, "Sets the masked attributes; each may fail by itself.")                \
  X(5, Walk, WalkReq, WalkResp, 0, "Steps through names, with a control FD for each.")                             \
  X(6, WalkStat, WalkReq, WalkStatResp, 0, "Steps through names for their attributes alone.")                      \
  X(7, OpenAt, OpenAtReq, OpenAtResp, 1, "Opens a control FD's file. May donate the host's descriptor.")           \
  X(8, OpenCreateAt, OpenCreateAtReq, OpenCreateAtResp, 1,                                                         \
    "Creates a regular file, always exclusively, and opens it.")                                                   \
  X(9, Close, FdsReq, Empty, 0, "Gives FDs of any kind back.")                                                     \
  X(10, FSync, FdsReq, Empty, 0, "fsync(2) on each open FD.")                                                      \
  X(11, PWrite, PWriteReq, PWriteResp, 0, "Writes at an offset.")                                                  \
  X(12, PRead, PReadReq, PReadResp, 0, "Reads at an offset.")                                                      \
  X(13, MkdirAt, MkdirAtReq, InodeResp, 0, "Makes a directory.")                                                   \
  X(14, MknodAt, MknodAtReq, InodeResp, 0, "Makes a regular file or an overlay whiteout.")                         \
  X(15, SymlinkAt, SymlinkAtReq, InodeResp, 0, "Makes a symbolic link.")                                           \
  X(16, LinkAt, LinkAtReq, InodeResp, 0, "Makes a hard link.")                                                     \
  X(17, FStatFS, FdReq, StatFs, 0, "statfs(2) of a control FD's file system.")                                     \
  X(18, FAllocate, FAllocateReq, Empty, 0, "fallocate(2); from a stock client always with mode 0.")                \
  X(19, ReadLinkAt, FdReq, StringResp, 0, "A symbolic link's target.")                                             \
  X(20, Flush, FdReq, Empty, 0, "close(2) of an application's descriptor.")                                        \
  X(21, Connect, ConnectReq, Empty, 1, "Connects to a host socket and donates the connection.")                    \
  X(22, UnlinkAt, UnlinkAtReq, Empty, 0, "Removes a name.")                                                        \
  X(23, RenameAt, RenameAtReq, Empty, 0, "Renames.")                                                               \
  X(24, Getdents64, Getdents64Req, Getdents64Resp, 0, "Lists a directory from its open FD's position.")            \
  X(25, FGetXattr, FGetXattrReq, StringResp, 0, "An extended attribute's value.")                                  \
  X(26, FSetXattr, FSetXattrReq, Empty, 0, "Sets an extended attribute.")                                          \
  X(27, FListXattr, FListXattrReq, FListXattrResp, 0, "The names of the extended attributes.")                     \
  X(28, FRemoveXattr, FRemoveXattrReq, Empty, 0, "Removes an extended attribute.")                                 \
  X(29, BindAt, BindAtReq, BindAtResp, 1, "Binds a host socket.")                                                  \
  X(30, Listen, ListenReq, Empty, 0, "listen(2) on a bound socket.")                                               \
  X(31, Accept, FdReq, StringResp, 1, "accept(2) on a bound socket; donates the connection.")                      \
  X(32, ConnectWithCreds, ConnectWithCredsReq, Empty, 1, "Connects with the application's ids.")                   \
  X(33, RenameAt2, RenameAt2Req, Empty, 0, "Renames without replacing, or exchanges.")                             \
  X(256, SleepFlags, Empty, Empty, 0,                                                                              \
    "On a channel: both sides say in its window when they sleep, and wake only a sleeper.")                        \
  X(257, MakeNodeAt, MknodAtReq, InodeResp, 0, "Makes a FIFO or a socket file that the client's own kernel will serve.")

enum class Mid : uint16_t {
#define X(number, name, request, response, fds, purpose) k##name = number,
  LISAFS_MESSAGES(X)
#undef X
};

// What a message's bodies are: Message<Mid::kFStat>::Request and ::Response; kMaxDonated descriptors may come with the
// response.
template <Mid kMid>
struct Message;
#define X(number, name, request, response, fds, purpose) \
  template <>                                            \
  struct Message<Mid::k##name> {                         \
    using Request = request;                             \
    using Response = response;                           \
    static constexpr size_t kMaxDonated = fds;           \
  };
LISAFS_MESSAGES(X)
#undef X

// No message donates more descriptors than this.
inline constexpr size_t kMaxDonated = 2;

// Messages in the order of LISAFS_MESSAGES, by a dense index: what handlers and counters are arrays over.
inline constexpr Mid kAllMids[] = {
#define X(number, name, request, response, fds, purpose) Mid::k##name,
    LISAFS_MESSAGES(X)
#undef X
};
inline constexpr size_t kMessageCount = std::size(kAllMids);

// The dense index of a message number off the wire, or -1 for one that is not declared here.
constexpr int MessageIndex(uint16_t mid) {
  if (mid <= 33) return mid;
  if (mid >= 256 && mid < 256 + kMessageCount - 34) return mid - 256 + 34;
  return -1;
}
constexpr int MessageIndex(Mid mid) { return MessageIndex(static_cast<uint16_t>(mid)); }
static_assert([] {
  for (size_t i = 0; i < kMessageCount; ++i) {
    if (MessageIndex(kAllMids[i]) != static_cast<int>(i)) return false;
  }
  return true;
}());

// "FStat"; "message 99" is not ours to invent: an undeclared number gives "".
std::string_view MessageName(Mid mid);

}  // namespace lisafs

#endif  // LISAFS_LISAFS_MESSAGES_H_
