#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "tests/differential/say.h"
#include "tests/differential/scenario.h"

// Locks of all three kinds, between processes; and leases.

namespace lisafs::differential {
namespace {

int Lock(int fd, int command, short type, off_t start = 0, off_t length = 0) {
  struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length, .l_pid = 0};
  return fcntl(fd, command, &lock);
}

void SayLock(const std::string& what, int fd, int command, short type, off_t start, off_t length) {
  struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length, .l_pid = 0};
  int result = fcntl(fd, command, &lock);
  if (result < 0) {
    Say(what, result);
    return;
  }
  SayText(what, std::to_string(lock.l_type) + " " + std::to_string(lock.l_start) + " " + std::to_string(lock.l_len) +
                    (lock.l_pid == getppid() ? " by the parent"
                     : lock.l_pid == -1      ? " by a descriptor"
                                             : ""));
}

void WholeFiles() {
  MakeFile("file");
  int one = open("file", O_RDWR | O_CLOEXEC), two = open("file", O_RDWR | O_CLOEXEC), copy = dup(one);
  int path = open("file", O_PATH | O_CLOEXEC), dir = open(".", O_RDONLY | O_CLOEXEC);
  SayOk("exclusive", flock(one, LOCK_EX));
  SayOk("another exclusive", flock(two, LOCK_EX | LOCK_NB));
  SayOk("another shared", flock(two, LOCK_SH | LOCK_NB));
  SayOk("a copy's", flock(copy, LOCK_EX | LOCK_NB));
  SayOk("shared instead", flock(one, LOCK_SH | LOCK_NB));
  SayOk("another shared", flock(two, LOCK_SH | LOCK_NB));
  SayOk("exclusive while shared", flock(one, LOCK_EX | LOCK_NB));
  InChild([&] {
    int mine = open("file", O_RDONLY | O_CLOEXEC);
    SayOk("a child's shared", flock(mine, LOCK_SH | LOCK_NB));
    SayOk("a child's exclusive", flock(mine, LOCK_EX | LOCK_NB));
    SayOk("unlocking for the parent", flock(one, LOCK_UN));
  });
  SayOk("unlock", flock(two, LOCK_UN));
  SayOk("exclusive", flock(two, LOCK_EX | LOCK_NB));
  close(two);
  SayOk("after its close", flock(one, LOCK_EX | LOCK_NB));
  close(one);
  InChild([&] {
    int mine = open("file", O_RDONLY | O_CLOEXEC);
    SayOk("while a copy holds it", flock(mine, LOCK_EX | LOCK_NB));
  });
  SayOk("no such operation", flock(copy, 99));
  SayOk("a directory's", flock(dir, LOCK_EX | LOCK_NB));
  SayOk("of a path", flock(path, LOCK_SH));
}

void Ranges() {
  MakeFile("file", "0123456789");
  int fd = open("file", O_RDWR | O_CLOEXEC);
  SayOk("write 10-19", Lock(fd, F_SETLK, F_WRLCK, 10, 10));
  SayOk("read 30-", Lock(fd, F_SETLK, F_RDLCK, 30));
  SayOk("unlock 13-14", Lock(fd, F_SETLK, F_UNLCK, 13, 2));
  SayOk("read 16", Lock(fd, F_SETLK, F_RDLCK, 16, 1));
  InChild([&] {
    int mine = open("file", O_RDWR | O_CLOEXEC);
    for (off_t at : {0, 9, 10, 12, 13, 15, 16, 17, 20, 29, 30, 1000}) {
      SayLock("who stops writing at " + std::to_string(at), mine, F_GETLK, F_WRLCK, at, 1);
      SayOk("read", Lock(mine, F_SETLK, F_RDLCK, at, 1));
      SayOk("write", Lock(mine, F_SETLK, F_WRLCK, at, 1));
    }
    SayLock("who stops all", mine, F_GETLK, F_WRLCK, 0, 0);
    SayLock("a descriptor's question", mine, F_OFD_GETLK, F_WRLCK, 0, 0);
    SayOk("a descriptor's", Lock(mine, F_OFD_SETLK, F_WRLCK, 10, 1));
    SayOk("a descriptor's where it is free", Lock(mine, F_OFD_SETLK, F_WRLCK, 0, 5));
    SayOk("flock all the same", flock(mine, LOCK_EX | LOCK_NB));
  });
  // Any close of the file gives them all up.
  close(open("file", O_RDONLY | O_CLOEXEC));
  InChild([&] {
    int mine = open("file", O_RDWR | O_CLOEXEC);
    SayLock("after a close", mine, F_GETLK, F_WRLCK, 0, 0);
  });
  int read_only = open("file", O_RDONLY | O_CLOEXEC);
  SayOk("write without the right", Lock(read_only, F_SETLK, F_WRLCK));
  SayOk("before the beginning", Lock(fd, F_SETLK, F_WRLCK, -5, 3));
  SayOk("backwards", Lock(fd, F_SETLK, F_WRLCK, 10, -5));
  SayOk("beyond all", Lock(fd, F_SETLK, F_WRLCK, 0x7fffffffffffffff, 2));
  SayOk("no such type", Lock(fd, F_SETLK, 9, 0, 1));
}

void OfDescriptors() {
  MakeFile("file", "0123456789");
  int one = open("file", O_RDWR | O_CLOEXEC), two = open("file", O_RDWR | O_CLOEXEC);
  SayOk("one", Lock(one, F_OFD_SETLK, F_WRLCK, 0, 5));
  SayOk("two, the same", Lock(two, F_OFD_SETLK, F_WRLCK, 0, 5));
  SayOk("two, elsewhere", Lock(two, F_OFD_SETLK, F_WRLCK, 5, 5));
  SayLock("who stops two", two, F_OFD_GETLK, F_WRLCK, 0, 0);
  SayOk("the process's own", Lock(one, F_SETLK, F_WRLCK, 0, 1));
  InChild([&] { SayOk("a child by the same descriptor", Lock(one, F_OFD_SETLK, F_WRLCK, 2, 1)); });
  close(open("file", O_RDONLY | O_CLOEXEC));
  SayOk("two, after a close of another", Lock(two, F_OFD_SETLK, F_WRLCK, 0, 5));
  close(one);
  SayOk("two, after its close", Lock(two, F_OFD_SETLK, F_WRLCK, 0, 5));
}

// Whoever waits gets the lock when it is given up, or when its holder dies.
void Waiting() {
  MakeFile("file", "0123456789");
  int ready[2];
  Check(pipe2(ready, O_CLOEXEC) == 0, "a pipe");
  for (int kind = 0; kind < 3; ++kind) {
    auto take = [kind](int fd) {
      return kind == 0 ? flock(fd, LOCK_EX) : Lock(fd, kind == 1 ? F_SETLKW : F_OFD_SETLKW, F_WRLCK, 0, 5);
    };
    pid_t holder = fork();
    if (holder == 0) {
      int mine = open("file", O_RDWR | O_CLOEXEC);
      take(mine);
      if (write(ready[1], "x", 1) != 1) _exit(1);
      usleep(60'000);
      _exit(0);
    }
    char byte;
    Check(read(ready[0], &byte, 1) == 1, "a holder");
    int fd = open("file", O_RDWR | O_CLOEXEC);
    SayOk("waited", take(fd));
    // A signal ends a wait.
    pid_t waiter = fork();
    if (waiter == 0) {
      struct sigaction action = {};
      action.sa_handler = [](int) {};
      sigaction(SIGALRM, &action, nullptr);
      int mine = open("file", O_RDWR | O_CLOEXEC);
      ualarm(50'000, 50'000);  // The first may come before it waits.
      const int taken = take(mine);
      ualarm(0, 0);
      SayOk("interrupted", taken);
      _exit(0);
    }
    waitpid(waiter, nullptr, 0);
    waitpid(holder, nullptr, 0);
    close(fd);
  }
}

bool Sleeps(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string stat;
  std::getline(file, stat);
  return stat.find(") S ") != std::string::npos;
}

void Deadlock() {
  MakeFile("file", "0123456789");
  int to_child[2], to_parent[2];
  Check(pipe2(to_child, O_CLOEXEC) == 0 && pipe2(to_parent, O_CLOEXEC) == 0, "pipes");
  int fd = open("file", O_RDWR | O_CLOEXEC);
  SayOk("parent", Lock(fd, F_SETLK, F_WRLCK, 0, 1));
  pid_t child = fork();
  if (child == 0) {
    int mine = open("file", O_RDWR | O_CLOEXEC);
    Lock(mine, F_SETLK, F_WRLCK, 1, 1);
    if (write(to_parent[1], "x", 1) != 1) _exit(1);
    Lock(mine, F_SETLKW, F_WRLCK, 0, 1);
    _exit(0);
  }
  char byte;
  Check(read(to_parent[0], &byte, 1) == 1, "the child's lock");
  for (int i = 0; i < 6000 && !Sleeps(child); ++i) usleep(10'000);  // Until it waits.
  SayOk("each waits for the other", Lock(fd, F_SETLKW, F_WRLCK, 1, 1));
  Lock(fd, F_SETLK, F_UNLCK, 0, 1);
  waitpid(child, nullptr, 0);
}

void LeasesAndHandles() {
  MakeFile("file");
  int fd = open("file", O_RDONLY | O_CLOEXEC);
  SayOk("a lease for reading", fcntl(fd, F_SETLEASE, F_RDLCK));
  Say("the lease", fcntl(fd, F_GETLEASE));
  SayOk("given up", fcntl(fd, F_SETLEASE, F_UNLCK));
  int writing = open("file", O_WRONLY | O_CLOEXEC);
  SayOk("a lease for reading while somebody writes", fcntl(fd, F_SETLEASE, F_RDLCK));
  SayOk("a lease for writing while somebody reads", fcntl(writing, F_SETLEASE, F_WRLCK));
  struct {
    file_handle handle;
    char rest[128];
  } handle = {};
  handle.handle.handle_bytes = sizeof handle.rest;
  int mount = 0;
  SayOk("a file handle", name_to_handle_at(AT_FDCWD, "file", &handle.handle, &mount, 0));
}

}  // namespace

Group LockScenarios() {
  return {"locks",
          {{"whole-files", WholeFiles},
           {"ranges", Ranges},
           {"of-descriptors", OfDescriptors},
           {"waiting", Waiting},
           {"deadlock", Deadlock},
           {"leases-and-handles", LeasesAndHandles}}};
}

}  // namespace lisafs::differential
