#include "sandbox/trusted_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <deque>
#include <filesystem>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/escape.h"
#include "base/fd.h"
#include "base/status.h"

namespace lisafs {
namespace {

constexpr int kMaxLinks = 40;  // As many as the kernel follows.
constexpr mode_t kWritableForOthers = S_IWGRP | S_IWOTH;

bool IsTrusted(uid_t owner) { return owner == 0 || owner == geteuid(); }

absl::Status Untrusted(const std::string& where, const std::string& why) {
  return absl::FailedPreconditionError(absl::StrCat(Escape(where), ": ", why));
}

absl::Status CheckOwner(const std::string& where, const struct stat& stat) {
  if (IsTrusted(stat.st_uid)) return absl::OkStatus();
  return Untrusted(where, absl::StrCat("belongs to user ", stat.st_uid));
}

// One step of the way after the other, each by descriptor, so that what was looked at is what is gone through.
class Way {
 public:
  explicit Way(const std::string& path) { Prepend(path); }

  absl::Status Go() {
    current_ = Fd(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    LISAFS_RETURN_IF_NOT_OK(LookAround());
    while (!left_.empty()) {
      const std::string name = left_.front();
      left_.pop_front();
      LISAFS_RETURN_IF_NOT_OK(Step(name));
    }
    if (stat_.st_mode & kWritableForOthers) return Untrusted(at_, "is writable for others");
    return absl::OkStatus();
  }

 private:
  void Prepend(const std::string& path) {
    std::vector<std::string> names;
    for (const auto& name : std::filesystem::path(path).relative_path()) {
      if (!name.empty()) names.push_back(name);
    }
    left_.insert(left_.begin(), names.begin(), names.end());
  }

  absl::Status LookAround() {
    if (!current_ || fstat(current_.get(), &stat_) != 0) return ErrnoStatus(errno, Escape(at_));
    return CheckOwner(at_, stat_);
  }

  absl::Status Step(const std::string& name) {
    // Only owners rename and remove in a directory with the sticky bit, and what is in it is checked next.
    if ((stat_.st_mode & kWritableForOthers) && !(stat_.st_mode & S_ISVTX)) {
      return Untrusted(at_, "is writable for others");
    }
    const std::string next = absl::StrCat(at_ == "/" ? "" : at_, "/", name);
    Fd entry(openat(current_.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    struct stat stat;
    if (!entry || fstat(entry.get(), &stat) != 0) return ErrnoStatus(errno, Escape(next));
    LISAFS_RETURN_IF_NOT_OK(CheckOwner(next, stat));
    if (S_ISLNK(stat.st_mode)) return Follow(entry, next);
    if (!S_ISDIR(stat.st_mode)) return Untrusted(next, "is no directory");
    at_ = next;
    current_ = std::move(entry);
    stat_ = stat;
    return absl::OkStatus();
  }

  absl::Status Follow(const Fd& link, const std::string& name) {
    char target[PATH_MAX];
    ssize_t size = readlinkat(link.get(), "", target, sizeof target - 1);
    if (size <= 0) return ErrnoStatus(errno, Escape(name));
    if (++links_ > kMaxLinks) return ErrnoStatus(ELOOP, Escape(name));
    target[size] = '\0';
    Prepend(target);
    if (target[0] != '/') return absl::OkStatus();
    at_ = "/";
    current_ = Fd(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    return LookAround();
  }

  std::deque<std::string> left_;
  std::string at_ = "/";
  Fd current_;
  struct stat stat_ = {};  // Of current_.
  int links_ = 0;
};

}  // namespace

absl::Status CheckTrustedDirectory(const std::string& path) {
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(path, error);
  if (error) return ErrnoStatus(error.value(), Escape(path));
  return Way(absolute).Go();
}

}  // namespace lisafs
