// Names, through the kernel.

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>

#include "base/fd.h"
#include "tests/filesystem/semantics_testing.h"

namespace lisafs::tests {
namespace {

using Names = SemanticsTest;

TEST_F(Names, DirectoriesAndLinks) {
  ASSERT_EQ(mkdir("d", 0750), 0);
  WriteFile("d/f", "content");
  ASSERT_EQ(symlink("d/f", "l"), 0);
  EXPECT_EQ(ReadFile("l"), "content");
  EXPECT_EQ(ReadFile(Host("d/f")), "content");
  char target[16] = {};
  EXPECT_EQ(readlink("l", target, sizeof target), 3);
  EXPECT_STREQ(target, "d/f");
  EXPECT_EQ(Mode("d"), 0750u);
  EXPECT_EQ(Stat("d/f").st_ino, Stat(Host("d/f")).st_ino);
  EXPECT_EQ(ErrnoOf(rmdir("d")), ENOTEMPTY);
  EXPECT_EQ(ErrnoOf(unlink("d")), EISDIR);
  EXPECT_EQ(ErrnoOf(mkdir("d", 0755)), EEXIST);
  EXPECT_EQ(ErrnoOf(mkdir("none/d", 0755)), ENOENT);
  EXPECT_EQ(ErrnoOf(mkdir("d/f/g", 0755)), ENOTDIR);
  EXPECT_EQ(ErrnoOf(mkdir(std::string(256, 'n').c_str(), 0755)), ENAMETOOLONG);
  EXPECT_EQ(mkdir(std::string(255, 'n').c_str(), 0755), 0);
  EXPECT_EQ(unlink("d/f"), 0);
  EXPECT_EQ(rmdir("d"), 0);
  EXPECT_EQ(ReadFile("l"), std::nullopt);
}

TEST_F(Names, HardLinksAreOneFile) {
  WriteFile("a", "1");
  ASSERT_EQ(link("a", "b"), 0);
  EXPECT_EQ(Stat("a").st_ino, Stat("b").st_ino);
  EXPECT_EQ(Stat("a").st_nlink, 2u);
  WriteFile("b", "22");
  EXPECT_EQ(ReadFile("a"), "22");
  ASSERT_EQ(unlink("a"), 0);
  EXPECT_EQ(Stat("b").st_nlink, 1u);
  EXPECT_EQ(ReadFile("b"), "22");
  EXPECT_EQ(setxattr("b", "user.x", "y", 1, 0), 0);
  EXPECT_EQ(ErrnoOf(link(".", "c")), EPERM);
}

TEST_F(Names, Renames) {
  WriteFile("a", "a");
  WriteFile("b", "b");
  Fd replaced(open("b", O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(rename("a", "b"), 0);
  EXPECT_EQ(ReadFile("b"), "a");
  EXPECT_EQ(ReadFile("a"), std::nullopt);
  char c;
  EXPECT_EQ(pread(replaced.get(), &c, 1, 0), 1);
  EXPECT_EQ(c, 'b');
  WriteFile("c", "c");
  EXPECT_EQ(ErrnoOf(renameat2(AT_FDCWD, "b", AT_FDCWD, "c", RENAME_NOREPLACE)), EEXIST);
  EXPECT_EQ(renameat2(AT_FDCWD, "b", AT_FDCWD, "c", RENAME_EXCHANGE), 0);
  EXPECT_EQ(ReadFile("b"), "c");
  EXPECT_EQ(ReadFile("c"), "a");
  EXPECT_EQ(ErrnoOf(renameat2(AT_FDCWD, "b", AT_FDCWD, "w", RENAME_WHITEOUT)), EINVAL);
  ASSERT_EQ(mkdir("d", 0755), 0);
  EXPECT_EQ(ErrnoOf(rename("b", "d")), EISDIR);
  EXPECT_EQ(ErrnoOf(rename("d", "d/e")), EINVAL);
}

TEST_F(Names, AnOpenDirectoryIsFollowedThroughRenames) {
  ASSERT_EQ(mkdir("d", 0755), 0);
  ASSERT_EQ(mkdir("d/e", 0755), 0);
  ASSERT_EQ(mkdir("other", 0755), 0);
  Fd e(open("d/e", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ASSERT_EQ(rename("d", "other/moved"), 0);
  Fd made(openat(e.get(), "f", O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
  ASSERT_TRUE(made);
  EXPECT_EQ(ListDirectory(Host("other/moved/e")), std::vector<std::string>{"f"});
  struct stat stat;
  EXPECT_EQ(fstatat(e.get(), "../../moved", &stat, 0), 0);
}

TEST_F(Names, DeletedButInUse) {
  Fd file(open("f", O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  ASSERT_EQ(write(file.get(), "content", 7), 7);
  ASSERT_EQ(unlink("f"), 0);
  struct stat stat;
  ASSERT_EQ(fstat(file.get(), &stat), 0);
  EXPECT_EQ(stat.st_nlink, 0u);
  EXPECT_EQ(stat.st_size, 7);
  char content[8] = {};
  EXPECT_EQ(pread(file.get(), content, 8, 0), 7);
  EXPECT_STREQ(content, "content");
  EXPECT_EQ(ftruncate(file.get(), 3), 0);
  EXPECT_EQ(fchmod(file.get(), 0600), 0);
  ASSERT_EQ(fstat(file.get(), &stat), 0);
  EXPECT_EQ(stat.st_size, 3);
  EXPECT_EQ(stat.st_mode & 07777, 0600u);
  WriteFile("f", "another");
  EXPECT_EQ(pread(file.get(), content, 8, 0), 3);

  ASSERT_EQ(mkdir("d", 0755), 0);
  ASSERT_EQ(chdir("d"), 0);
  ASSERT_EQ(rmdir("../d"), 0);
  EXPECT_EQ(ErrnoOf(mkdir("e", 0755)), ENOENT);
  EXPECT_EQ(::stat(".", &stat), 0);
}

TEST_F(Names, FifosAndSocketsOfTheContainer) {
  ASSERT_EQ(mkfifo("fifo", 0600), 0);
  EXPECT_TRUE(S_ISFIFO(Stat(Host("fifo")).st_mode));
  pid_t child = fork();
  if (child == 0) {
    int fd = open("fifo", O_WRONLY);
    _exit(write(fd, "through", 7) == 7 ? 0 : 1);
  }
  Fd fifo(open("fifo", O_RDONLY | O_CLOEXEC));
  char content[8] = {};
  EXPECT_EQ(read(fifo.get(), content, 7), 7);
  EXPECT_STREQ(content, "through");
  int status;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);

  sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
  Fd listening(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(bind(listening.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(listening.get(), 1), 0);
  EXPECT_TRUE(S_ISSOCK(Stat(Host("socket")).st_mode));
  Fd client(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  Fd accepted(accept(listening.get(), nullptr, nullptr));
  EXPECT_EQ(write(client.get(), "hello", 5), 5);
  EXPECT_EQ(read(accepted.get(), content, 5), 5);

  EXPECT_EQ(ErrnoOf(mknod("device", S_IFCHR | 0666, 0x103)), EPERM);
}

TEST_F(Names, ChangesOnTheHostShow) {
  if (IsExclusive()) GTEST_SKIP() << "nobody changes the files of an exclusive mount on the host";
  WriteFile(Host("f"), "one");
  EXPECT_EQ(ReadFile("f"), "one");
  WriteFile(Host("f"), "another");
  EXPECT_EQ(ReadFile("f"), "another");  // Whoever opens a file sees what it is now.
  ASSERT_EQ(unlink(Host("f").c_str()), 0);
  EXPECT_TRUE(Eventually(kPatience, [] { return access("f", F_OK) != 0; }));
  WriteFile(Host("f"), "new");
  EXPECT_TRUE(Eventually(kPatience, [] { return ReadFile("f") == "new"; }));
}

// Whoever opens a directory sees what is in it now.
TEST_F(Names, ListingsFollowChangesOnBothSides) {
  if (IsExclusive()) GTEST_SKIP() << "nobody changes the files of an exclusive mount on the host";
  auto list = [] {
    std::vector<std::string> names;
    DIR* directory = opendir(".");
    while (dirent* entry = readdir(directory)) names.push_back(entry->d_name);
    closedir(directory);
    std::sort(names.begin(), names.end());
    return names;
  };
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(list(), (std::vector<std::string>{".", ".."})) << i;
    WriteFile(Host("host"), "");
    EXPECT_EQ(list(), (std::vector<std::string>{".", "..", "host"})) << i;
    WriteFile("here", "");
    EXPECT_EQ(list(), (std::vector<std::string>{".", "..", "here", "host"})) << i;
    ASSERT_EQ(rename(Host("here").c_str(), Host("moved").c_str()), 0);
    EXPECT_EQ(list(), (std::vector<std::string>{".", "..", "host", "moved"})) << i;
    EXPECT_EQ(list(), (std::vector<std::string>{".", "..", "host", "moved"})) << i;
    ASSERT_EQ(unlink("moved"), 0);
    ASSERT_EQ(unlink(Host("host").c_str()), 0);
  }
}

TEST_F(Names, ListingWhileDeleting) {
  constexpr int kFiles = 5000;
  for (int i = 0; i < kFiles; ++i) Fd(open(("f" + std::to_string(i)).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
  DIR* directory = opendir(".");
  ASSERT_NE(directory, nullptr);
  int seen = 0;
  bool dot = false, dot_dot = false;
  while (dirent* entry = readdir(directory)) {
    std::string name = entry->d_name;
    if (name == "." || name == "..") {
      (name == "." ? dot : dot_dot) = true;
      continue;
    }
    ++seen;
    EXPECT_EQ(unlink(entry->d_name), 0) << name;
  }
  EXPECT_EQ(seen, kFiles);
  EXPECT_TRUE(dot && dot_dot);
  rewinddir(directory);
  int left = 0;
  while (readdir(directory) != nullptr) ++left;
  EXPECT_EQ(left, 2);
  closedir(directory);
}

TEST_F(Names, SeekingInADirectory) {
  for (char c = 'a'; c <= 'z'; ++c) WriteFile(std::string(1, c), "");
  DIR* directory = opendir(".");
  for (int i = 0; i < 10; ++i) readdir(directory);
  long position = telldir(directory);
  std::vector<std::string> first, again;
  while (dirent* entry = readdir(directory)) first.push_back(entry->d_name);
  ASSERT_EQ(unlink(first.front().c_str()), 0);
  seekdir(directory, position);
  while (dirent* entry = readdir(directory)) again.push_back(entry->d_name);
  EXPECT_EQ(first, again);
  EXPECT_EQ(first.size(), 18u);
  closedir(directory);
}

TEST_F(Names, FileSystemNumbers) {
  struct statvfs here, host;
  ASSERT_EQ(statvfs(".", &here), 0);
  ASSERT_EQ(statvfs(host_.c_str(), &host), 0);
  EXPECT_EQ(here.f_blocks, host.f_blocks);
  EXPECT_EQ(here.f_frsize, host.f_frsize);
  EXPECT_EQ(here.f_namemax, 255u);
}

}  // namespace
}  // namespace lisafs::tests
