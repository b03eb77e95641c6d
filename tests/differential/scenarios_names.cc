#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <unistd.h>

#include <string>

#include "tests/differential/say.h"
#include "tests/differential/scenario.h"

// Names made, removed and changed.

namespace lisafs::differential {
namespace {

std::string Both(const std::string& call, const std::string& from, const std::string& to) {
  return call + " " + from + " " + to;
}
void Rename(const std::string& from, const std::string& to, unsigned flags = 0) {
  const char* const names[] = {"rename", "rename noreplace", "rename exchange", "", "rename whiteout"};
  const char* name = flags <= RENAME_WHITEOUT && *names[flags] ? names[flags] : "rename with flags";
  SayOk(Both(name, from, to), renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags));
}
void Link(const std::string& from, const std::string& to, int flags = 0) {
  SayOk(Both(flags ? "link following" : "link", from, to), linkat(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags));
}

void RemoveAll(const char* path) {
  auto remove_one = [](const char* name, const struct stat*, int, FTW*) { return remove(name); };
  Check(nftw(path, remove_one, 10, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT, std::string("clearing up ") + path);
}

void RenameTable() {
  const char* const things[] = {"file",  "file2",      "hard", "dir", "full",    "link",         "missing", "dir/",
                                "file/", "full/inner", ".",    "..",  "full/..", "dir/sub/deep", "",        "fifo"};
  for (unsigned flags : {0u, unsigned{RENAME_NOREPLACE}, unsigned{RENAME_EXCHANGE},
                         unsigned{RENAME_NOREPLACE | RENAME_EXCHANGE}, 0x80u}) {
    for (const char* from : things) {
      for (const char* to : things) {
        MakeFile("file", "one");
        MakeFile("file2", "two");
        Check(link("file", "hard") == 0 && mkfifo("fifo", 0600) == 0, "a link and a FIFO");
        MakeDirectory("dir");
        MakeDirectory("full");
        MakeFile("full/inner", "inner");
        MakeLink("link", "file");
        Rename(from, to, flags);
        // What is there then, by what it holds.
        for (const char* left : {"file", "file2", "hard", "link", "missing", "full/inner", "dir", "full", "fifo"}) {
          struct stat stat;
          if (lstat(left, &stat) != 0) continue;
          std::string what = std::string("  ") + left;
          SayStat(what, 0, stat);
        }
        for (const char* name : {"file", "file2", "hard", "dir", "full", "link", "missing", "fifo"}) RemoveAll(name);
      }
    }
  }
}

void RenameOverOpen() {
  MakeFile("old", "old");
  MakeFile("new", "new");
  int old = open("old", O_RDWR | O_CLOEXEC), fresh = open("new", O_RDWR | O_CLOEXEC);
  Times times("new");
  Rename("new", "old");
  struct stat stat;
  int result = fstat(old, &stat);
  SayStat("the one that was replaced", result, stat);
  result = fstat(fresh, &stat);
  SayStat("the one that replaced it", result, stat);
  Say("write to the replaced", write(old, "OLD", 3));
  SayContent("old");
  SayOk("chmod of the replaced", fchmod(old, 0600));
  SayOk("sync of the replaced", fsync(old));
  SayStat("old");
  MakeDirectory("a");
  MakeDirectory("b");
  int dir = open("b", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  Rename("a", "b");
  SayOk("make in the replaced directory", mkdirat(dir, "x", 0700));
  result = fstat(dir, &stat);
  SayStat("the replaced directory", result, stat);
}

void RenameTimes() {
  MakeDirectory("a");
  MakeDirectory("b");
  MakeFile("a/file", "content");
  Times a("a"), b("b");
  Rename("a/file", "b/file");
  a.Say("the directory it left");
  b.Say("the one it is in");
  Times file("b/file");
  Link("b/file", "a/linked");
  file.Say("a link to it");
  a.Say("the directory that got a link");
  SayOk("unlink", unlink("a/linked"));
  file.Say("removing the link");
  a.Say("the directory that lost it");
  Rename("b/file", "b/file2");
  b.Say("a rename within");
}

void RenameAsUser() {
  MakeDirectory("theirs", 0755);
  MakeDirectory("sticky", 01777);
  MakeDirectory("open", 0777);
  MakeFile("theirs/file", "theirs");
  MakeFile("sticky/file", "theirs", 0666);
  MakeFile("open/file", "theirs");
  MakeDirectory("sticky/dir", 0777);
  As(1000, [] {
    MakeFile("sticky/mine", "mine");
    Rename("theirs/file", "open/x");
    Rename("sticky/file", "open/x");
    Rename("sticky/mine", "open/mine");
    Rename("open/mine", "sticky/file");
    Rename("open/mine", "theirs/mine");
    Rename("open/file", "open/mine", RENAME_EXCHANGE);
    SayOk("unlink sticky", unlink("sticky/file"));
    SayOk("rmdir sticky", rmdir("sticky/dir"));
    SayOk("unlink open", unlink("open/file"));
    SayOk("unlink theirs", unlink("theirs/file"));
    Link("theirs/file", "open/linked");
    Link("sticky/file", "open/linked");
    // A directory that one may not write to cannot get another parent.
    Rename("sticky/dir", "open/dir");
  });
}

void Links() {
  MakeFile("file", "content");
  MakeDirectory("dir");
  MakeLink("link", "file");
  MakeLink("dangling", "nowhere");
  Check(mkfifo("fifo", 0600) == 0, "a FIFO");
  for (const char* from : {"file", "dir", "link", "dangling", "fifo", "missing", "file/", "link/", ""}) {
    for (int flags : {0, AT_SYMLINK_FOLLOW, 1 << 20})
      Link(from, std::string("dir/") + from + std::to_string(flags), flags);
  }
  Link("file", "file");
  Link("file", "dir");
  Link("file", "missing/x");
  Link("file", "file/x");
  Link("file", "dir/trailing/");
  for (const char* name : {"file", "link", "fifo", "dir/file0", "dir/link0", "dir/link1024"}) SayStat(name);
  int fd = open("file", O_RDWR | O_CLOEXEC);
  SayOk("unlink", unlink("file"));
  struct stat stat;
  int result = fstat(fd, &stat);
  SayStat("the open file", result, stat);
  SayOk("link by descriptor", linkat(fd, "", AT_FDCWD, "again", AT_EMPTY_PATH));
  SayStat("again");
  for (const char* name : {"again", "dir/file0", "dir/file1024", "dir/link1024"}) SayOk("unlink", unlink(name));
  result = fstat(fd, &stat);
  SayStat("the open file at last", result, stat);
  SayOk("link of the deleted", linkat(fd, "", AT_FDCWD, "never", AT_EMPTY_PATH));
  std::string self = "/proc/self/fd/" + std::to_string(fd);
  SayOk("link of the deleted by /proc", linkat(AT_FDCWD, self.c_str(), AT_FDCWD, "never", AT_SYMLINK_FOLLOW));
}

void LinkCounts() {
  MakeDirectory("dir");
  SayStat("dir");
  for (int i = 0; i < 5; ++i) Check(mkdir(("dir/" + std::to_string(i)).c_str(), 0700) == 0, "a directory");
  SayStat("dir");
  MakeFile("dir/file");
  SayStat("dir");
  Rename("dir/0", "moved");
  SayStat("dir");
  SayOk("rmdir", rmdir("dir/1"));
  SayStat("dir");
  Rename("dir/file", "dir/2", RENAME_EXCHANGE);
  SayStat("dir");
  Rename("moved", "dir/3");
  SayStat("dir");
  MakeFile("many");
  for (int i = 0; i < 500; ++i) Check(link("many", ("many" + std::to_string(i)).c_str()) == 0, "a link");
  SayStat("many");
  for (int i = 0; i < 500; i += 2) Check(unlink(("many" + std::to_string(i)).c_str()) == 0, "removing one");
  SayStat("many");
}

void StrangeNames() {
  std::string all;
  for (int c = 1; c < 256; ++c) {
    if (c != '/') all += static_cast<char>(c);
  }
  const std::string names[] = {std::string(255, 'n'),
                               std::string(256, 'n'),
                               std::string(4095, 'n'),
                               all,  // 254 bytes
                               "...",
                               " ",
                               "\n",
                               "\xff\xfe",
                               "-rf",
                               "a\\b",
                               "\xc3\xa4",
                               "a\xcc\x88",
                               ".hidden",
                               "A",
                               "a"};
  int number = 0;
  for (const std::string& name : names) {
    std::string what = "name " + std::to_string(number++);
    int fd = SayOk(what, open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    Say("write", write(fd, what.data(), what.size()));
    close(fd);
    struct stat stat;
    int result = lstat(name.c_str(), &stat);
    SayStat("it", result, stat);
    SayOk("mkdir " + what, mkdir((name + "d").c_str(), 0700));
    SayOk("symlink " + what, symlink("x", (name + "l").c_str()));
  }
  // In UTF-8 a letter has two ways to be written, which are two names.
  SayContent("\xc3\xa4");
  SayContent("a\xcc\x88");
}

// As long as a path may be, and longer trees than a path can say.
void LongPaths() {
  std::string path;
  int depth = 0;
  while (path.size() + 201 <= PATH_MAX - 1) {
    path += (path.empty() ? "" : "/") + std::string(200, static_cast<char>('a' + depth % 26));
    if (mkdir(path.c_str(), 0700) != 0) break;
    ++depth;
  }
  Say("as deep as a path reaches", depth);
  std::string longest = path + "/" + std::string(PATH_MAX - 1 - path.size() - 1, 'x');
  Say("bytes", static_cast<long>(longest.size()));
  SayOk("create", open(longest.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  SayOk("one more", open((longest + "x").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  SayOk("stat", access(longest.c_str(), F_OK));
  SayOk("rename", rename(longest.c_str(), (path + "/short").c_str()));
  SayOk("with slashes", access((std::string(PATH_MAX - 1 - path.size(), '/') + path).c_str(), F_OK));
  InChild([] {
    int made = 0;
    for (int i = 0; i < 60; ++i, ++made) {
      if (mkdir(std::string(250, 'D').c_str(), 0700) != 0 || chdir(std::string(250, 'D').c_str()) != 0) break;
    }
    Say("deeper than any path", made);
    MakeFile("bottom", "down here");
    SayContent("bottom");
    char buffer[100];
    SayOk("getcwd", getcwd(buffer, sizeof buffer) != nullptr ? 0 : -1);
    for (int i = 0; i < made; ++i) {
      Check((i == 0 ? unlink("bottom") : rmdir(std::string(250, 'D').c_str())) == 0, "clearing up");
      Check(chdir("..") == 0, "going up");
    }
    SayOk("rmdir", rmdir(std::string(250, 'D').c_str()));
  });
}

void SymbolicLinks() {
  for (size_t length : {1, 59, 60, 100, 4095}) {
    std::string target(length, 't');
    std::string name = "link" + std::to_string(length);
    SayOk("symlink", symlink(target.c_str(), name.c_str()));
    SayStat(name);
    char buffer[5000];
    ssize_t n = readlink(name.c_str(), buffer, sizeof buffer);
    SayData("readlink", buffer, n);
    n = readlink(name.c_str(), buffer, length / 2 + 1);
    SayData("readlink of a part", buffer, n);
    Say("readlink of nothing", readlink(name.c_str(), buffer, 0));
  }
  SayOk("a target of 4096", symlink(std::string(4096, 't').c_str(), "longer"));
  SayOk("no target", symlink("", "empty"));
  SayOk("a name that exists", symlink("x", "link1"));
  SayOk("a name with a slash", symlink("x", "new/"));
  MakeFile("chain0", "the end of the chain");
  for (int i = 1; i <= 42; ++i) MakeLink("chain" + std::to_string(i), "chain" + std::to_string(i - 1));
  for (int i : {1, 39, 40, 41, 42}) SayContent("chain" + std::to_string(i));
  MakeDirectory("dir");
  MakeFile("dir/file", "through a link");
  MakeLink("to-dir", "dir");
  MakeLink("dir/back", "../to-dir/back2");
  MakeLink("dir/back2", "./../dir/file");
  SayContent("to-dir/back");
  SayContent("to-dir/../dir/file");
  SayOk("mkdir on a link", mkdir("to-dir", 0700));
  SayOk("rmdir of a link", rmdir("to-dir"));
  SayOk("unlink of a link with a slash", unlink("to-dir/"));
  char buffer[10];
  Say("readlink of a file", readlink("chain0", buffer, sizeof buffer));
  Say("readlink of a directory", readlink("dir", buffer, sizeof buffer));
  // One that leads elsewhere a moment later.
  SayOk("another link", symlink("chain0", "switch"));
  SayContent("switch");
  SayOk("and another", symlink("dir/file", "other") == 0 ? rename("other", "switch") : -1);
  SayContent("switch");
}

void RemovedDirectory() {
  MakeDirectory("dir");
  int fd = open("dir", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  InChild([fd] {
    Check(chdir("dir") == 0, "entering");
    SayOk("rmdir of the working directory", rmdir("../dir"));
    char buffer[PATH_MAX];
    SayOk("getcwd", getcwd(buffer, sizeof buffer) != nullptr ? 0 : -1);
    SayOk("create", open("x", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    SayOk("mkdir", mkdir("x", 0700));
    SayOk("symlink", symlink("x", "y"));
    SayOk("mkfifo", mkfifo("x", 0700));
    SayOk("link", link("/proc/self/status", "x"));
    SayOk("stat .", access(".", F_OK));
    SayOk("stat ..", access("..", F_OK));
    SayOk("chdir .", chdir("."));
    SayOk("rename into it", renameat(AT_FDCWD, "../x", fd, "x"));
    struct stat stat;
    int result = fstat(fd, &stat);
    SayStat("it", result, stat);
    SayOk("chmod", fchmod(fd, 0711));
    SayOk("sync", fsync(fd));
    DIR* list = fdopendir(fd);
    int entries = 0;
    errno = 0;
    while (list != nullptr && readdir(list) != nullptr) ++entries;
    SayOk("listing", errno == 0 ? 0 : -1);
    Say("entries", entries);
  });
}

void Removing() {
  MakeDirectory("dir");
  MakeDirectory("full");
  MakeFile("full/file", "x");
  MakeLink("link", "full");
  for (const char* name : {"full", "full/", "full/file", "full/.", "full/..", "link", "link/", "missing", "", ".", "..",
                           "/", "full/file/", "full/file/x"}) {
    SayOk(std::string("rmdir ") + name, rmdir(name));
  }
  for (const char* name : {"dir", "dir/", "full", "full/file/", "missing", "", ".", "/", "link/"}) {
    SayOk(std::string("unlink ") + name, unlink(name));
  }
  SayOk("unlinkat with no such flag", unlinkat(AT_FDCWD, "full/file", 0x1000));
  for (const char* name : {"dir", "dir/", "file/", "full/file", "link", "missing/x", "", ".", "/", "new/", "new2//"}) {
    SayOk(std::string("mkdir ") + name, mkdir(name, 0700));
  }
}

}  // namespace

Group NameScenarios() {
  return {"names",
          {{"rename-table", RenameTable},
           {"rename-over-open", RenameOverOpen},
           {"rename-times", RenameTimes},
           {"rename-as-user", RenameAsUser},
           {"links", Links},
           {"link-counts", LinkCounts},
           {"strange-names", StrangeNames},
           {"long-paths", LongPaths},
           {"symbolic-links", SymbolicLinks},
           {"removed-directory", RemovedDirectory},
           {"removing", Removing}}};
}

}  // namespace lisafs::differential
