#include "plugin/operations.h"

#include <linux/magic.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <type_traits>

#include "plugin/fuse_init.h"

namespace lisafs {

// Which operation serves an opcode. An opcode without one gets ENOSYS, and so does one whose message the server did not
// announce: the kernel then stops asking, or does without. So it does where directories are opened and closed: it asks
// for what is in them if it has not cached that.
struct Operations::Dispatch {
  enum Effect {
    kReads,
    kChanges,    // Refused on a read-only mount without asking the server.
    kGivesBack,  // Does what it can even when the server is gone.
  };

  struct Entry {
    Status (*serve)(Operations&, Call&, Reply&) = nullptr;
    Effect effect = kReads;
    Mid needs = Mid::kMount;  // A message that every server announces stands for none.
  };
  static constexpr size_t kOpcodes = 64;
  using Table = std::array<Entry, kOpcodes>;

  template <typename Method>
  struct ArgumentOf;
  template <typename In>
  struct ArgumentOf<Status (Operations::*)(Call&, const In&, Reply&)> {
    using Type = In;
  };

  template <auto kMethod>
  static Status Serve(Operations& operations, Call& call, Reply& reply) {
    using In = typename ArgumentOf<decltype(kMethod)>::Type;
    if constexpr (std::is_empty_v<In>) {
      return (operations.*kMethod)(call, In(), reply);
    } else {
      LISAFS_ASSIGN_OR_RETURN(In in, call.arguments.Take<In>());
      return (operations.*kMethod)(call, in, reply);
    }
  }

  static constexpr Table MakeTable() {
    using O = Operations;
    Table table;
    table[FUSE_INIT] = {Serve<&O::Init>, kGivesBack};
    table[FUSE_DESTROY] = {Serve<&O::Destroy>, kGivesBack};
    table[FUSE_LOOKUP] = {Serve<&O::Lookup>};
    table[FUSE_FORGET] = {Serve<&O::Forget>, kGivesBack};
    table[FUSE_BATCH_FORGET] = {Serve<&O::BatchForget>, kGivesBack};
    table[FUSE_GETATTR] = {Serve<&O::GetAttr>};
    table[kFuseStatx] = {Serve<&O::GetStatx>};
    table[FUSE_SETATTR] = {Serve<&O::SetAttr>, kChanges};
    table[FUSE_READLINK] = {Serve<&O::ReadLink>};
    table[FUSE_STATFS] = {Serve<&O::StatFs>};
    table[FUSE_OPEN] = {Serve<&O::Open>};
    table[FUSE_CREATE] = {Serve<&O::Create>, kChanges};
    table[FUSE_TMPFILE] = {Serve<&O::TmpFile>, kChanges, Mid::kOpenUnnamed};
    table[FUSE_RELEASE] = {Serve<&O::Release>, kGivesBack};
    table[FUSE_FLUSH] = {Serve<&O::Flush>, kReads, Mid::kFlush};
    table[FUSE_READ] = {Serve<&O::Read>};
    table[FUSE_WRITE] = {Serve<&O::Write>};
    table[FUSE_FSYNC] = {Serve<&O::FSync>};
    table[FUSE_FALLOCATE] = {Serve<&O::FAllocate>};
    table[FUSE_LSEEK] = {Serve<&O::LSeek>};
    table[FUSE_COPY_FILE_RANGE] = {Serve<&O::CopyFileRange>};
    table[FUSE_IOCTL] = {Serve<&O::Ioctl>};
    table[FUSE_READDIR] = {Serve<&O::ReadDir>};
    table[FUSE_READDIRPLUS] = {Serve<&O::ReadDirPlus>};
    table[FUSE_FSYNCDIR] = {Serve<&O::FSyncDir>};
    table[FUSE_MKDIR] = {Serve<&O::MakeDir>, kChanges};
    table[FUSE_MKNOD] = {Serve<&O::MakeNode>, kChanges};
    table[FUSE_SYMLINK] = {Serve<&O::Symlink>, kChanges};
    table[FUSE_LINK] = {Serve<&O::Link>, kChanges};
    table[FUSE_UNLINK] = {Serve<&O::Unlink>, kChanges};
    table[FUSE_RMDIR] = {Serve<&O::RemoveDir>, kChanges};
    table[FUSE_RENAME] = {Serve<&O::Rename>, kChanges};
    table[FUSE_RENAME2] = {Serve<&O::Rename2>, kChanges};
    table[FUSE_SETXATTR] = {Serve<&O::SetXattr>, kChanges, Mid::kFSetXattr};
    table[FUSE_GETXATTR] = {Serve<&O::GetXattr>, kReads, Mid::kFGetXattr};
    table[FUSE_LISTXATTR] = {Serve<&O::ListXattr>, kReads, Mid::kFListXattr};
    table[FUSE_REMOVEXATTR] = {Serve<&O::RemoveXattr>, kChanges, Mid::kFRemoveXattr};
    return table;
  }
  static const Table kTable;

  // The errno that the kernel is told for one of the server's or of the client's own.
  static int Shown(Errno error) {
    switch (error.value()) {
      case ECONNRESET:  // The connection is gone, or the server broke the protocol.
      case EPROTO:
        return EIO;
      case ENOSYS:  // Would have the kernel never ask again, whatever the file.
        return EOPNOTSUPP;
    }
    // The kernel takes no others.
    return error.value() > 0 && error.value() < 512 ? error.value() : EIO;
  }
};

constexpr Operations::Dispatch::Table Operations::Dispatch::kTable = MakeTable();

namespace {

ClaimKind KindOf(uint32_t opcode) {
  switch (opcode) {
    case FUSE_LOOKUP:
      return ClaimKind::kLookup;
    case FUSE_GETATTR:
    case kFuseStatx:
      return ClaimKind::kAttributes;
    case FUSE_OPEN:
    case FUSE_CREATE:
      return ClaimKind::kOpen;
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:
      return ClaimKind::kList;
    case FUSE_READ:
    case FUSE_WRITE:
      return ClaimKind::kData;
    default:
      return ClaimKind::kOther;
  }
}

}  // namespace

Operations::Operations(Client& client, const MountOptions& options, WakerSocket waker)
    : client_(client),
      options_(options),
      root_(Identity::Of(client.root().stat)),
      nodes_(client),
      waker_(nodes_, std::move(waker), !opens_by_itself_) {}

int Operations::Serve(std::span<const std::byte> request, Reply& reply) {
  const uint64_t calls = Client::CallsOfThread();
  const int error = ServeUncounted(request, reply);
  uint32_t opcode = 0;
  if (options_.claims != nullptr && reply.expected() && request.size() >= sizeof(fuse_in_header)) {
    memcpy(&opcode, request.data() + offsetof(fuse_in_header, opcode), sizeof opcode);
    options_.claims->Count(KindOf(opcode), Client::CallsOfThread() == calls);
  }
  return error;
}

int Operations::ServeUncounted(std::span<const std::byte> request, Reply& reply) {
  reply.Reset();
  Arguments arguments(request);
  auto header = arguments.Take<fuse_in_header>();
  if (!header) {
    reply.ExpectNone();
    return EINVAL;
  }
  const auto& entry = Dispatch::kTable[std::min<size_t>(header->opcode, Dispatch::kOpcodes - 1)];
  if (entry.serve == nullptr || (entry.needs != Mid::kMount && !client_.Supports(entry.needs))) return ENOSYS;
  if (waker_.IsCaller(header->pid)) [[unlikely]] {
    Call call{*header, arguments};
    auto served = ServeWaker(call, entry.effect == Dispatch::kChanges, reply);
    if (!served) {
      TakeBack(reply);
      return Dispatch::Shown(served.error());
    }
    if (*served) return 0;
  }
  if (entry.effect == Dispatch::kChanges && options_.read_only) return EROFS;
  if (header->opcode == FUSE_OPEN && opens_by_itself_ && exclusive()) return ENOSYS;
  // The host's descriptors would still serve, but a file system that is half gone is worse than one that is gone.
  if (entry.effect != Dispatch::kGivesBack && !client_.connected()) return EIO;
  Call call{*header, arguments};
  Status served = entry.serve(*this, call, reply);
  // The server has no descriptors left. Those that it has only not been told to close go first, then those that are
  // kept for later; nothing has been done yet.
  for (bool told = false; !served && served.error() == Errno(EMFILE); told = true) {
    if (!told) {
      DropAllKeptOpen();
      client_.FlushClosed();
    } else if (!nodes_.ReduceBudget()) {
      break;
    }
    TakeBack(reply);
    Call again{*header, arguments};
    served = entry.serve(*this, again, reply);
  }
  if (served) return 0;
  TakeBack(reply);
  return Dispatch::Shown(served.error());
}

Result<Fd> Operations::Subscribe() {
  if (exclusive()) return Fail(EOPNOTSUPP);
  return watches_.Subscribe(client_);
}

void Operations::ClosePromptly() {
  prompt_closing_ = std::make_unique<PromptClosing>(client_);
  closes_promptly_ = prompt_closing_.get();
}

void Operations::WatchKnown() {
  // Of those that the server watches for all.
  constexpr size_t kMaxKnown = 8192;
  size_t count = 0;
  nodes_.ForEachNode([&](Node& node) {
    if (exclusive() || count >= kMaxKnown) return;
    if (!IsWatchable(node) || watches_.Watched(node) || Watches::CannotWatch(node)) return;
    auto pinned = nodes_.Pin(nodes_.Ref(node));
    if (pinned && watches_.Watch(client_, *pinned)) ++count;
  });
}

void Operations::TakeBack(Reply& reply) {
  for (uint64_t id : reply.looked_up) ForgetNode(id, 1);
  if (reply.opened != 0) RemoveHandle(reply.opened);
  reply.Reset();
}

Status Operations::Init(Call& call, const None&, Reply& reply) {
  // Older kernels send less than today's struct: without flags2 and what follows it.
  fuse_init_in in = {};
  if (call.arguments.size() < offsetof(fuse_init_in, flags2)) return Fail(EINVAL);
  LISAFS_ASSIGN_OR_RETURN(auto bytes, call.arguments.TakeBytes(std::min(call.arguments.size(), sizeof in)));
  memcpy(&in, bytes.data(), bytes.size());
  const bool passthrough = options_.passthrough_from && client_.Supports(Mid::kOpenBacking);
  LISAFS_ASSIGN_OR_RETURN(fuse_init_out answer, Negotiate(in, passthrough ? StackDepth() : 0));
  reply.Append<fuse_init_out>() = answer;
  if (TakesPassthrough(answer)) {
    io_modes_.Enable();
    // If it cannot, descriptors come as before.
    (void)client_.Call<Mid::kSetDonation>({.donate = 0});
  }
  return {};
}

// A file system that is stacked on others itself counts as one level, and asks for a second. On all others one is
// enough, and leaves the container the other: for an overlayfs of its own upon this.
uint32_t Operations::StackDepth() {
  auto stat = client_.Call<Mid::kFStatFS>({client_.root().control_fd});
  const bool stacked = stat && (stat->type == OVERLAYFS_SUPER_MAGIC || stat->type == FUSE_SUPER_MAGIC ||
                                stat->type == ECRYPTFS_SUPER_MAGIC);
  return stacked ? 2 : 1;
}

Status Operations::Destroy(Call&, const None&, Reply&) { return {}; }

}  // namespace lisafs
