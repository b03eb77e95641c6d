#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <functional>

#include "gofer/gofer_testing.h"

namespace lisafs {
namespace {

using CreateTest = GoferTest;

TEST_F(CreateTest, MakesEachType) {
  WriteHostFile("f");
  Serve();
  EXPECT_EQ(Mkdir(root(), "dir", 01750)->stat.mode, S_IFDIR | 01750);
  EXPECT_EQ(Mknod(root(), "reg", S_IFREG | 0640)->stat.mode, S_IFREG | 0640);
  EXPECT_EQ(MakeNode(root(), "reg2", S_IFREG | 0640)->stat.mode, S_IFREG | 0640);
  EXPECT_EQ(MakeNode(root(), "fifo", S_IFIFO | 0622)->stat.mode, S_IFIFO | 0622);
  EXPECT_EQ(MakeNode(root(), "socket", S_IFSOCK | 0711)->stat.mode, S_IFSOCK | 0711);
  auto link = Symlink(root(), "link", "/etc/passwd");
  ASSERT_TRUE(link);
  EXPECT_EQ(link->stat.mode & S_IFMT, static_cast<unsigned>(S_IFLNK));
  EXPECT_EQ(ReadLink(link->control_fd).value(), "/etc/passwd");
  Inode file = Find(root(), "f");
  auto hard = Link(root(), file.control_fd, "hard");
  ASSERT_TRUE(hard);
  EXPECT_EQ(hard->stat.ino, file.stat.ino);
  EXPECT_EQ(hard->stat.nlink, 2u);
  // Also what cannot be opened can be linked, and a link is linked itself.
  EXPECT_EQ(Link(root(), link->control_fd, "link2")->stat.ino, link->stat.ino);
  EXPECT_TRUE(Link(root(), Find(root(), "socket").control_fd, "socket2"));
}

TEST_F(CreateTest, WhiteoutsAreNoDevices) {
  Serve();
  auto whiteout = Mknod(root(), "gone", S_IFCHR, 0, 0);
  if (!whiteout && whiteout.error() == Errno(EPERM) && geteuid() != 0) GTEST_SKIP() << "not allowed here";
  ASSERT_TRUE(whiteout);
  EXPECT_EQ(whiteout->stat.rdev_major, 0u);
  EXPECT_EQ(whiteout->stat.rdev_minor, 0u);
}

TEST_F(CreateTest, RefusesOtherTypes) {
  Serve();
  for (uint16_t type : {0, S_IFIFO, S_IFSOCK, S_IFBLK, S_IFDIR, S_IFLNK}) {
    EXPECT_EQ(ErrnoOf(Mknod(root(), "x", type | 0644)), EPERM) << type;
  }
  EXPECT_EQ(ErrnoOf(Mknod(root(), "x", S_IFCHR | 0644, 1, 3)), EPERM);
  for (uint16_t type : {0, S_IFBLK, S_IFDIR, S_IFLNK}) {
    EXPECT_EQ(ErrnoOf(MakeNode(root(), "x", type | 0644)), EPERM) << type;
  }
  EXPECT_EQ(ErrnoOf(MakeNode(root(), "x", S_IFCHR | 0644, 1, 3)), EPERM);
  EXPECT_NE(access(Path("x").c_str(), F_OK), 0);
}

TEST_F(CreateTest, FailsAlikeWhateverIsMade) {
  WriteHostFile("f");
  Serve();
  Fdid file = Find(root(), "f").control_fd;
  Fdid open = Open(root(), O_RDONLY).value();
  using Make = std::function<int(Fdid, std::string_view)>;
  const std::pair<const char*, Make> kMakes[] = {
      {"mkdir", [&](Fdid dir, std::string_view name) { return ErrnoOf(Mkdir(dir, name)); }},
      {"mknod", [&](Fdid dir, std::string_view name) { return ErrnoOf(Mknod(dir, name, S_IFREG | 0644)); }},
      {"fifo", [&](Fdid dir, std::string_view name) { return ErrnoOf(MakeNode(dir, name, S_IFIFO | 0644)); }},
      {"symlink", [&](Fdid dir, std::string_view name) { return ErrnoOf(Symlink(dir, name, "x")); }},
      {"link", [&](Fdid dir, std::string_view name) { return ErrnoOf(Link(dir, file, name)); }},
  };
  for (const auto& [what, make] : kMakes) {
    EXPECT_EQ(make(root(), "f"), EEXIST) << what;
    EXPECT_EQ(make(root(), ""), EINVAL) << what;
    EXPECT_EQ(make(root(), "."), EINVAL) << what;
    EXPECT_EQ(make(root(), ".."), EINVAL) << what;
    EXPECT_EQ(make(root(), "../escaped"), EINVAL) << what;
    EXPECT_EQ(make(root(), std::string(256, 'n')), ENAMETOOLONG) << what;
    EXPECT_EQ(make(file, "x"), ENOTDIR) << what;
    EXPECT_EQ(make(open, "x"), EINVAL) << what;
    EXPECT_EQ(make(99, "x"), EBADF) << what;
  }
}

TEST_F(CreateTest, LinkFails) {
  WriteHostFile("f");
  Serve();
  Fdid file = Find(root(), "f").control_fd;
  Fdid open = Open(file, O_RDONLY).value();
  EXPECT_EQ(ErrnoOf(Link(root(), root(), "x")), EPERM);
  EXPECT_EQ(ErrnoOf(Link(root(), open, "x")), EINVAL);
  EXPECT_EQ(ErrnoOf(Link(root(), 99, "x")), EBADF);
}

TEST_F(CreateTest, SymlinkTargets) {
  Serve();
  EXPECT_EQ(ErrnoOf(Symlink(root(), "x", "")), ENOENT);
  EXPECT_EQ(ErrnoOf(Symlink(root(), "x", std::string(4096, 't'))), ENAMETOOLONG);
  EXPECT_EQ(ErrnoOf(Symlink(root(), "x", {"a\0b", 3})), EINVAL);
  EXPECT_TRUE(Symlink(root(), "x", std::string(4095, 't')));
}

TEST_F(CreateTest, OwnersAndSetIdBits) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to give files away";
  Serve();
  auto dir = client().Call<Mid::kMkdirAt>(
      {.common = {.dir_fd = root(), .uid = 1000, .gid = 2000, .mode = 02775}, .name = "dir"});
  ASSERT_TRUE(dir);
  EXPECT_EQ(dir->child.stat.mode, S_IFDIR | 02775);
  EXPECT_EQ(dir->child.stat.uid, 1000u);
  EXPECT_EQ(dir->child.stat.gid, 2000u);
  // In it, no group means the parent's.
  auto file = client().Call<Mid::kMknodAt>(
      {.common = {.dir_fd = dir->child.control_fd, .uid = 1001, .mode = S_IFREG | 0644}, .name = "f"});
  ASSERT_TRUE(file);
  EXPECT_EQ(file->child.stat.uid, 1001u);
  EXPECT_EQ(file->child.stat.gid, 2000u);
  auto below = client().Call<Mid::kMkdirAt>(
      {.common = {.dir_fd = dir->child.control_fd, .uid = 1001, .mode = 0755}, .name = "below"});
  EXPECT_EQ(below->child.stat.mode, S_IFDIR | 02755);
  auto link =
      client().Call<Mid::kSymlinkAt>({.dir_fd = root(), .uid = 5, .gid = 6, .name = "link", .target = "/etc/passwd"});
  EXPECT_EQ(link->child.stat.uid, 5u);
  EXPECT_EQ(link->child.stat.gid, 6u);
}

}  // namespace
}  // namespace lisafs
