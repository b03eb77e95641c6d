#include "sandbox/container_mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "sandbox/files_as.h"
#include "sandbox/fuse_mount.h"
#include "sandbox/start_waker.h"

namespace lisafs {
namespace {

using std::chrono::steady_clock;

constexpr int kUnmountTries = 100;
constexpr int kOpenTries = 1000;

// Where the kernel and the low-level runtime show and hide what the container depends on.
constexpr std::string_view kForbidden[] = {"/proc", "/sys", "/dev"};

bool IsForbidden(std::string_view path) {
  if (path == "/") return true;
  for (std::string_view directory : kForbidden) {
    if (path == directory || (path.starts_with(directory) && path[directory.size()] == '/')) return true;
  }
  return false;
}

// O_PATH, and never through a magic link.
Fd OpenPath(int directory, const std::string& path, uint64_t flags, uint64_t resolve) {
  open_how how = {};
  how.flags = O_PATH | O_CLOEXEC | flags;
  how.resolve = resolve | RESOLVE_NO_MAGICLINKS;
  Fd found;
  // EAGAIN: something was renamed or mounted somewhere on the machine while ".." was walked.
  for (int tries = 0; !found && tries < kOpenTries && (tries == 0 || errno == EAGAIN); ++tries) {
    found.reset(static_cast<int>(syscall(SYS_openat2, directory, path.c_str(), &how, sizeof how)));
  }
  return found;
}

// Opens a path in the thread's root.
Fd OpenInRoot(const std::string& path, uint64_t flags) {
  Fd root(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) return root;
  return OpenPath(root.get(), path, flags, RESOLVE_IN_ROOT);
}

// The directory of `path`, made where it is missing. What is made here is not reached through symbolic links.
absl::StatusOr<Fd> MakeDirectories(const std::string& path) {
  Fd found(OpenInRoot(path, O_DIRECTORY));
  if (found) return found;
  if (errno != ENOENT) return ErrnoStatus(errno, path);
  const size_t slash = path.rfind('/');
  const std::string name = path.substr(slash + 1);
  auto parent = MakeDirectories(slash == 0 ? "/" : path.substr(0, slash));
  if (!parent.ok()) return parent.status();
  if (mkdirat(parent->get(), name.c_str(), 0755) != 0 && errno != EEXIST) return ErrnoStatus(errno, path);
  Fd made = OpenPath(parent->get(), name, O_DIRECTORY | O_NOFOLLOW, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
  if (!made) return ErrnoStatus(errno, path);
  return made;
}

absl::StatusOr<Fd> MakeTarget(const ContainerMounts::Target& target) {
  const FilesAs owner(target.uid, target.gid);
  if (target.type == S_IFDIR) return MakeDirectories(target.path);
  const size_t slash = target.path.rfind('/');
  const std::string name = target.path.substr(slash + 1);
  auto parent = MakeDirectories(slash == 0 ? "/" : target.path.substr(0, slash));
  if (!parent.ok()) return parent.status();
  if (!Fd(openat(parent->get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644)) && errno != EEXIST) {
    return ErrnoStatus(errno, target.path);
  }
  Fd made = OpenPath(parent->get(), name, O_NOFOLLOW, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
  if (!made) return ErrnoStatus(errno, target.path);
  return made;
}

// Whether what was found may be mounted on. `proc` is the host's.
absl::Status CheckFound(const Fd& found, const ContainerMounts::Target& target, const Fd& proc) {
  auto refuse = [](const std::string& why) { return absl::FailedPreconditionError(why); };
  struct statx stat;
  if (statx(found.get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &stat) != 0) return ErrnoStatus(errno);
  if ((stat.stx_mode & S_IFMT) != target.type) {
    return refuse(target.type == S_IFDIR ? "not a directory, as its source is"
                                         : "not a regular file, as its source is");
  }
  if (!(stat.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT)) return refuse("the kernel does not tell what is mounted");
  if (stat.stx_attributes & STATX_ATTR_MOUNT_ROOT) return refuse("something is mounted there");
  struct statfs system;
  if (fstatfs(found.get(), &system) != 0) return ErrnoStatus(errno);
  constexpr decltype(system.f_type) kFuseMagic = 0x65735546;
  if (system.f_type != kFuseMagic && system.f_type != TMPFS_MAGIC)
    return refuse("on a file system that is not to be mounted on");
  // Where symbolic links of the container have led.
  std::array<char, PATH_MAX> where;
  const ssize_t size =
      readlinkat(proc.get(), absl::StrCat("self/fd/", found.get()).c_str(), where.data(), where.size());
  if (size <= 0) return ErrnoStatus(errno, "its path");
  const std::string_view path(where.data(), size);
  if (path[0] != '/' || path.ends_with(" (deleted)") || IsForbidden(path)) return refuse("nothing is mounted there");
  return absl::OkStatus();
}

absl::StatusOr<Fd> OpenTarget(const ContainerMounts::Target& target, const Fd& proc) {
  Fd found = OpenInRoot(target.path, O_NOFOLLOW);
  if (!found) {
    if (errno != ENOENT || !target.create) return ErrnoStatus(errno);
    auto made = MakeTarget(target);
    if (!made.ok()) return made.status();
    found = *std::move(made);
  }
  LISAFS_RETURN_IF_NOT_OK(CheckFound(found, target, proc));
  return found;
}

struct MountPlace {
  uint64_t id;
  std::string path;
};

std::string ReadAll(const Fd& file) {
  std::string text;
  char part[4096];
  for (ssize_t size; (size = read(file.get(), part, sizeof part)) > 0;) text.append(part, size);
  return text;
}

// As mountinfo writes paths: \040 is a space.
std::string Unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

// Where the calling thread's namespace has it, the latest first.
std::vector<MountPlace> FindMounts(const std::string& file_system, const Fd& proc) {
  Fd file(openat(proc.get(), "thread-self/mountinfo", O_RDONLY | O_CLOEXEC));
  std::vector<MountPlace> places;
  std::istringstream lines(ReadAll(file));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    uint64_t id, parent;
    std::string number, root, mount_point;
    if (!(fields >> id >> parent >> number >> root >> mount_point) || number != file_system) continue;
    places.insert(places.begin(), {id, Unescape(mount_point)});
  }
  return places;
}

// EBUSY if it is in use, and 0 if it is not there any more.
int Unmount(const MountPlace& place, int flags) {
  const size_t slash = place.path.rfind('/');
  const std::string name = place.path.substr(slash + 1);
  Fd root(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  Fd parent = OpenPath(root.get(), slash == 0 ? "/" : place.path.substr(0, slash), O_DIRECTORY,
                       RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
  if (!parent) return errno == ENOENT || errno == ELOOP ? 0 : errno;
  // A descriptor of the mount itself would keep it in use.
  struct statx stat;
  if (statx(parent.get(), name.c_str(), AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC, STATX_MNT_ID, &stat) != 0)
    return errno;
  if (stat.stx_mnt_id != place.id) return 0;
  if (fchdir(parent.get()) != 0) return errno;
  const int error = umount2(name.c_str(), UMOUNT_NOFOLLOW | flags) == 0 ? 0 : errno;
  if (chdir("/") != 0) return errno;
  return error;
}

absl::Status UnmountAll(const std::string& file_system, bool even_if_busy, const Fd& proc) {
  // Those that the container moves about meanwhile are found the next time.
  for (int tries = 0; tries < kUnmountTries; ++tries) {
    std::vector<MountPlace> places = FindMounts(file_system, proc);
    if (places.empty()) return absl::OkStatus();
    for (const MountPlace& place : places) {
      const int error = Unmount(place, even_if_busy ? MNT_DETACH : 0);
      if (error == EBUSY) return absl::FailedPreconditionError("it is in use");
      if (error != 0) return ErrnoStatus(error, "umount2");
    }
  }
  return absl::FailedPreconditionError("the container keeps moving it");
}

}  // namespace

absl::Status CheckMountTarget(const std::string& path) {
  if (path.empty() || path.front() != '/') return absl::InvalidArgumentError("not an absolute path");
  if (IsForbidden(path)) return absl::InvalidArgumentError("nothing is mounted there");
  for (size_t begin = 1; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view name(path.data() + begin, end - begin);
    if (name.empty() || name == "." || name == "..") {
      return absl::InvalidArgumentError("not written plainly: with an empty component, \".\" or \"..\"");
    }
    begin = end + 1;
  }
  return absl::OkStatus();
}

absl::StatusOr<ContainerMounts> ContainerMounts::Of(pid_t init, uint64_t start_time) {
  auto process = Process::Adopt(init, start_time);
  if (!process.ok()) return process.status();
  auto where = MountNamespace::OfUntrusted(init);
  if (!where.ok()) return where.status();
  // Alive still, so the number meant this process when its namespace was opened.
  if (auto again = Process::Adopt(init, start_time); !again.ok()) return again.status();
  return ContainerMounts(*std::move(process), *std::move(where));
}

absl::StatusOr<Fd> ContainerMounts::Add(Fd mount, const Target& target, steady_clock::time_point deadline) const {
  struct Work {
    Fd mount;
    Target target;
    Fd copy;
    Fd proc{open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC)};
  };
  auto work = std::make_shared<Work>(Work{std::move(mount), target, Fd()});
  absl::Status added = namespace_.RunUntil(
      deadline,
      [work]() -> absl::Status {
        auto found = OpenTarget(work->target, work->proc);
        if (!found.ok()) return found.status();
        LISAFS_RETURN_IF_NOT_OK(AttachMount(work->mount.get(), found->get()));
        // Kernels before 6.15 copy only what is mounted in the thread's namespace.
        if (auto copy = CloneForWaker(work->mount.get(), "")) work->copy = *std::move(copy);
        return absl::OkStatus();
      },
      [work] {
        if (fchdir(work->mount.get()) == 0) umount2(".", MNT_DETACH);
      });
  if (!added.ok()) return added;
  return std::move(work->copy);
}

absl::Status ContainerMounts::Remove(const std::string& file_system, bool even_if_busy,
                                     steady_clock::time_point deadline) const {
  auto proc = std::make_shared<Fd>(open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
  return namespace_.RunUntil(
      deadline, [=] { return UnmountAll(file_system, even_if_busy, *proc); }, [] {});
}

}  // namespace lisafs
