#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "tests/differential/say.h"
#include "tests/differential/scenario.h"

// Modes, owners, times and extended attributes.

namespace lisafs::differential {
namespace {

void SetIds() {
  // Who changes a file, how, and what becomes of its bits.
  struct Change {
    const char* name;
    void (*make)();
  };
  const Change changes[] = {
      {"write",
       [] {
         int fd = open("file", O_WRONLY | O_CLOEXEC);
         Say("write", write(fd, "x", 1));
         close(fd);
       }},
      {"append",
       [] {
         int fd = open("file", O_WRONLY | O_APPEND | O_CLOEXEC);
         Say("write", write(fd, "x", 1));
         close(fd);
       }},
      {"write nothing",
       [] {
         int fd = open("file", O_WRONLY | O_CLOEXEC);
         Say("write", write(fd, "x", 0));
         close(fd);
       }},
      {"truncate", [] { Say("truncate", truncate("file", 3)); }},
      {"truncate to its size", [] { Say("truncate", truncate("file", 7)); }},
      {"open trunc", [] { close(SayOk("open", open("file", O_WRONLY | O_TRUNC | O_CLOEXEC))); }},
      {"ftruncate",
       [] {
         int fd = open("file", O_WRONLY | O_CLOEXEC);
         Say("ftruncate", ftruncate(fd, 1));
         close(fd);
       }},
      {"fallocate",
       [] {
         int fd = open("file", O_WRONLY | O_CLOEXEC);
         Say("fallocate", fallocate(fd, 0, 0, 100));
         close(fd);
       }},
      {"chown to itself", [] { SayOk("chown", chown("file", 1000, 1000)); }},
      {"chown to nobody", [] { SayOk("chown", chown("file", static_cast<uid_t>(-1), static_cast<gid_t>(-1))); }},
      {"chown to another", [] { SayOk("chown", chown("file", 2000, static_cast<gid_t>(-1))); }},
      {"chgrp", [] { SayOk("chown", chown("file", static_cast<uid_t>(-1), 2000)); }},
      {"chmod of the same",
       [] {
         struct stat st;
         SayOk("chmod", stat("file", &st) == 0 ? chmod("file", st.st_mode & 07777) : -1);
       }},
      {"utimes", [] { SayOk("utimensat", utimensat(AT_FDCWD, "file", nullptr, 0)); }},
      {"setxattr", [] { SayOk("setxattr", setxattr("file", "user.a", "v", 1, 0)); }},
      {"link",
       [] {
         SayOk("link", link("file", "linked"));
         unlink("linked");
       }},
  };
  for (mode_t mode : {06777, 04777, 02777, 04666, 01777}) {
    for (const Change& change : changes) {
      for (uid_t who : {0, 1000, 3000}) {
        if (who == 3000 && strcmp(change.name, "chown to nobody") == 0) continue;  // One of docs/differences.md.
        MakeFile("file", "content");
        Check(chown("file", 1000, 1000) == 0 && chmod("file", mode) == 0, "a file with bits");
        SayText("change", change.name);
        if (who == 0) {
          change.make();
        } else {
          As(who, change.make);
        }
        SayStat("file");
        Check(unlink("file") == 0, "clearing up");
      }
    }
  }
}

void SetGroupIdDirectory() {
  MakeDirectory("dir");
  Check(chown("dir", 0, 1234) == 0 && chmod("dir", 02777) == 0, "a set-group-id directory");
  auto make = [] {
    MakeFile("dir/file");
    SayOk("mkdir", mkdir("dir/sub", 0755));
    SayOk("symlink", symlink("x", "dir/link"));
    SayOk("mkfifo", mkfifo("dir/fifo", 0640));
    SayOk("create set-group-id", open("dir/bits", O_RDWR | O_CREAT | O_CLOEXEC, 02771));
    SayOk("create without execution", open("dir/bits2", O_RDWR | O_CREAT | O_CLOEXEC, 02660));
    for (const char* name : {"file", "sub", "link", "fifo", "bits", "bits2"}) SayStat(std::string("dir/") + name);
    SayOk("chmod g+s", chmod("dir/file", 02755));
    SayStat("dir/file");
    for (const char* name : {"file", "link", "fifo", "bits", "bits2"}) unlink((std::string("dir/") + name).c_str());
    rmdir("dir/sub");
  };
  make();
  As(1000, make);
}

void Owners() {
  MakeFile("file", "content", 0644);
  MakeDirectory("dir", 0755);
  MakeLink("link", "file");
  MakeLink("dangling", "nowhere");
  for (uid_t user : {0u, 1000u, 65534u, 4294967294u}) {
    for (const char* name : {"file", "dir", "link", "dangling", "missing"}) {
      SayOk(std::string("chown ") + name, chown(name, user, user + 1));
      SayOk(std::string("lchown ") + name, lchown(name, user, static_cast<gid_t>(-1)));
      SayStat(name);
    }
  }
  Check(chown("file", 1000, 1000) == 0 && chown("dir", 1000, 1000) == 0, "giving away");
  As(1000, [] {
    SayOk("give away", chown("file", 1001, static_cast<gid_t>(-1)));
    SayOk("another group", chown("file", static_cast<uid_t>(-1), 1001));
    SayOk("mine again", chown("file", 1000, 1000));
    SayOk("chmod", chmod("file", 07777));
    SayStat("file");
    SayOk("chmod dir", chmod("dir", 0));
    SayOk("enter", chdir("dir"));
    SayOk("list", open("dir", O_RDONLY | O_CLOEXEC));
    SayOk("chmod dir", chmod("dir", 0755));
  });
  As(2000, [] {
    SayOk("chmod of another's", chmod("file", 0777));
    SayOk("chown of another's", chown("file", 2000, 2000));
    SayOk("truncate of another's", truncate("file", 0));
  });
  SayStat("file");
}

void SayTimes(const std::string& path) {
  struct stat stat;
  if (lstat(path.c_str(), &stat) != 0) return;
  SayText("times of " + path, std::to_string(stat.st_atim.tv_sec) + "." + std::to_string(stat.st_atim.tv_nsec) + " " +
                                  std::to_string(stat.st_mtim.tv_sec) + "." + std::to_string(stat.st_mtim.tv_nsec));
}

void SettingTimes() {
  MakeFile("file", "content", 0666);
  MakeDirectory("dir", 0777);
  MakeLink("link", "file");
  Check(mkfifo("fifo", 0666) == 0 && chmod("fifo", 0666) == 0, "a FIFO");
  struct Pair {
    timespec atime, mtime;
  };
  const Pair pairs[] = {{{1, 1}, {2, 999'999'999}},
                        {{0, 0}, {0, 0}},
                        {{-1, 500}, {-2'000'000'000, 7}},
                        {{4'000'000'000, 0}, {5'000'000'000, 123'456'789}},
                        {{10, UTIME_OMIT}, {20, 20}},
                        {{30, 30}, {40, UTIME_OMIT}},
                        {{0, UTIME_OMIT}, {0, UTIME_OMIT}},
                        {{1, 1'000'000'000}, {1, 1}},
                        {{1, -1}, {1, 1}},
                        {{1LL << 40, 0}, {-(1LL << 40), 0}}};
  for (const Pair& pair : pairs) {
    timespec times[] = {pair.atime, pair.mtime};
    for (const char* name : {"file", "dir", "link", "fifo", "missing"}) {
      SayOk(std::string("utimensat ") + name, utimensat(AT_FDCWD, name, times, AT_SYMLINK_NOFOLLOW));
      SayTimes(name);
    }
    int fd = open("file", O_RDONLY | O_CLOEXEC);
    SayOk("futimens", futimens(fd, times));
    SayTimes("file");
    close(fd);
  }
  timespec now_only[] = {{0, UTIME_NOW}, {0, UTIME_OMIT}}, both_now[] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
  timespec some[] = {{100, 0}, {200, 0}}, nothing[] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
  for (uid_t user : {1000, 2000}) {
    MakeFile("theirs", "x", user == 1000 ? 0666 : 0444);
    As(user, [&] {
      SayOk("both now", utimensat(AT_FDCWD, "theirs", both_now, 0));
      SayOk("null", utimensat(AT_FDCWD, "theirs", nullptr, 0));
      SayOk("one now", utimensat(AT_FDCWD, "theirs", now_only, 0));
      SayOk("some", utimensat(AT_FDCWD, "theirs", some, 0));
      SayOk("nothing", utimensat(AT_FDCWD, "theirs", nothing, 0));
    });
  }
  struct stat stat;
  Check(lstat("theirs", &stat) == 0, "stat");
  SayText("now is near", llabs(time(nullptr) - stat.st_mtim.tv_sec) < 100 ? "yes" : "no");
}

// Which calls change which times.
void ChangingTimes() {
  MakeFile("file", "content", 0644);
  MakeDirectory("dir");
  Times file("file"), dir("dir");
  int fd = open("file", O_RDWR | O_CLOEXEC);
  file.Say("open");
  char byte;
  Say("read", read(fd, &byte, 1));
  file.Say("read");
  Say("write", write(fd, "x", 1));
  file.Say("write");
  Say("write nothing", write(fd, "x", 0));
  file.Say("write of nothing");
  Say("ftruncate", ftruncate(fd, 3));
  file.Say("ftruncate");
  Say("ftruncate", ftruncate(fd, 3));
  file.Say("ftruncate to its size");
  Say("truncate", truncate("file", 3));
  file.Say("truncate to its size");
  Say("fallocate", fallocate(fd, 0, 0, 1000));
  file.Say("fallocate");
  Say("fallocate keeping", fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 5000));
  file.Say("fallocate keeping the size");
  SayOk("chmod", fchmod(fd, 0600));
  file.Say("chmod");
  SayOk("chmod the same", fchmod(fd, 0600));
  file.Say("chmod of the same");
  SayOk("chown", fchown(fd, 1, 1));
  file.Say("chown");
  SayOk("setxattr", fsetxattr(fd, "user.a", "v", 1, 0));
  file.Say("setxattr");
  SayOk("removexattr", fremovexattr(fd, "user.a"));
  file.Say("removexattr");
  SayOk("fsync", fsync(fd));
  file.Say("fsync");
  close(fd);
  file.Say("close");
  close(open("file", O_WRONLY | O_TRUNC | O_CLOEXEC));
  file.Say("open truncating");
  close(open("file", O_WRONLY | O_TRUNC | O_CLOEXEC));
  file.Say("open truncating what is empty");
  MakeFile("dir/file");
  dir.Say("a file");
  MakeFile("dir/file", "more");
  dir.Say("more in it");
  SayOk("mkdir", mkdir("dir/sub", 0700));
  dir.Say("a directory");
  MakeFile("dir/sub/file");
  dir.Say("a file below");
  SayOk("unlink", unlink("dir/file"));
  dir.Say("unlink");
  SayOk("chmod", chmod("dir", 0711));
  dir.Say("chmod");
  int out = open("file", O_RDWR | O_CLOEXEC), in = open("dir/sub/file", O_RDWR | O_CLOEXEC);
  Say("write", write(in, "copied", 6));
  off_t from = 0;
  Say("copy_file_range", copy_file_range(in, &from, out, nullptr, 6, 0));
  file.Say("copy");
}

void BirthTime() {
  timespec before;
  clock_gettime(CLOCK_REALTIME, &before);
  usleep(12'000);
  MakeFile("file", "content");
  struct statx one = {}, two = {};
  SayOk("statx", statx(AT_FDCWD, "file", 0, STATX_BTIME | STATX_BASIC_STATS, &one));
  SayText("a birth time", one.stx_mask & STATX_BTIME ? "yes" : "no");
  SayText("it is after the beginning", one.stx_btime.tv_sec >= before.tv_sec ? "yes" : "no");
  usleep(12'000);
  MakeFile("file", "something else");
  Check(chmod("file", 0600) == 0 && rename("file", "renamed") == 0, "changing it");
  SayOk("statx", statx(AT_FDCWD, "renamed", 0, STATX_BTIME | STATX_BASIC_STATS, &two));
  SayText("it stays", one.stx_btime.tv_sec == two.stx_btime.tv_sec && one.stx_btime.tv_nsec == two.stx_btime.tv_nsec
                          ? "yes"
                          : "no");
  SayText("the basic fields", (two.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS ? "all" : "not all");
  int fd = open("renamed", O_RDONLY | O_CLOEXEC);
  SayOk("statx of a descriptor", statx(fd, "", AT_EMPTY_PATH, STATX_BTIME | STATX_BASIC_STATS, &one));
  SayText("the same", one.stx_btime.tv_nsec == two.stx_btime.tv_nsec && one.stx_ino == two.stx_ino ? "yes" : "no");
  SayOk("statx with no such flag", statx(AT_FDCWD, "renamed", 1 << 20, STATX_BASIC_STATS, &one));
  SayOk("statx with sync", statx(AT_FDCWD, "renamed", AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &one));
  Say("block size", one.stx_blksize);
  Say("blocks", static_cast<long>(one.stx_blocks > 0));
  struct statvfs fs = {};
  SayOk("statvfs", statvfs(".", &fs));
  Say("block size", static_cast<long>(fs.f_bsize));
  Say("fragment size", static_cast<long>(fs.f_frsize));
  Say("longest name", static_cast<long>(fs.f_namemax));
  Say("blocks", static_cast<long>(fs.f_blocks));
  Say("files", static_cast<long>(fs.f_files));
}

void Access() {
  MakeDirectory("closed", 0700);
  MakeFile("closed/file", "x", 0777);
  MakeDirectory("enter", 0711);
  MakeFile("enter/file", "x", 0644);
  for (int mode : {0, 0111, 0222, 0444, 0755, 0050, 0007}) {
    std::string name = "m" + std::to_string(mode);
    MakeFile(name, "x", static_cast<mode_t>(mode));
    Check(chown(name.c_str(), 1000, 2000) == 0, "its owner");
  }
  auto ask = [] {
    for (const char* name :
         {"closed/file", "enter/file", "enter", "m0", "m73", "m146", "m292", "m493", "m40", "m7", "missing"}) {
      for (int mode : {F_OK, R_OK, W_OK, X_OK, R_OK | W_OK | X_OK}) {
        SayOk(std::string("access ") + name + " " + std::to_string(mode), faccessat(AT_FDCWD, name, mode, AT_EACCESS));
      }
    }
    SayOk("a mode that nobody has", access("m0", 64));
  };
  ask();
  for (uid_t user : {1000, 2000, 3000}) As(user, ask);
}

void ExtendedAttributes() {
  MakeFile("file", "content");
  MakeDirectory("dir");
  MakeDirectory("sticky", 01777);
  MakeLink("link", "file");
  Check(mkfifo("fifo", 0600) == 0, "a FIFO");
  std::vector<char> value(70'000, 'v'), got(70'000);
  for (const char* target : {"file", "dir", "link", "fifo", "missing", "sticky"}) {
    std::string what = std::string(" ") + target;
    for (const char* name : {"user.a", "user.", "user", "", "nosuch.a", "system.a"}) {
      SayOk("set " + std::string(name) + what, lsetxattr(target, name, "value", 5, 0));
      Say("get " + std::string(name) + what, lgetxattr(target, name, got.data(), got.size()));
      SayOk("remove " + std::string(name) + what, lremovexattr(target, name));
    }
    Say("list" + what, llistxattr(target, got.data(), got.size()));
  }
  const std::string longest = "user." + std::string(250, 'n');
  SayOk("a name of 255", setxattr("file", longest.c_str(), "v", 1, 0));
  SayOk("a name of 256", setxattr("file", (longest + "n").c_str(), "v", 1, 0));
  Say("get a name of 256", getxattr("file", (longest + "n").c_str(), got.data(), got.size()));
  for (size_t size : {0u, 1u, 100u, 2000u, 65536u + 1}) {
    SayOk("a value of " + std::to_string(size), setxattr("file", "user.sized", value.data(), size, 0));
    Say("its size", getxattr("file", "user.sized", nullptr, 0));
    Say("too little room", getxattr("file", "user.sized", got.data(), size > 1 ? size / 2 : 1));
    ssize_t n = getxattr("file", "user.sized", got.data(), got.size());
    SayData("the value", got.data(), n);
  }
  SayOk("create what is there", setxattr("file", "user.sized", "x", 1, XATTR_CREATE));
  SayOk("replace what is not", setxattr("file", "user.none", "x", 1, XATTR_REPLACE));
  SayOk("flags that nobody has", setxattr("file", "user.none", "x", 1, 16));
  SayOk("create and replace", setxattr("file", "user.none", "x", 1, XATTR_CREATE | XATTR_REPLACE));
  Say("list", listxattr("file", got.data(), got.size()));
  Say("its size", listxattr("file", nullptr, 0));
  Say("too little room", listxattr("file", got.data(), 3));
  int fd = open("file", O_RDONLY | O_CLOEXEC);
  SayOk("set by a descriptor for reading", fsetxattr(fd, "user.fd", "v", 1, 0));
  Check(rename("file", "renamed") == 0, "renaming");
  Say("get after a rename", fgetxattr(fd, "user.fd", got.data(), got.size()));
  As(1000, [] {
    char got[100];
    Say("get as another", getxattr("renamed", "user.fd", got, sizeof got));
    SayOk("set as another", setxattr("renamed", "user.fd", "v", 1, 0));
    SayOk("set on a sticky directory", setxattr("sticky", "user.a", "v", 1, 0));
    SayOk("a capability", setxattr("renamed", "security.capability", "v", 1, 0));
  });
}

}  // namespace

Group AttributeScenarios() {
  return {"attributes",
          {{"set-ids", SetIds},
           {"set-group-id-directory", SetGroupIdDirectory},
           {"owners", Owners},
           {"setting-times", SettingTimes},
           {"changing-times", ChangingTimes},
           {"birth-time", BirthTime},
           {"access", Access},
           {"extended-attributes", ExtendedAttributes}}};
}

}  // namespace lisafs::differential
