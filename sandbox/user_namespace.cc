#include "sandbox/user_namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <span>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace lisafs {
namespace {

constexpr size_t kStackSize = 16 << 10;

// In a child: until it is killed, or `parent`, a pid_t, has ended. Calls nothing that a thread of the parent may have
// locked.
int WaitToBeKilled(void* parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  while (getppid() == *static_cast<pid_t*>(parent)) pause();
  return 1;
}

void KillAndReap(pid_t pid) {
  kill(pid, SIGKILL);
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

// The kernel takes a map in one piece.
absl::Status WriteRanges(pid_t pid, const char* file, std::span<const IdRange> ranges) {
  std::string text;
  for (const IdRange& range : ranges) absl::StrAppend(&text, range.inside, " ", range.outside, " ", range.count, "\n");
  Fd map(open(absl::StrCat("/proc/", pid, "/", file).c_str(), O_WRONLY | O_CLOEXEC));
  if (!map || write(map.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return ErrnoStatus(errno, absl::StrCat(file, " of a user namespace"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<IdRange>> ReadRanges(pid_t pid, const char* name) {
  const std::string path = absl::StrCat("/proc/", pid, "/", name);
  std::ifstream file(path);
  if (!file) return ErrnoStatus(errno, path);
  std::vector<IdRange> ranges;
  for (IdRange range; file >> range.inside >> range.outside >> range.count;) ranges.push_back(range);
  return ranges;
}

}  // namespace

absl::StatusOr<Fd> MakeUserNamespace(const IdMap& map) {
  // A process without anything of its own but a stack: this one may be large, and is not copied.
  auto stack = std::make_unique<char[]>(kStackSize);
  pid_t self = getpid();
  const pid_t pid =
      clone(WaitToBeKilled, stack.get() + kStackSize, CLONE_NEWUSER | CLONE_VM | CLONE_FILES | SIGCHLD, &self);
  if (pid < 0) return ErrnoStatus(errno, "a user namespace");
  absl::Cleanup end = [pid] { KillAndReap(pid); };
  LISAFS_RETURN_IF_NOT_OK(WriteRanges(pid, "uid_map", map.uids));
  LISAFS_RETURN_IF_NOT_OK(WriteRanges(pid, "gid_map", map.gids));
  Fd made(open(absl::StrCat("/proc/", pid, "/ns/user").c_str(), O_RDONLY | O_CLOEXEC));
  if (!made) return ErrnoStatus(errno, "a new user namespace");
  return made;
}

absl::StatusOr<IdMap> ReadIdMap(pid_t pid) {
  auto uids = ReadRanges(pid, "uid_map");
  if (!uids.ok()) return uids.status();
  auto gids = ReadRanges(pid, "gid_map");
  if (!gids.ok()) return gids.status();
  return IdMap{*std::move(uids), *std::move(gids)};
}

absl::StatusOr<IdMap> ReadIdMapOfNamespace(const std::string& path) {
  Fd target(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!target) return ErrnoStatus(errno, path);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe");
  Fd entered(ends[0]), says(ends[1]);
  pid_t self = getpid();
  const pid_t pid = fork();
  if (pid < 0) return ErrnoStatus(errno, "fork");
  if (pid == 0) {
    const int error = setns(target.get(), CLONE_NEWUSER) == 0 ? 0 : errno;
    if (write(says.get(), &error, sizeof error) == sizeof error) WaitToBeKilled(&self);
    _exit(1);
  }
  absl::Cleanup end = [pid] { KillAndReap(pid); };
  says.reset();
  int error = EIO;
  if (read(entered.get(), &error, sizeof error) != sizeof error) error = EIO;
  if (error == EINVAL) {
    // Either no user namespace, or this process's own.
    return ErrnoStatus(error, absl::StrCat(path, ": not another user namespace"));
  }
  if (error != 0) return ErrnoStatus(error, path);
  return ReadIdMap(pid);
}

}  // namespace lisafs
