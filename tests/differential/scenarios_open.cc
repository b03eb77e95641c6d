#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "tests/differential/say.h"
#include "tests/differential/scenario.h"

// open(2) with everything it takes.

namespace lisafs::differential {
namespace {

struct Flags {
  const char* name;
  int bits;
};
const Flags kFlags[] = {
    {"r", O_RDONLY},
    {"w", O_WRONLY},
    {"rw", O_RDWR},
    {"mode3", O_ACCMODE},
    {"r trunc", O_RDONLY | O_TRUNC},
    {"rw trunc", O_RDWR | O_TRUNC},
    {"w append", O_WRONLY | O_APPEND},
    {"r creat", O_RDONLY | O_CREAT},
    {"rw creat", O_RDWR | O_CREAT},
    {"rw creat excl", O_RDWR | O_CREAT | O_EXCL},
    {"rw creat trunc", O_RDWR | O_CREAT | O_TRUNC},
    {"rw creat nofollow", O_RDWR | O_CREAT | O_NOFOLLOW},
    {"rw creat directory", O_RDWR | O_CREAT | O_DIRECTORY},
    {"r directory", O_RDONLY | O_DIRECTORY},
    {"rw directory", O_RDWR | O_DIRECTORY},
    {"r nofollow", O_RDONLY | O_NOFOLLOW},
    {"r noatime", O_RDONLY | O_NOATIME},
    {"rw sync", O_RDWR | O_SYNC},
    {"rw dsync", O_RDWR | O_DSYNC},
    {"rw noctty", O_RDWR | O_NOCTTY},
    {"path", O_PATH},
    {"path nofollow", O_PATH | O_NOFOLLOW},
    {"path directory", O_PATH | O_DIRECTORY},
    {"rw tmpfile", O_RDWR | O_TMPFILE},
    {"r tmpfile", O_RDONLY | O_TMPFILE},
};

void MakeTargets() {
  MakeFile("file", "content", 0666);
  MakeFile("unreadable", "secret", 0200);
  MakeFile("private", "private", 0600);
  MakeDirectory("dir", 0777);
  MakeDirectory("closed", 0700);
  MakeFile("closed/file", "inside");
  MakeLink("link", "file");
  MakeLink("link-to-dir", "dir");
  MakeLink("dangling", "nowhere");
  MakeLink("loop", "loop");
  Check(mkfifo("fifo", 0666) == 0 && chmod("fifo", 0666) == 0, "a FIFO");
  int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = "socket"};
  Check(bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0, "a socket");
  close(socket);
}

void TryAll() {
  const char* const targets[] = {"file",   "unreadable",  "private", "dir",     "closed",       "closed/file",
                                 "link",   "link-to-dir", "link/",   "file/",   "dir/",         "dir/missing",
                                 "loop",   "dangling",    "fifo",    "missing", "link-to-dir/", "missing/",
                                 "file/x", "socket",      ""};
  for (const Flags& flags : kFlags) {
    for (const char* target : targets) {
      std::string what = std::string("open ") + target + " " + flags.name;
      int fd = SayOk(what, open(target, flags.bits | O_NONBLOCK | O_CLOEXEC, 0640));
      if (fd < 0) continue;
      struct stat stat = {};
      int result = fstat(fd, &stat);
      SayStat("  is", result, stat);
      char flags_text[30];
      snprintf(flags_text, sizeof flags_text, "%o", fcntl(fd, F_GETFL));
      SayText("  flags", flags_text);
      close(fd);
      unlink("missing");
      unlink("nowhere");
      unlink("dir/missing");
    }
  }
}

void Table() {
  MakeTargets();
  TryAll();
}

void TableAsUser() {
  MakeTargets();
  As(1000, TryAll);
}

// A file without a name, which it is given later, or not.
void Unnamed() {
  MakeDirectory("dir", 01777);
  int fd = SayOk("tmpfile", open("dir", O_RDWR | O_TMPFILE | O_CLOEXEC, 06755));
  struct stat stat = {};
  int result = fstat(fd, &stat);
  SayStat("it", result, stat);
  Say("write", write(fd, "content", 7));
  std::string self = "/proc/self/fd/" + std::to_string(fd);
  SayOk("link", linkat(AT_FDCWD, self.c_str(), AT_FDCWD, "dir/named", AT_SYMLINK_FOLLOW));
  SayStat("dir/named");
  SayContent("dir/named");
  SayOk("link again", linkat(AT_FDCWD, self.c_str(), AT_FDCWD, "dir/named2", AT_SYMLINK_FOLLOW));
  SayStat("dir/named2");
  Say("write more", write(fd, " and more", 9));
  SayContent("dir/named2");
  close(fd);
  fd = SayOk("tmpfile excl", open("dir", O_WRONLY | O_TMPFILE | O_EXCL | O_CLOEXEC, 0600));
  self = "/proc/self/fd/" + std::to_string(fd);
  SayOk("link of that", linkat(AT_FDCWD, self.c_str(), AT_FDCWD, "dir/never", AT_SYMLINK_FOLLOW));
  close(fd);
  As(1000, [] {
    int mine = SayOk("tmpfile", open("dir", O_RDWR | O_TMPFILE | O_CLOEXEC, 0666));
    struct stat file = {};
    int got = fstat(mine, &file);
    SayStat("it", got, file);
    SayOk("chmod", fchmod(mine, 0604));
    Say("ftruncate", ftruncate(mine, 100));
    got = fstat(mine, &file);
    SayStat("it then", got, file);
    SayOk("with nothing to write to", open("dir", O_RDONLY | O_TMPFILE, 0600));
    SayOk("in no directory", open("dir/named", O_RDWR | O_TMPFILE, 0600));
  });
}

// Several writers append to one file: every record is whole, and none is lost.
void Append() {
  MakeFile("log");
  std::vector<pid_t> children;
  for (char who = 'a'; who < 'e'; ++who) {
    pid_t child = fork();
    if (child != 0) {
      children.push_back(child);
      continue;
    }
    int fd = open("log", O_WRONLY | O_APPEND | O_CLOEXEC);
    std::string record(63, who);
    record += '\n';
    for (int i = 0; i < 300; ++i) {
      if (write(fd, record.data(), record.size()) != static_cast<ssize_t>(record.size())) _exit(1);
    }
    _exit(0);
  }
  for (pid_t child : children) {
    int status = 0;
    waitpid(child, &status, 0);
    Say("a writer", status);
  }
  SayStat("log");
  int fd = open("log", O_RDONLY | O_CLOEXEC);
  int counts[4] = {}, broken = 0;
  char record[64];
  while (read(fd, record, sizeof record) == sizeof record) {
    bool whole = record[0] >= 'a' && record[0] < 'e' && record[63] == '\n' &&
                 std::string(record, 63) == std::string(63, record[0]);
    whole ? ++counts[record[0] - 'a'] : ++broken;
  }
  for (int count : counts) Say("records", count);
  Say("broken ones", broken);
  Check(truncate("log", 0) == 0, "truncating");
  close(fd);

  fd = open("log", O_RDWR | O_APPEND | O_CLOEXEC);
  Say("write", write(fd, "one ", 4));
  Say("pwrite at 0", pwrite(fd, "two ", 4, 0));
  Say("seek", lseek(fd, 1, SEEK_SET));
  Say("write", write(fd, "three ", 6));
  Say("position", lseek(fd, 0, SEEK_CUR));
  SayContent("log");
  close(fd);
}

// Whole pages past the cache, seen by those who go through it.
void Direct() {
  const size_t size = 1 << 16;
  void* memory = nullptr;
  Check(posix_memalign(&memory, 4096, size) == 0, "memory");
  memset(memory, 'd', size);
  MakeFile("file", std::string(size, 'c'));
  int direct = SayOk("open direct", open("file", O_RDWR | O_DIRECT | O_CLOEXEC));
  int cached = SayOk("open", open("file", O_RDWR | O_CLOEXEC));
  Say("write direct", pwrite(direct, memory, 8192, 4096));
  SayContent("file");
  Say("write cached", pwrite(cached, "cached", 6, 5000));
  Say("read direct", pread(direct, memory, size, 0));
  SayData("what it read", memory, size);
  Say("write direct past the end", pwrite(direct, memory, 4096, size));
  SayStat("file");
  Say("read direct at the end", pread(direct, memory, 4096, size + 4096));
  SayContent("file");
  free(memory);
}

void Path() {
  MakeFile("file", "content", 0640);
  MakeDirectory("dir");
  MakeFile("dir/file", "inside");
  MakeLink("link", "file");
  int fd = SayOk("open", open("file", O_PATH | O_CLOEXEC));
  char byte;
  Say("read", read(fd, &byte, 1));
  Say("write", write(fd, "x", 1));
  SayOk("fchmod", fchmod(fd, 0600));
  SayOk("fchown", fchown(fd, 1, 1));
  Say("ftruncate", ftruncate(fd, 0));
  Say("lseek", lseek(fd, 0, SEEK_SET));
  SayOk("fsync", fsync(fd));
  struct stat stat = {};
  int result = fstat(fd, &stat);
  SayStat("fstat", result, stat);
  struct statfs fs;
  SayOk("fstatfs", fstatfs(fd, &fs));
  std::string self = "/proc/self/fd/" + std::to_string(fd);
  int again = SayOk("reopen", open(self.c_str(), O_RDWR | O_CLOEXEC));
  Say("write", write(again, "CON", 3));
  SayContent("file");
  SayOk("chmod by /proc", chmod(self.c_str(), 0604));
  SayStat("file");
  SayOk("link by /proc", linkat(AT_FDCWD, self.c_str(), AT_FDCWD, "linked", AT_SYMLINK_FOLLOW));
  int dir = SayOk("open a directory", open("dir", O_PATH | O_DIRECTORY | O_CLOEXEC));
  SayOk("open in it", openat(dir, "file", O_RDONLY | O_CLOEXEC));
  SayOk("make in it", mkdirat(dir, "new", 0700));
  SayOk("fchdir", fchdir(dir));
  SayContent("file");
  SayOk("back", chdir(".."));
  int link = SayOk("open a link", open("link", O_PATH | O_NOFOLLOW | O_CLOEXEC));
  char target[20] = {};
  Say("readlink", readlinkat(link, "", target, sizeof target));
  SayOk("fchownat", fchownat(link, "", 5, 6, AT_EMPTY_PATH));
  SayStat("link");
  Check(unlink("file") == 0 && unlink("linked") == 0, "unlinking");
  result = fstat(fd, &stat);
  SayStat("fstat of the deleted", result, stat);
  again = SayOk("reopen the deleted", open(self.c_str(), O_RDONLY | O_CLOEXEC));
  Say("read", read(again, &byte, 1));
}

void HowToResolve() {
  MakeDirectory("dir");
  MakeDirectory("dir/sub");
  MakeFile("dir/file", "content");
  MakeLink("dir/up", "../dir/file");
  MakeLink("dir/absolute", "/dir/file");
  MakeLink("dir/magic", "/proc/self/root");
  MakeLink("dir/near", "file");
  int dir = open("dir", O_PATH | O_DIRECTORY | O_CLOEXEC);
  const Flags ways[] = {{"none", 0},
                        {"beneath", RESOLVE_BENEATH},
                        {"in root", RESOLVE_IN_ROOT},
                        {"no links", RESOLVE_NO_SYMLINKS},
                        {"no magic", RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV},
                        {"no such", 1 << 20}};
  for (const Flags& way : ways) {
    for (const char* path : {"file", "up", "near", "sub/../file", "../dir/file", "missing", "sub/.."}) {
      open_how how = {.flags = O_RDONLY | O_CLOEXEC, .mode = 0, .resolve = static_cast<uint64_t>(way.bits)};
      long fd = syscall(SYS_openat2, dir, path, &how, sizeof how);
      SayOk(std::string("openat2 ") + path + " " + way.name, static_cast<int>(fd));
      if (fd >= 0) close(static_cast<int>(fd));
    }
  }
}

// The mode of a new file is no matter for whoever makes it.
void ModesOfNewFiles() {
  MakeDirectory("dir", 0777);
  As(1000, [] {
    for (mode_t mode : {0, 0200, 0400, 07777}) {
      for (mode_t mask : {0, 022, 0777}) {
        umask(mask);
        std::string path = "dir/" + std::to_string(mode) + "-" + std::to_string(mask);
        int fd = SayOk("create", open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode));
        Say("write", write(fd, "content", 7));
        SayStat(path);
        SayOk("open again", open(path.c_str(), O_RDWR | O_CLOEXEC));
        close(fd);
        SayOk("mkdir", mkdir((path + "d").c_str(), mode));
        SayStat(path + "d");
        SayOk("mkfifo", mkfifo((path + "p").c_str(), mode));
        SayStat(path + "p");
      }
    }
  });
}

}  // namespace

Group OpenScenarios() {
  return {"open",
          {{"table", Table},
           {"table-as-user", TableAsUser},
           {"unnamed", Unnamed},
           {"append", Append},
           {"direct", Direct},
           {"path", Path},
           {"how-to-resolve", HowToResolve},
           {"modes-of-new-files", ModesOfNewFiles}}};
}

}  // namespace lisafs::differential
