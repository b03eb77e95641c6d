// Names and attributes, through the kernel.

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <functional>

#include "base/fd.h"
#include "tests/filesystem/mounted_directory.h"

namespace lisafs::tests {
namespace {

class Names : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (geteuid() == 0) files_ = new MountedDirectory({});
  }
  static void TearDownTestSuite() {
    delete files_;
    files_ = nullptr;
  }
  void SetUp() override {
    if (files_ == nullptr) GTEST_SKIP() << "needs root";
    ASSERT_TRUE(files_->ok());
    const std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
    ASSERT_EQ(mkdir((*files_ / name).c_str(), 0755), 0);
    here_ = *files_ / name;
    host_ = files_->OnHost(name);
    ASSERT_EQ(chdir(here_.c_str()), 0);
  }
  void TearDown() override { ASSERT_EQ(chdir("/"), 0); }

  std::string Host(const std::string& name) const { return host_ + "/" + name; }
  static struct stat Stat(const std::string& path) {
    struct stat stat = {};
    EXPECT_EQ(lstat(path.c_str(), &stat), 0) << path << ": " << strerror(errno);
    return stat;
  }
  static mode_t Mode(const std::string& path) { return Stat(path).st_mode & 07777; }

  static MountedDirectory* files_;
  std::string here_, host_;
};
MountedDirectory* Names::files_ = nullptr;

// Runs `work` in a child as an ordinary user; whether it gave true.
bool AsUser(uid_t uid, gid_t gid, const std::function<bool()>& work) {
  pid_t child = fork();
  if (child == 0) {
    bool done = setresgid(gid, gid, gid) == 0 && setresuid(uid, uid, uid) == 0 && work();
    _exit(done ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return status == 0;
}

// The errno of a call that failed; 0 for one that did not.
int ErrnoOf(long result) { return result < 0 ? errno : 0; }

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

TEST_F(Names, ModesOwnersAndTimes) {
  umask(027);
  Fd made(open("f", O_RDWR | O_CREAT | O_CLOEXEC, 0666));
  umask(022);
  EXPECT_EQ(Mode(Host("f")), 0640u);
  ASSERT_EQ(chmod("f", 06751), 0);
  EXPECT_EQ(Mode("f"), 06751u);
  EXPECT_EQ(Mode(Host("f")), 06751u);
  ASSERT_EQ(chown("f", 12, 34), 0);
  EXPECT_EQ(Stat(Host("f")).st_uid, 12u);
  EXPECT_EQ(Stat("f").st_gid, 34u);
  EXPECT_EQ(Mode("f"), 0751u);  // chown removes set-id bits.
  const timespec times[] = {{1, 999999999}, {1'000'000'000, 3}};
  ASSERT_EQ(utimensat(AT_FDCWD, "f", times, 0), 0);
  EXPECT_EQ(Stat(Host("f")).st_atim.tv_nsec, 999999999);
  EXPECT_EQ(Stat("f").st_mtim.tv_sec, 1'000'000'000);
  EXPECT_EQ(Stat("f").st_mtim.tv_nsec, 3);
  const timespec only_now[] = {{0, UTIME_OMIT}, {0, UTIME_NOW}};
  ASSERT_EQ(utimensat(AT_FDCWD, "f", only_now, 0), 0);
  EXPECT_EQ(Stat("f").st_atim.tv_sec, 1);
  EXPECT_LT(labs(Stat("f").st_mtim.tv_sec - time(nullptr)), 5);
  ASSERT_EQ(symlink("nowhere", "l"), 0);
  ASSERT_EQ(lchown("l", 5, 6), 0);
  EXPECT_EQ(Stat("l").st_uid, 5u);
  ASSERT_EQ(utimensat(AT_FDCWD, "l", times, AT_SYMLINK_NOFOLLOW), 0);
  EXPECT_EQ(Stat("l").st_mtim.tv_nsec, 3);
  struct statx birth;
  ASSERT_EQ(statx(AT_FDCWD, "f", 0, STATX_BTIME, &birth), 0);
  EXPECT_TRUE(birth.stx_mask & STATX_BTIME);
}

TEST_F(Names, PermissionsAreTheKernels) {
  WriteFile("secret", "root's", 0600);
  WriteFile("public", "all's", 0644);
  ASSERT_EQ(mkdir("drop", 0777), 0);
  ASSERT_EQ(chmod("drop", 01777), 0);
  ASSERT_EQ(mkdir("group", 0777), 0);
  ASSERT_EQ(chown("group", 0, 4242), 0);
  ASSERT_EQ(chmod("group", 02777), 0);
  EXPECT_TRUE(AsUser(1000, 1000, [] {
    return open("secret", O_RDONLY) < 0 && errno == EACCES && open("public", O_RDONLY) >= 0 &&
           open("public", O_WRONLY) < 0 && errno == EACCES && chmod("public", 0666) < 0 && errno == EPERM &&
           mkdir("drop/mine", 0755) == 0 && open("drop/f", O_CREAT | O_WRONLY, 0600) >= 0 &&
           open("group/f", O_CREAT | O_WRONLY, 0600) >= 0 && access("secret", R_OK) < 0 && access("public", R_OK) == 0;
  }));
  EXPECT_EQ(Stat(Host("drop/mine")).st_uid, 1000u);
  EXPECT_EQ(Stat(Host("drop/f")).st_gid, 1000u);
  EXPECT_EQ(Stat(Host("group/f")).st_gid, 4242u);
  EXPECT_TRUE(AsUser(1001, 1001, [] { return unlink("drop/f") < 0 && errno == EPERM; }));
}

// A mode shows an access control list's mask where a group's permissions stand.
TEST_F(Names, AccessControlListsAreTheKernels) {
  // The kernel's encoding, version 2: the owner rw, user 1000 r, the group and others nothing, mask r.
  constexpr char kAcl[] =
      "\2\0\0\0"
      "\1\0\6\0\377\377\377\377"
      "\2\0\4\0\350\3\0\0"
      "\4\0\0\0\377\377\377\377"
      "\20\0\4\0\377\377\377\377"
      "\40\0\0\0\377\377\377\377";
  WriteFile(Host("f"), "content");
  ASSERT_EQ(chown(Host("f").c_str(), 0, 1001), 0);
  if (setxattr(Host("f").c_str(), "system.posix_acl_access", kAcl, sizeof kAcl - 1, 0) != 0) {
    GTEST_SKIP() << "no access control lists here";
  }
  ASSERT_EQ(mkdir("d", 0777), 0);
  ASSERT_EQ(setxattr("d", "system.posix_acl_default", kAcl, sizeof kAcl - 1, 0), 0);
  ASSERT_TRUE(Fd(open("d/f", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666)));
  char acl[sizeof kAcl] = {};
  EXPECT_EQ(getxattr(Host("d/f").c_str(), "system.posix_acl_access", acl, sizeof acl), ssize_t{sizeof kAcl - 1});
  EXPECT_EQ(std::string(acl, sizeof acl), std::string(kAcl, sizeof kAcl));
  for (const char* name : {"f", "d/f"}) {
    EXPECT_EQ(Mode(name), 0640u) << name;
    EXPECT_TRUE(AsUser(1000, 1000, [&] { return open(name, O_RDONLY) >= 0 && open(name, O_RDWR) < 0; })) << name;
    EXPECT_TRUE(AsUser(1002, 1002, [&] { return open(name, O_RDONLY) < 0 && errno == EACCES; })) << name;
  }
  EXPECT_TRUE(AsUser(1001, 1001, [] { return open("f", O_RDONLY) < 0 && errno == EACCES; }));
  ASSERT_EQ(chmod("f", 0600), 0);
  EXPECT_TRUE(AsUser(1000, 1000, [] { return open("f", O_RDONLY) < 0 && errno == EACCES; }));
  ASSERT_EQ(removexattr("f", "system.posix_acl_access"), 0);
  ASSERT_EQ(chmod("f", 0640), 0);
  EXPECT_TRUE(AsUser(1001, 1001, [] { return open("f", O_RDONLY) >= 0; }));
}

TEST_F(Names, SetIdBitsGoWhenAUserWrites) {
  WriteFile("s", "x", 0777);
  ASSERT_EQ(chmod("s", 06777), 0);
  EXPECT_EQ(ErrnoOf(truncate("s", 2)), 0);
  EXPECT_EQ(Mode("s"), 06777u);  // Root may.
  EXPECT_TRUE(AsUser(1000, 1000, [] {
    int fd = open("s", O_WRONLY);
    return write(fd, "y", 1) == 1;
  }));
  EXPECT_EQ(Mode("s"), 0777u);
  EXPECT_EQ(Mode(Host("s")), 0777u);
  ASSERT_EQ(chmod("s", 06777), 0);
  EXPECT_TRUE(AsUser(1000, 1000, [] { return truncate("s", 0) == 0; }));
  EXPECT_EQ(Mode("s"), 0777u);
  ASSERT_EQ(chmod("s", 06777), 0);
  EXPECT_TRUE(AsUser(1000, 1000, [] { return open("s", O_WRONLY | O_TRUNC) >= 0; }));
  EXPECT_EQ(Mode("s"), 0777u);
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

TEST_F(Names, ExtendedAttributes) {
  WriteFile("f", "");
  ASSERT_EQ(setxattr("f", "user.a", "value", 5, XATTR_CREATE), 0);
  EXPECT_EQ(ErrnoOf(setxattr("f", "user.a", "value", 5, XATTR_CREATE)), EEXIST);
  char value[16] = {};
  EXPECT_EQ(getxattr("f", "user.a", value, sizeof value), 5);
  EXPECT_STREQ(value, "value");
  EXPECT_EQ(getxattr("f", "user.a", nullptr, 0), 5);
  EXPECT_EQ(ErrnoOf(getxattr("f", "user.a", value, 2)), ERANGE);
  EXPECT_EQ(getxattr(Host("f").c_str(), "user.a", value, sizeof value), 5);
  EXPECT_EQ(listxattr("f", value, sizeof value), 7);
  EXPECT_EQ(std::string(value, 7), std::string("user.a\0", 7));
  EXPECT_EQ(removexattr("f", "user.a"), 0);
  EXPECT_EQ(ErrnoOf(getxattr("f", "user.a", value, sizeof value)), ENODATA);
}

TEST_F(Names, ChangesOnTheHostShow) {
  WriteFile(Host("f"), "one");
  EXPECT_EQ(ReadFile("f"), "one");
  WriteFile(Host("f"), "another");
  EXPECT_EQ(ReadFile("f"), "another");  // Whoever opens a file sees what it is now.
  ASSERT_EQ(unlink(Host("f").c_str()), 0);
  EXPECT_TRUE(Eventually(std::chrono::seconds(3), [] { return access("f", F_OK) != 0; }));
  WriteFile(Host("f"), "new");
  EXPECT_TRUE(Eventually(std::chrono::seconds(3), [] { return ReadFile("f") == "new"; }));
}

// The kernel caches listings. Whoever opens a directory sees what is in it now.
TEST_F(Names, ListingsFollowChangesOnBothSides) {
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
