#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <shared_mutex>
#include <utility>
#include <vector>

#include "gofer/file.h"
#include "gofer/handlers.h"

namespace lisafs {
namespace {

constexpr size_t kWalkRespHeaderSize = 3;
constexpr size_t kWalkStatRespHeaderSize = 2;

bool IsSymlink(const Statx& stat) { return (stat.mode & S_IFMT) == S_IFLNK; }

Result<size_t> WriteWalk(Call& call, WalkStatus status, const std::vector<Inode>& inodes) {
  Writer writer(call.response);
  Encode(writer, WalkResp{.status = status, .inodes = PackedArray<Inode>(inodes)});
  if (!writer.ok()) return Fail(EIO);
  return writer.size();
}

Result<size_t> Walk(Connection& connection, const WalkReq& request, Call& call) {
  LISAFS_ASSIGN_OR_RETURN(auto start, connection.fds().Get<HostControl>(request.dir_fd));
  if (!start->is_directory()) return Fail(ENOTDIR);
  // What does not fit is refused before anything is opened.
  if (kWalkRespHeaderSize + sizeof(Inode) * request.path.size() > call.response.size()) return Fail(EIO);

  WalkStatus status = WalkStatus::kSuccess;
  std::vector<NewControl> walked;  // Nothing is issued until the whole walk has succeeded.
  walked.reserve(request.path.size());
  HostControl* current = start.get();
  for (std::string_view component : request.path) {
    LISAFS_ASSIGN_OR_RETURN(Name name, Name::Make(component));
    if (current->file_type() == S_IFLNK) {
      status = WalkStatus::kComponentSymlink;
      break;
    }
    std::shared_lock lock(current->node().op_lock());
    if (current->node().deleted()) {
      status = WalkStatus::kComponentDoesNotExist;
      break;
    }
    LISAFS_ASSIGN_OR_RETURN(FdBudget::Share share, connection.budget().Take());
    auto child = OpenChild(connection, std::move(share), *current, name);
    if (!child && child.error() == Errno(ENOENT)) {
      status = WalkStatus::kComponentDoesNotExist;
      break;
    }
    if (!child) return Fail(child.error());
    walked.push_back(std::move(*child));
    current = walked.back().control.get();
  }

  std::vector<Inode> inodes;
  inodes.reserve(walked.size());
  for (NewControl& control : walked) inodes.push_back(Issue(connection, std::move(control)));
  return WriteWalk(call, status, inodes);
}

Result<size_t> WriteStats(Call& call, std::span<const Statx> stats) {
  Writer writer(call.response);
  Encode(writer, WalkStatResp{PackedArray<Statx>(stats)});
  if (!writer.ok()) return Fail(EIO);
  return writer.size();
}

// Stats of a walk by descriptors alone. Each step is one statx by name; only a directory that the walk goes on from is
// opened.
Result<std::vector<Statx>> StatPath(HostControl& start, const WalkReq& request) {
  std::vector<Statx> stats;
  stats.reserve(request.path.size());
  bool first = true;
  Fd directory;                 // Where the last component was found, if not in `start`,
  std::optional<Name> pending;  // and its name, not yet opened.
  int fd = start.fd();
  for (std::string_view component : request.path) {
    if (std::exchange(first, false)) {
      if (component.empty()) {
        LISAFS_ASSIGN_OR_RETURN(Statx stat, StatFd(fd));
        stats.push_back(stat);
        continue;
      }
    }
    if (!stats.empty() && IsSymlink(stats.back())) break;
    if (pending) {
      directory = Fd(openat(fd, pending->c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
      if (!directory && errno == ENOENT) break;
      if (!directory) return FailWithErrno();
      fd = directory.get();
    }
    LISAFS_ASSIGN_OR_RETURN(pending, Name::Make(component));
    auto stat = StatName(fd, pending->c_str());
    if (!stat && stat.error() == Errno(ENOENT)) break;
    if (!stat) return Fail(stat.error());
    stats.push_back(*stat);
  }
  return stats;
}

Result<size_t> WalkStat(Connection& connection, const WalkReq& request, Call& call) {
  LISAFS_ASSIGN_OR_RETURN(auto start, connection.fds().Get<HostControl>(request.dir_fd));
  const StringArray& path = request.path;
  bool only_start = path.empty() || (path.size() == 1 && (*path.begin()).empty());
  if (!start->is_directory() && !only_start) return Fail(ENOTDIR);

  // A client that looks names up one at a time asks for this all day long.
  if (path.size() == 1 && !only_start) {
    LISAFS_ASSIGN_OR_RETURN(Name name, Name::Make(*path.begin()));
    auto stat = StatName(start->fd(), name.c_str());
    if (!stat && stat.error() == Errno(ENOENT)) return WriteStats(call, {});
    if (!stat) return Fail(stat.error());
    return WriteStats(call, {&*stat, 1});
  }

  bool first = true;
  for (std::string_view component : path) {
    if (std::exchange(first, false) && component.empty()) continue;
    LISAFS_RETURN_IF_ERROR(Name::Make(component));
  }
  if (kWalkStatRespHeaderSize + sizeof(Statx) * path.size() > call.response.size()) return Fail(EIO);
  LISAFS_ASSIGN_OR_RETURN(std::vector<Statx> stats, StatPath(*start, request));
  return WriteStats(call, stats);
}

}  // namespace

void ServeWalking(HandlerTable& table) {
  table.Serve<Mid::kWalk, Walk>();
  table.Serve<Mid::kWalkStat, WalkStat>();
}

}  // namespace lisafs
