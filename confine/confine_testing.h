#ifndef LISAFS_CONFINE_CONFINE_TESTING_H_
#define LISAFS_CONFINE_CONFINE_TESTING_H_

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <type_traits>
#include <utility>

#include "base/fd.h"
#include "base/result.h"

// The programs under test are forked children of the test.

namespace lisafs {

// Exit statuses of the forked children.
inline constexpr int kStepFailed = 90;
inline constexpr int kCheckFailed = 91;

template <typename T>
T OrExit(StepResult<T> result) {
  if (result) {
    if constexpr (std::is_void_v<T>) {
      return;
    } else {
      return std::move(*result);
    }
  }
  dprintf(STDERR_FILENO, "%s: %s\n", result.error().what.c_str(), result.error().error.ToString().c_str());
  _exit(kStepFailed);
}

inline void ExitUnless(bool condition, const char* what) {
  if (condition) return;
  dprintf(STDERR_FILENO, "not so in the confined process: %s (%s)\n", what, Errno::Last().ToString().c_str());
  _exit(kCheckFailed);
}
// In a child: exits unless it is so.
#define INSIDE(condition) ExitUnless(condition, #condition)

struct Pipe {
  Pipe() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) abort();
    read_end = Fd(ends[0]);
    write_end = Fd(ends[1]);
  }
  Fd read_end;
  Fd write_end;
};

// Runs `body` in a child and gives its pid.
inline pid_t Fork(const std::function<void()>& body) {
  pid_t pid = fork();
  if (pid == 0) {
    body();
    _exit(0);
  }
  return pid;
}

// 128 + signal if killed, as EnterNamespaces has it.
inline int WaitFor(pid_t pid) {
  int status = 0;
  if (waitpid(pid, &status, 0) != pid) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Everything until end of file; gives up, with what there is, when nothing comes for ten seconds.
inline std::string ReadAll(int fd) {
  std::string all;
  char buffer[512];
  pollfd readable = {fd, POLLIN, 0};
  while (poll(&readable, 1, 10'000) > 0) {
    ssize_t n = read(fd, buffer, sizeof buffer);
    if (n <= 0) return all;
    all.append(buffer, n);
  }
  return all + "(timed out)";
}

inline std::string ReadLink(const std::string& path) {
  char target[PATH_MAX];
  ssize_t n = readlink(path.c_str(), target, sizeof target);
  return n < 0 ? "" : std::string(target, n);
}

}  // namespace lisafs

#endif  // LISAFS_CONFINE_CONFINE_TESTING_H_
