// A program with the life of lisafs-gofer, lisafs-plugin or lisafs-broker and none of their work. Its name says what it
// does:
//
//   gofer    lives until the other side of every connection in --mount CONN:TREE is closed
//   plugin   lives until every file system in --mount FUSE:CONN is unmounted; answers no request
//   broker   lives until the other side of --gofer is closed
//   refuse   writes two lines to stderr and exits with status 1 before it says its pid
//   die      says its pid, and is then killed
//   hang     says its pid, but is never ready
//   babble   says something else than its pid
//   fds      writes the numbers of its open descriptors, then is as gofer

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>
#include <vector>

namespace {

void Say(int ready_fd, const std::string& line) {
  if (write(ready_fd, line.data(), line.size()) < 0) _exit(9);
}

// Goes on in a child of the parent, once its pid is said.
void BecomeSibling(int ready_fd) {
  int said[2];
  if (pipe2(said, O_CLOEXEC) != 0) _exit(9);
  long pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
  if (pid < 0) _exit(9);
  if (pid == 0) {
    close(said[1]);
    char byte;
    if (read(said[0], &byte, 1) != 0) _exit(9);
    close(said[0]);
    return;
  }
  Say(ready_fd, std::to_string(pid) + "\n");
  _exit(0);
}

void ServeConnection(int connection) {
  char bytes[4096];
  while (read(connection, bytes, sizeof bytes) > 0) {
  }
}

void ServeFuse(int fuse) {
  std::vector<char> request(1 << 17);
  while (read(fuse, request.data(), request.size()) >= 0 || errno == EINTR || errno == EAGAIN) {
  }
}

}  // namespace

int main(int argc, char** argv) {
  const char* slash = strrchr(argv[0], '/');
  std::string role = slash == nullptr ? argv[0] : slash + 1;
  int ready_fd = -1;
  std::vector<int> first_of_mounts;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (strcmp(argv[i], "--ready-fd") == 0) ready_fd = atoi(argv[i + 1]);
    if (strcmp(argv[i], "--mount") == 0 || strcmp(argv[i], "--gofer") == 0)
      first_of_mounts.push_back(atoi(argv[i + 1]));
  }

  if (role == "refuse") {
    fprintf(stderr, "a first line\nrefuse: mount 0: why \033[31mnot\n");
    return 1;
  }
  if (role == "babble") {
    Say(ready_fd, "hello\n");
    return 0;
  }
  if (role == "fds") {
    for (int fd = 0; fd < 1024; ++fd) {
      if (fcntl(fd, F_GETFD) >= 0) printf("%d ", fd);
    }
    printf("\n");
    fflush(stdout);
  }
  BecomeSibling(ready_fd);
  if (role == "die") raise(SIGKILL);
  if (role == "hang") pause();
  Say(ready_fd, "ready\n");
  close(ready_fd);
  for (int fd : first_of_mounts) {
    if (role == "plugin") {
      ServeFuse(fd);
    } else {
      ServeConnection(fd);
    }
  }
  return 0;
}
