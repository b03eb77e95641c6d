#include "gofer/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include <string>
#include <utility>

#include "gofer/name.h"

namespace lisafs {
namespace {

uint16_t AccessOf(uint32_t flags) {
  uint16_t what = 0;
  if ((flags & O_ACCMODE) != O_WRONLY) what |= kReadFrom;
  if ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0) what |= kWrittenTo;
  if ((flags & kOpenToExecute) != 0) what |= kExecuted;
  return what;
}

uint16_t OutcomeOf(const Result<size_t>& result) {
  if (result) return 0;
  switch (result.error().value()) {
    case EACCES:
    case EPERM:
    case EROFS:
      return kRefused;
    case ENOENT:
      return kMissing;
    default:
      return 0;
  }
}

}  // namespace

// One request, seen from its outcome. One overload a request's body.
class AccessNote {
 public:
  AccessNote(AccessLog& log, uint16_t mount, Connection& connection, Mid mid, const Call& call,
             const Result<size_t>& result)
      : log_(log),
        mount_(mount),
        connection_(connection),
        mid_(mid),
        call_(call),
        result_(result),
        outcome_(OutcomeOf(result)) {}

  // Decodes the request and notes it.
  template <Mid kMid>
  void Take() {
    typename Message<kMid>::Request request;
    if (Decode(call_.request, request)) Take(request);
  }

 private:
  void Take(const FdReq& request) { At(request.fd, mid_ == Mid::kFStat ? kLookedUp : kReadFrom); }
  void Take(const SetStatReq& request) {
    At(request.fd, static_cast<uint16_t>(((request.mask & STATX_SIZE) != 0 ? kWrittenTo : 0) |
                                         ((request.mask & ~STATX_SIZE) != 0 ? kAttributesChanged : 0)));
  }
  void Take(const OpenAtReq& request) { At(request.fd, AccessOf(request.flags)); }
  void Take(const OpenCreateAtReq& request) {
    In(request.common.dir_fd, request.name, kMade | AccessOf(request.flags & O_ACCMODE));
  }
  void Take(const MkdirAtReq& request) { In(request.common.dir_fd, request.name, kMade); }
  void Take(const MknodAtReq& request) { In(request.common.dir_fd, request.name, kMade); }
  void Take(const BindAtReq& request) { In(request.common.dir_fd, request.name, kMade); }
  void Take(const SymlinkAtReq& request) { In(request.dir_fd, request.name, kMade); }
  void Take(const LinkAtReq& request) {
    At(request.target_fd, kLookedUp);
    In(request.dir_fd, request.name, kMade);
  }
  void Take(const UnlinkAtReq& request) { In(request.dir_fd, request.name, kRemoved); }
  void Take(const RenameAtReq& request) {
    In(request.old_dir_fd, request.old_name, kRemoved);
    outcome_ &= static_cast<uint16_t>(~kMissing);
    In(request.new_dir_fd, request.new_name, kMade);
  }
  void Take(const RenameAt2Req& request) {
    Take(RenameAtReq{.old_dir_fd = request.old_dir_fd,
                     .new_dir_fd = request.new_dir_fd,
                     .old_name = request.old_name,
                     .new_name = request.new_name});
  }
  void Take(const Getdents64Req& request) { At(request.fd, kReadFrom); }
  void Take(const ListStatReq& request) { At(request.fd, kReadFrom); }
  void Take(const FGetXattrReq& request) { At(request.fd, kReadFrom); }
  void Take(const FListXattrReq& request) { At(request.fd, kReadFrom); }
  void Take(const FSetXattrReq& request) { At(request.fd, kAttributesChanged); }
  void Take(const FRemoveXattrReq& request) { At(request.fd, kAttributesChanged); }
  void Take(const ConnectReq& request) { At(request.fd, kReadFrom | kWrittenTo); }
  void Take(const ConnectWithCredsReq& request) { At(request.fd, kReadFrom | kWrittenTo); }
  // Whose response has as many entries as there were names.
  void Take(const WalkReq& request) {
    std::string path;
    if (!PathOf(request.dir_fd, path)) return;
    const size_t header = mid_ == Mid::kWalk ? 3 : 2;
    const size_t entry = mid_ == Mid::kWalk ? sizeof(Inode) : sizeof(Statx);
    size_t found = result_ ? (*result_ - header) / entry : 0;
    bool first = true;
    if (request.path.empty()) return Append(path, kLookedUp);
    for (std::string_view name : request.path) {
      // WalkStat's word for where it begins.
      const bool start = std::exchange(first, false) && name.empty();
      if (!start && !Name::Make(name)) return;
      if (!start) path.append("/").append(name);
      if (found == 0) {
        // After a link the walk ends as well, without having looked for the next name. A client that overwrites the
        // response meanwhile has a wrong record of itself.
        if (result_ && *result_ > header && IsLink(*result_ - sizeof(Statx))) return;
        return Append(path, kLookedUp | (result_ ? kMissing : 0));
      }
      --found;
      Append(path, kLookedUp);
    }
  }

  // Whether the attributes in the response, at that place, are a link's.
  bool IsLink(size_t place) const {
    Statx stat;
    memcpy(&stat, call_.response.data() + place, sizeof stat);
    return (stat.mode & S_IFMT) == S_IFLNK;
  }

  // The file that the FD stands for, or has opened.
  bool PathOf(Fdid fd, std::string& path) const {
    const std::shared_ptr<FdObject> object = connection_.fds().Find(fd);
    if (object == nullptr) return false;
    const Node* node = nullptr;
    switch (object->kind()) {
      case FdObject::Kind::kControl:
        node = &static_cast<const ControlFd&>(*object).node();
        break;
      case FdObject::Kind::kOpen:
        node = &static_cast<const OpenFd&>(*object).control().node();
        break;
      case FdObject::Kind::kBoundSocket:
        node = &static_cast<const BoundSocketFd&>(*object).control().node();
        break;
    }
    return connection_.tree().AppendPath(connection_.mount().root_node(), *node, kMaxAccessPath, path);
  }
  void At(Fdid fd, uint16_t what) {
    std::string path;
    if (PathOf(fd, path)) Append(path, what);
  }
  void In(Fdid directory, std::string_view name, uint16_t what) {
    std::string path;
    if (Name::Make(name) && PathOf(directory, path)) Append(path.append("/").append(name), what);
  }
  void Append(std::string_view path, uint16_t what) {
    std::lock_guard lock(log_.mutex_);
    log_.writer_.Append(mount_, what | outcome_, path.empty() ? "/" : path);
  }

  AccessLog& log_;
  const uint16_t mount_;
  Connection& connection_;
  const Mid mid_;
  const Call& call_;
  const Result<size_t>& result_;
  uint16_t outcome_;
};

void AccessLog::Note(uint16_t mount, Connection& connection, Mid mid, const Call& call, const Result<size_t>& result) {
  // One that was malformed is nobody's wish.
  if (!result && (result.error() == Errno(EBADF) || result.error() == Errno(EINVAL) || result.error() == Errno(EIO))) {
    return;
  }
  AccessNote note(*this, mount, connection, mid, call, result);
  switch (mid) {
#define LISAFS_NOTED(name) \
  case Mid::k##name:       \
    return note.Take<Mid::k##name>();
    LISAFS_NOTED(FStat)
    LISAFS_NOTED(SetStat)
    LISAFS_NOTED(Walk)
    LISAFS_NOTED(WalkStat)
    LISAFS_NOTED(OpenAt)
    LISAFS_NOTED(OpenCreateAt)
    LISAFS_NOTED(MkdirAt)
    LISAFS_NOTED(MknodAt)
    LISAFS_NOTED(MakeNodeAt)
    LISAFS_NOTED(SymlinkAt)
    LISAFS_NOTED(LinkAt)
    LISAFS_NOTED(ReadLinkAt)
    LISAFS_NOTED(Connect)
    LISAFS_NOTED(ConnectWithCreds)
    LISAFS_NOTED(BindAt)
    LISAFS_NOTED(UnlinkAt)
    LISAFS_NOTED(RenameAt)
    LISAFS_NOTED(RenameAt2)
    LISAFS_NOTED(Getdents64)
    LISAFS_NOTED(ListStat)
    LISAFS_NOTED(FGetXattr)
    LISAFS_NOTED(FListXattr)
    LISAFS_NOTED(FSetXattr)
    LISAFS_NOTED(FRemoveXattr)
#undef LISAFS_NOTED
    default:
      return;
  }
}

}  // namespace lisafs
