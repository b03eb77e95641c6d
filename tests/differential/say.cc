#include "tests/differential/say.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

namespace lisafs::differential {
namespace {

// A line at a time, past stdio, whose buffer a child would inherit.
void Line(const std::string& text) {
  std::string line = text + "\n";
  for (char& c : line) {
    if (c == '\0') c = '0';
  }
  for (size_t at = 0; at < line.size();) {
    ssize_t n = write(STDOUT_FILENO, line.data() + at, line.size() - at);
    if (n < 0) _exit(3);
    at += static_cast<size_t>(n);
  }
}

std::string Hash(const void* data, size_t length) {
  const auto* bytes = static_cast<const unsigned char*>(data);
  uint64_t hash = 14695981039346656037u;
  for (size_t i = 0; i < length; ++i) hash = (hash ^ bytes[i]) * 1099511628211u;
  char text[20];
  snprintf(text, sizeof text, "[%016lx]", hash);
  return text;
}

bool Differs(const timespec& a, const timespec& b) { return a.tv_sec != b.tv_sec || a.tv_nsec != b.tv_nsec; }

}  // namespace

long Say(const std::string& what, long result) {
  int error = errno;
  Line(what + " = " + (result < 0 ? strerrorname_np(error) : std::to_string(result)));
  errno = error;
  return result;
}

int SayOk(const std::string& what, int result) {
  int error = errno;
  Line(what + " = " + (result < 0 ? strerrorname_np(error) : "ok"));
  errno = error;
  return result;
}

void SayText(const std::string& what, const std::string& text) { Line(what + " = " + text); }

void SayData(const std::string& what, const void* data, ssize_t length) {
  if (length < 0) {
    Say(what, length);
  } else {
    SayText(what, std::to_string(length) + " " + Hash(data, static_cast<size_t>(length)));
  }
}

void SayStat(const std::string& path) {
  struct stat stat = {};
  int result = lstat(path.c_str(), &stat);
  SayStat("stat " + path, result, stat);
}

void SayStat(const std::string& what, int result, const struct stat& stat) {
  if (result < 0) {
    Say(what, result);
    return;
  }
  char text[120];
  snprintf(text, sizeof text, "mode %o links %lu owner %u:%u size %ld", stat.st_mode, stat.st_nlink, stat.st_uid,
           stat.st_gid, S_ISDIR(stat.st_mode) ? 0 : stat.st_size);
  SayText(what, text);
}

void SayContent(const std::string& path) {
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    Say("content of " + path, -1);
    return;
  }
  std::string all;
  char buffer[65536];
  ssize_t n;
  while ((n = read(fd, buffer, sizeof buffer)) > 0) all.append(buffer, static_cast<size_t>(n));
  if (n < 0) {
    Say("content of " + path, -1);
  } else if (all.size() <= 60) {
    SayText("content of " + path, "\"" + all + "\"");
  } else {
    SayData("content of " + path, all.data(), static_cast<ssize_t>(all.size()));
  }
  close(fd);
}

Times::Times(std::string path) : path_(std::move(path)), before_(Look()) {}

struct stat Times::Look() const {
  struct stat stat = {};
  lstat(path_.c_str(), &stat);
  usleep(12'000);  // The kernel's clock for files goes by ticks.
  return stat;
}

void Times::Say(const std::string& what) {
  struct stat now = Look();
  std::string changed;
  if (Differs(before_.st_mtim, now.st_mtim)) changed += " mtime";
  if (Differs(before_.st_ctim, now.st_ctim)) changed += " ctime";
  before_ = now;
  Line(what + " changed" + (changed.empty() ? " no time" : changed));
}

void InChild(const std::function<void()>& act) {
  pid_t child = fork();
  if (child == 0) {
    act();
    _exit(0);
  }
  int status = 0;
  Check(child > 0 && waitpid(child, &status, 0) == child, "a child");
  if (WIFSIGNALED(status)) {
    SayText("the child ended by", sigabbrev_np(WTERMSIG(status)));
  } else if (WEXITSTATUS(status) != 0) {
    SayText("the child ended with", std::to_string(WEXITSTATUS(status)));
  }
}

void As(uid_t user, const std::function<void()>& act) {
  InChild([&] {
    Check(setgroups(0, nullptr) == 0 && setresgid(user, user, user) == 0 && setresuid(user, user, user) == 0,
          "becoming another user");
    SayText("now as", std::to_string(user));
    act();
  });
}

void MakeFile(const std::string& path, std::string_view content, mode_t mode) {
  int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  bool made = fd >= 0 && write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size()) &&
              fchmod(fd, mode) == 0 && close(fd) == 0;
  Check(made, "making the file " + path);
}

void MakeDirectory(const std::string& path, mode_t mode) {
  Check(mkdir(path.c_str(), 0700) == 0 && chmod(path.c_str(), mode) == 0, "making the directory " + path);
}

void MakeLink(const std::string& path, const std::string& target) {
  Check(symlink(target.c_str(), path.c_str()) == 0, "making the link " + path);
}

void Check(bool well, const std::string& what) {
  if (well) return;
  Line("cannot go on: " + what + ": " + strerrorname_np(errno));
  _exit(4);
}

}  // namespace lisafs::differential
