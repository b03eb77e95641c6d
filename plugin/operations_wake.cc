// What lisafs-waker does: it repeats what others have done on the host, so that the kernel tells those who watch. The
// answers have the kernel see it happen. Nothing is done on the server, and what the kernel may believe of the answers
// ends with them: whoever looks next asks.

#include <sys/stat.h>

#include "plugin/operations.h"

namespace lisafs {
namespace {

// Numbers of files that are nowhere but in the kernel: InodeTable gives none whose lower half is 0. The lowest bit of
// the upper half says whether it is a directory.
constexpr uint64_t PretendedId(uint32_t number, bool directory) {
  return static_cast<uint64_t>(number << 1 | (directory ? 1 : 0)) << 32;
}
bool IsPretended(uint64_t nodeid) { return nodeid != 0 && static_cast<uint32_t>(nodeid) == 0; }

constexpr uint64_t kElsewhereId = PretendedId(0, true);

}  // namespace

Result<bool> Operations::ServeWaker(Call& call, bool changes, Reply& reply) {
  const uint64_t nodeid = call.header.nodeid;
  // Nobody is told anything of a mount that is revoked.
  if (options_.policy->Restrictions() & kRevoked) return changes ? Result<bool>(Fail(EACCES)) : false;
  auto [serving, wake] = waker_.Current();
  switch (call.header.opcode) {
    case FUSE_LOOKUP:
      return LookupForWaker(call, wake, reply);
    case FUSE_GETATTR:
      if (!IsPretended(nodeid)) return false;
      FillAttributes(PretendedStat(nodeid), reply.Append<fuse_attr_out>().attr);
      return true;
    case kFuseStatx:
      if (!IsPretended(nodeid)) return false;
      reply.Append<FuseStatxOut>().stat = PretendedStat(nodeid);
      return true;
    case FUSE_GETXATTR:
      if (!IsPretended(nodeid)) return false;
      return Fail(ENODATA);
    case FUSE_MKNOD:
    case FUSE_MKDIR:
      LISAFS_RETURN_IF_ERROR(CreateForWaker(call, call.header.opcode == FUSE_MKDIR, wake, reply));
      return true;
    case FUSE_UNLINK:
    case FUSE_RMDIR:
      if (wake == nullptr || wake->action != WakeAction::kDelete) return Fail(EPERM);
      return true;
    case FUSE_RENAME:
    case FUSE_RENAME2:
      if (wake == nullptr || wake->action != WakeAction::kMove) return Fail(EPERM);
      // The kernel has it at its new place from now on.
      if (wake->file && wake->directory && wake->old_directory) {
        nodes_.MovedByOthers(*wake->old_directory, wake->old_name, *wake->directory, wake->name, wake->file);
      }
      return true;
    case FUSE_SETATTR:
      LISAFS_RETURN_IF_ERROR(SetAttrForWaker(call, wake, reply));
      return true;
    case FUSE_OPEN:
      LISAFS_RETURN_IF_ERROR(OpenForWaker(call, wake, reply));
      return true;
  }
  if (changes) return Fail(EPERM);
  return false;
}

Result<bool> Operations::LookupForWaker(Call& call, Wake* wake, Reply& reply) {
  const uint64_t nodeid = call.header.nodeid;
  Arguments arguments = call.arguments;
  LISAFS_ASSIGN_OR_RETURN(std::string_view name, arguments.TakeName());
  if (nodeid == kRootId && name == WakerLink::kElsewhere) {
    auto& entry = reply.Append<fuse_entry_out>();
    entry.nodeid = kElsewhereId;
    FillAttributes(PretendedStat(kElsewhereId), entry.attr);
    return true;
  }
  if (wake == nullptr) return false;
  auto is = [&](const NodeRef& directory, const std::string& its_name) {
    return directory ? nodeid == directory->id() && name == its_name : nodeid == kElsewhereId;
  };
  const bool is_old = wake->action == WakeAction::kMove && is(wake->old_directory, wake->old_name);
  if (!is_old && !is(wake->directory, wake->name)) return false;

  if (wake->action == WakeAction::kCreate) return Fail(ENOENT);
  if (wake->action == WakeAction::kModify || wake->action == WakeAction::kAttributes) return false;
  if (wake->action == WakeAction::kCloseWrite) {
    // What the kernel knows it goes on knowing.
    NodeRef known = nodes_.FindChild(*wake->directory, name);
    if (known && IsAt(wake->directory, name, known)) return false;
    FillPretended(false, reply);
    return true;
  }
  Resolve(*wake);
  if (wake->is_void) return false;
  if (wake->action == WakeAction::kMove && !is_old) {
    if (!wake->replaced) return Fail(ENOENT);
    FillKnown(*wake, wake->replaced, true, reply);
  } else if (wake->file) {
    FillKnown(*wake, wake->file, wake->action == WakeAction::kDelete, reply);
  } else {
    FillPretended(wake->is_directory, reply);
  }
  return true;
}

Status Operations::CreateForWaker(Call& call, bool directory, Wake* wake, Reply& reply) {
  if (directory) {
    LISAFS_RETURN_IF_ERROR(call.arguments.Take<fuse_mkdir_in>());
  } else {
    LISAFS_RETURN_IF_ERROR(call.arguments.Take<fuse_mknod_in>());
  }
  LISAFS_ASSIGN_OR_RETURN(std::string_view name, call.arguments.TakeName());
  if (wake == nullptr || wake->action != WakeAction::kCreate || call.header.nodeid != wake->directory->id() ||
      name != wake->name) {
    return Fail(EPERM);
  }
  // If the container has found it already, the kernel keeps what it has.
  if (NodeRef known = nodes_.FindChild(*wake->directory, name);
      known && S_ISDIR(known->mode()) == directory && (directory || S_ISREG(known->mode()))) {
    LISAFS_ASSIGN_OR_RETURN(Pinned parent, nodes_.Pin(wake->directory));
    auto stat = StatChild(parent, name);
    if (stat && Identity::Of(*stat) == known->identity()) {
      auto& entry = reply.Append<fuse_entry_out>();
      AddEntry(parent, name, Inode{.stat = *stat}, entry, reply);
      entry.entry_valid = 0;
      entry.entry_valid_nsec = 0;
      return {};
    }
  }
  FillPretended(directory, reply);
  return {};
}

Status Operations::SetAttrForWaker(Call& call, const Wake* wake, Reply& reply) {
  const uint64_t nodeid = call.header.nodeid;
  if (wake == nullptr || (wake->action != WakeAction::kModify && wake->action != WakeAction::kAttributes)) {
    return Fail(EPERM);
  }
  Statx stat;
  if (IsPretended(nodeid)) {
    stat = PretendedStat(nodeid);
  } else {
    // The kernel takes these attributes for what it has made of them itself, and keeps the pages it has.
    LISAFS_ASSIGN_OR_RETURN(NodeRef node, nodes_.Find(nodeid));
    const uint64_t content = node->content();
    LISAFS_ASSIGN_OR_RETURN(stat, StatNode(nodeid));
    if (S_ISREG(stat.mode) && node->content() != content) waker_.SetPagesOutdated(nodeid);
  }
  auto& out = reply.Append<fuse_attr_out>();
  FillAttributes(stat, out.attr);
  return {};
}

// The file is open in the kernel alone: by its number, which no handle has, nothing can be read or written, and there
// is nothing to close. Its pages stay as they are, and so does how others have it open.
Status Operations::OpenForWaker(const Call& call, const Wake* wake, Reply& reply) {
  if (wake == nullptr || wake->action != WakeAction::kCloseWrite) return Fail(EPERM);
  const uint64_t nodeid = call.header.nodeid;
  if (!IsPretended(nodeid)) {
    LISAFS_ASSIGN_OR_RETURN(NodeRef node, nodes_.Find(nodeid));
    // The kernel would want to open the host's file, too.
    if (io_modes_.PassesThrough(*node)) return Fail(EBUSY);
  }
  auto& open = reply.Append<fuse_open_out>();
  open.open_flags = FOPEN_DIRECT_IO | FOPEN_KEEP_CACHE | FOPEN_NOFLUSH;
  return {};
}

// By now the container may have looked for itself: what was known when the change was told may be what is there now.
void Operations::Resolve(Wake& wake) {
  if (wake.is_resolved) return;
  wake.is_resolved = true;
  const bool deletes = wake.action == WakeAction::kDelete;
  const NodeRef& directory = deletes ? wake.directory : wake.old_directory;
  if (wake.file && directory && IsAt(directory, deletes ? wake.name : wake.old_name, wake.file)) {
    // What went is not known then. To have the kernel see a directory go that is there would be to take it away from
    // who works in it, and what is mounted in it.
    wake.is_void = wake.is_directory;
    wake.file = NodeRef();
  }
  if (wake.replaced && wake.directory && IsAt(wake.directory, wake.name, wake.replaced)) {
    wake.file = std::move(wake.replaced);
    wake.replaced = NodeRef();
  }
}

bool Operations::IsAt(const NodeRef& directory, std::string_view name, const NodeRef& file) {
  auto pinned = nodes_.Pin(directory);
  if (!pinned) return false;
  auto stat = StatChild(*pinned, name);
  return stat && Identity::Of(*stat) == file->identity();
}

void Operations::FillKnown(const Wake& wake, const NodeRef& file, bool is_going, Reply& reply) {
  Result<Statx> stat = Fail(ESTALE);
  if (!is_going && wake.directory) {
    if (auto directory = nodes_.Pin(wake.directory)) stat = StatChild(*directory, wake.name);
    if (stat && Identity::Of(*stat) != file->identity()) stat = Fail(ESTALE);
  }
  if (!stat) stat = StatNode(file->id());
  if (!stat) {
    // It cannot be reached any more, and so is not open either.
    stat = PretendedStat(PretendedId(0, file->is_directory()));
    stat->mode = file->mode();
    stat->ino = file->identity().ino;
  } else if (is_going && !file->is_directory()) {
    // The kernel takes one away again.
    ++stat->nlink;
  }
  auto& entry = reply.Append<fuse_entry_out>();
  nodes_.CountLookup(*file);
  FillEntry(file->id(), *stat, entry, reply);
  entry.attr_valid = 0;
  entry.attr_valid_nsec = 0;
}

void Operations::FillPretended(bool directory, Reply& reply) {
  auto& entry = reply.Append<fuse_entry_out>();
  entry.nodeid = PretendedId(pretended_.fetch_add(1, std::memory_order_relaxed) + 1, directory);
  FillAttributes(PretendedStat(entry.nodeid), entry.attr);
}

Statx Operations::PretendedStat(uint64_t nodeid) const {
  const bool directory = nodeid >> 32 & 1;
  Statx stat = {};
  stat.mask = STATX_BASIC_STATS;
  stat.mode = static_cast<uint16_t>(directory ? S_IFDIR | 0700 : S_IFREG | 0600);
  stat.nlink = directory ? 2 : 1;
  stat.ino = nodeid >> 32;
  stat.blksize = 4096;
  stat.dev_major = root_.dev_major;
  stat.dev_minor = root_.dev_minor;
  return stat;
}

}  // namespace lisafs
