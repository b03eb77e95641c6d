#include "control/access_recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/fanotify.h>
#include <unistd.h>

#include <string_view>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace lisafs {
namespace {

constexpr uint64_t kWatched = FAN_OPEN | FAN_ACCESS | FAN_MODIFY | FAN_CLOSE_WRITE | FAN_OPEN_EXEC | FAN_ONDIR;

// As the mount that it was opened through has it; "" if it cannot be told.
std::string PathOf(int file) {
  char path[PATH_MAX];
  const ssize_t size = readlink(absl::StrCat("/proc/self/fd/", file).c_str(), path, sizeof path);
  std::string_view text(path, size < 0 ? 0 : static_cast<size_t>(size));
  constexpr std::string_view kDeleted = " (deleted)";
  if (text.ends_with(kDeleted)) text.remove_suffix(kDeleted.size());
  return std::string(text);
}

}  // namespace

absl::StatusOr<AccessRecorder> AccessRecorder::Start(const std::string& path) {
  // The kernel opens each event's file for us: O_NONBLOCK so that a FIFO does not hold it up.
  Fd events(fanotify_init(FAN_CLASS_NOTIF | FAN_NONBLOCK | FAN_CLOEXEC,
                          O_RDONLY | O_LARGEFILE | O_CLOEXEC | O_NONBLOCK | O_NOATIME));
  if (!events) return ErrnoStatus(errno, "fanotify");
  if (fanotify_mark(events.get(), FAN_MARK_ADD | FAN_MARK_MOUNT, kWatched, AT_FDCWD, path.c_str()) != 0) {
    return ErrnoStatus(errno, "fanotify: " + path);
  }
  return AccessRecorder(std::move(events));
}

AccessRecorder::Profile AccessRecorder::Collect(std::chrono::milliseconds patience) {
  Profile news;
  pollfd waiting = {.fd = events_.get(), .events = POLLIN, .revents = 0};
  if (poll(&waiting, 1, static_cast<int>(patience.count())) <= 0) return news;
  alignas(fanotify_event_metadata) char buffer[16 << 10];
  ssize_t left = read(events_.get(), buffer, sizeof buffer);
  for (auto* event = reinterpret_cast<fanotify_event_metadata*>(buffer); FAN_EVENT_OK(event, left);
       event = FAN_EVENT_NEXT(event, left)) {
    if (event->mask & FAN_Q_OVERFLOW) incomplete_ = true;
    const Fd file(event->fd);
    if (file) Note(file.get(), event->mask, news);
  }
  return news;
}

void AccessRecorder::Note(int file, uint64_t mask, Profile& news) {
  const std::string path = PathOf(file);
  if (path.empty()) return;
  auto known = all_.find(path);
  if (known == all_.end()) {
    if (all_.size() >= kMaxFiles) {
      incomplete_ = true;
      return;
    }
    known = all_.emplace(path, Access{}).first;
    news[path] = {};
  }
  Access& access = known->second;
  const Access before = access;
  access.read |= (mask & FAN_ACCESS) != 0;
  access.written |= (mask & (FAN_MODIFY | FAN_CLOSE_WRITE)) != 0;
  access.executed |= (mask & FAN_OPEN_EXEC) != 0;
  if (!(access == before) || news.contains(path)) news[path] = access;
}

}  // namespace lisafs
