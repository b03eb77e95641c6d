#ifndef LISAFS_LISAFS_MESSAGES_H_
#define LISAFS_LISAFS_MESSAGES_H_

#include <stdint.h>

#include <string_view>

#include "lisafs/bodies.h"

// Every message of LISAFS, declared once. Its codec follows from the fields of its bodies; its name in logs, its
// counters and its row in docs/protocol.md follow from its line in LISAFS_MESSAGES.
//
// The wire is gVisor's (pkg/lisafs), byte for byte. What it means is docs/protocol.md's to say; the comments here give
// only what a field's name does not.

namespace lisafs {

// X(number, name, request body, response body, descriptors that may come with the response, purpose).
// 0 to 255 are gVisor's; 256 and up are ours: a server announces them, a stock client never sends them.
#define LISAFS_MESSAGES(X)                                                                                          \
  X(0, Error, Empty, ErrorResp, 0, "A failed request's response: a Linux errno.")                                   \
  X(1, Mount, Empty, MountResp, 1, "Begins: the root's control FD, the payload limit and what the server serves.")  \
  X(2, Channel, Empty, ChannelResp, 2,                                                                              \
    "Makes a shared-memory lane. Donates the windows' file and the descriptor socket.")                             \
  X(3, FStat, FdReq, StatResp, 0, "The attributes of a control FD or an open FD.")                                  \
  X(4, SetStat, SetStatReq, SetStatResp, 0, "Sets the masked attributes; each may fail by itself.")                 \
  X(5, Walk, WalkReq, WalkResp, 0, "Steps through names, with a control FD for each.")                              \
  X(6, WalkStat, WalkReq, WalkStatResp, 0, "Steps through names for their attributes alone.")                       \
  X(7, OpenAt, OpenAtReq, OpenAtResp, 1, "Opens a control FD's file. May donate the host's descriptor.")            \
  X(8, OpenCreateAt, OpenCreateAtReq, OpenCreateAtResp, 1,                                                          \
    "Creates a regular file, always exclusively, and opens it.")                                                    \
  X(9, Close, FdsReq, Empty, 0, "Gives FDs of any kind back.")                                                      \
  X(10, FSync, FdsReq, Empty, 0, "fsync(2) on each open FD.")                                                       \
  X(11, PWrite, PWriteReq, PWriteResp, 0, "Writes at an offset.")                                                   \
  X(12, PRead, PReadReq, PReadResp, 0, "Reads at an offset.")                                                       \
  X(13, MkdirAt, MkdirAtReq, InodeResp, 0, "Makes a directory.")                                                    \
  X(14, MknodAt, MknodAtReq, InodeResp, 0, "Makes a regular file or an overlay whiteout.")                          \
  X(15, SymlinkAt, SymlinkAtReq, InodeResp, 0, "Makes a symbolic link.")                                            \
  X(16, LinkAt, LinkAtReq, InodeResp, 0, "Makes a hard link.")                                                      \
  X(17, FStatFS, FdReq, StatFs, 0, "statfs(2) of a control FD's file system.")                                      \
  X(18, FAllocate, FAllocateReq, Empty, 0, "fallocate(2); from a stock client always with mode 0.")                 \
  X(19, ReadLinkAt, FdReq, StringResp, 0, "A symbolic link's target.")                                              \
  X(20, Flush, FdReq, Empty, 0, "close(2) of an application's descriptor.")                                         \
  X(21, Connect, ConnectReq, Empty, 1, "Connects to a host socket and donates the connection.")                     \
  X(22, UnlinkAt, UnlinkAtReq, Empty, 0, "Removes a name.")                                                         \
  X(23, RenameAt, RenameAtReq, Empty, 0, "Renames.")                                                                \
  X(24, Getdents64, Getdents64Req, Getdents64Resp, 0, "Lists a directory from its open FD's position.")             \
  X(25, FGetXattr, FGetXattrReq, StringResp, 0, "An extended attribute's value.")                                   \
  X(26, FSetXattr, FSetXattrReq, Empty, 0, "Sets an extended attribute.")                                           \
  X(27, FListXattr, FListXattrReq, FListXattrResp, 0, "The names of the extended attributes.")                      \
  X(28, FRemoveXattr, FRemoveXattrReq, Empty, 0, "Removes an extended attribute.")                                  \
  X(29, BindAt, BindAtReq, BindAtResp, 1, "Binds a host socket.")                                                   \
  X(30, Listen, ListenReq, Empty, 0, "listen(2) on a bound socket.")                                                \
  X(31, Accept, FdReq, StringResp, 1, "accept(2) on a bound socket; donates the connection.")                       \
  X(32, ConnectWithCreds, ConnectWithCredsReq, Empty, 1, "Connects with the application's ids.")                    \
  X(33, RenameAt2, RenameAt2Req, Empty, 0, "Renames without replacing, or exchanges.")                              \
  X(256, SleepFlags, Empty, Empty, 0,                                                                               \
    "This client watches for its peer before it sleeps, and in a channel's window both sides say when they sleep.") \
  X(257, MakeNodeAt, MknodAtReq, InodeResp, 0,                                                                      \
    "Makes a FIFO or a socket file that the client's own kernel will serve.")                                       \
  X(258, ListStat, ListStatReq, ListStatResp, 0, "Lists a directory from a given position, with attributes.")       \
  X(259, Seek, SeekReq, SeekResp, 0, "Where a regular file's next data or hole begins.")                            \
  X(260, CopyFileRange, CopyFileRangeReq, PWriteResp, 0, "Copies from one open FD to another.")                     \
  X(261, OpenUnnamed, OpenUnnamedReq, OpenCreateAtResp, 1,                                                          \
    "Creates a regular file without a name, which LinkAt may give it, and opens it.")                               \
  X(262, FDataSync, FdReq, Empty, 0, "fdatasync(2) on an open FD.")                                                 \
  X(263, OpenBacking, FdReq, OpenBackingResp, 0,                                                                    \
    "Has an open FD's file registered with the client's FUSE file system, until the open FD is closed.")            \
  X(264, Subscribe, Empty, Empty, 1, "Begins: donates the socket that tells what others change.")                   \
  X(265, Watch, WatchReq, Empty, 0, "From now on tells what others change in a directory, or of a file.")           \
  X(266, SetDonation, SetDonationReq, Empty, 0, "Whether the client wants the descriptors of regular files.")

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
