#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "gofer/gofer_testing.h"

namespace lisafs {
namespace {

using WalkTest = GoferTest;
using testing::Test;

constexpr auto kMissing = WalkStatus::kComponentDoesNotExist;
constexpr auto kSymlink = WalkStatus::kComponentSymlink;

TEST_F(WalkTest, StopsWhereItShould) {
  ASSERT_EQ(mkdir(Path("d").c_str(), 0755), 0);
  WriteHostFile("d/g");
  WriteHostFile("file");
  ASSERT_EQ(symlink("d", Path("link").c_str()), 0);
  Serve();
  const struct {
    std::vector<std::string_view> path;
    WalkStatus status;
    size_t inodes;
  } kCases[] = {
      {{}, WalkStatus::kSuccess, 0},        {{"d", "g"}, WalkStatus::kSuccess, 2},
      {{"d", "missing", "x"}, kMissing, 1}, {{"missing"}, kMissing, 0},
      {{"missing", ".."}, kMissing, 0},     {{"link"}, WalkStatus::kSuccess, 1},
      {{"link", "x"}, kSymlink, 1},         {{"link", std::string_view("long name", 9)}, kSymlink, 1},
  };
  for (const auto& c : kCases) {
    auto walked = Walk(root(), c.path);
    ASSERT_TRUE(walked) << testing::PrintToString(c.path);
    EXPECT_EQ(walked->status, c.status) << testing::PrintToString(c.path);
    EXPECT_EQ(walked->inodes.size(), c.inodes) << testing::PrintToString(c.path);
  }
}

TEST_F(WalkTest, Fails) {
  WriteHostFile("file");
  ASSERT_EQ(symlink("file", Path("link").c_str()), 0);
  Serve();
  const std::string too_long(256, 'n');
  const struct {
    std::vector<std::string_view> path;
    int error;
  } kCases[] = {
      {{""}, EINVAL},          {{"."}, EINVAL},          {{".."}, EINVAL},           {{"a/b"}, EINVAL},
      {{{"a\0b", 3}}, EINVAL}, {{"link", ".."}, EINVAL}, {{too_long}, ENAMETOOLONG}, {{"file", "x"}, ENOTDIR},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(ErrnoOf(Walk(root(), c.path)), c.error) << testing::PrintToString(c.path);
  }
  for (const char* name : {"file", "link"}) {
    Fdid fd = Find(root(), name).control_fd;
    EXPECT_EQ(ErrnoOf(Walk(fd, {})), ENOTDIR);
    EXPECT_EQ(ErrnoOf(Walk(fd, {"x"})), ENOTDIR);
  }
  EXPECT_EQ(ErrnoOf(Walk(99, {"x"})), EBADF);
  auto open = Open(root(), O_RDONLY);
  ASSERT_TRUE(open);
  EXPECT_EQ(ErrnoOf(Walk(*open, {"x"})), EINVAL);
}

TEST_F(WalkTest, AFailedWalkHoldsNothing) {
  ASSERT_EQ(mkdir(Path("d").c_str(), 0755), 0);
  auto counters = std::make_unique<MountCounters>();
  Serve({.counters = counters.get()});
  EXPECT_EQ(ErrnoOf(Walk(root(), {"d", ".."})), EINVAL);
  EXPECT_EQ(counters->summary.control_fds, 1u);
  EXPECT_EQ(server().tree.size(), 1u);
  HangUp();
  EXPECT_EQ(counters->summary.control_fds, 0u);
}

TEST_F(WalkTest, WhatCannotFitTheResponseIsRefusedBeforehand) {
  Serve({.max_message = 3 + 152 * 10});
  EXPECT_TRUE(Walk(root(), std::vector<std::string_view>(10, "missing")));
  EXPECT_EQ(ErrnoOf(Walk(root(), std::vector<std::string_view>(11, "missing"))), EIO);
  EXPECT_TRUE(WalkStat(root(), std::vector<std::string_view>(10, "missing")));
  EXPECT_EQ(ErrnoOf(WalkStat(root(), std::vector<std::string_view>(11, "missing"))), EIO);
}

// What a file is does not matter to a walk, which does not open it: a FIFO's writers see no reader.
TEST_F(WalkTest, ServesEveryTypeOfFileWithoutOpeningIt) {
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0644), 0);
  ASSERT_EQ(mknod(Path("socket").c_str(), S_IFSOCK | 0644, 0), 0);
  if (mknod(Path("block").c_str(), S_IFBLK | 0600, makedev(7, 200)) != 0) GTEST_SKIP() << "cannot make devices here";
  ASSERT_EQ(mknod(Path("null").c_str(), S_IFCHR | 0600, makedev(1, 3)), 0);
  Serve();
  for (auto [name, type] : {std::pair{"fifo", S_IFIFO}, {"socket", S_IFSOCK}, {"block", S_IFBLK}, {"null", S_IFCHR}}) {
    Inode inode = Find(root(), name);
    EXPECT_EQ(inode.stat.mode & S_IFMT, static_cast<unsigned>(type)) << name;
    auto stats = WalkStat(root(), {name});
    ASSERT_TRUE(stats && stats->size() == 1);
    EXPECT_EQ((*stats)[0].ino, inode.stat.ino);
    EXPECT_EQ(ErrnoOf(Open(inode.control_fd, O_RDONLY)), EPERM) << name;
  }
  EXPECT_EQ(open(Path("fifo").c_str(), O_WRONLY | O_NONBLOCK), -1);
  EXPECT_EQ(errno, ENXIO);
  EXPECT_EQ(Find(root(), "null").stat.rdev_major, 1u);
  EXPECT_EQ(Find(root(), "null").stat.rdev_minor, 3u);
}

TEST_F(WalkTest, WalkStat) {
  ASSERT_EQ(mkdir(Path("d").c_str(), 0755), 0);
  WriteHostFile("d/g", "four");
  WriteHostFile("f");
  ASSERT_EQ(symlink("d", Path("link").c_str()), 0);
  Serve();
  Fdid file = Find(root(), "f").control_fd;
  Fdid link = Find(root(), "link").control_fd;
  const struct {
    Fdid start;
    std::vector<std::string_view> path;
    size_t stats;
    int error = 0;
  } kCases[] = {
      {root(), {}, 0},
      {root(), {""}, 1},
      {file, {""}, 1},
      {link, {""}, 1},
      {file, {}, 0},
      {file, {"", "x"}, 0, ENOTDIR},
      {file, {"x"}, 0, ENOTDIR},
      {root(), {"d", ""}, 0, EINVAL},
      {root(), {"missing", ".."}, 0, EINVAL},
      {root(), {".."}, 0, EINVAL},
      {root(), {"d"}, 1},
      {root(), {"missing"}, 0},
      {root(), {"d", "g"}, 2},
      {root(), {"", "d", "missing", "q"}, 2},
      {root(), {"link", "x"}, 1},
      {root(), {"f", "x"}, 0, ENOTDIR},
      {99, {"f"}, 0, EBADF},
  };
  for (const auto& c : kCases) {
    auto stats = WalkStat(c.start, c.path);
    EXPECT_EQ(ErrnoOf(stats), c.error) << testing::PrintToString(c.path);
    if (stats) {
      EXPECT_EQ(stats->size(), c.stats) << testing::PrintToString(c.path);
    }
  }
  EXPECT_EQ(WalkStat(root(), {"", "d", "g"}).value()[2].size, 4u);
  EXPECT_EQ(WalkStat(root(), {"", "d", "g"}).value()[0].ino, client().root().stat.ino);
}

TEST_F(WalkTest, TheBudgetOfDescriptorsIsKept) {
  WriteHostFile("f");
  Serve({.max_fds = 3});
  Fdid a = Find(root(), "f").control_fd;
  Find(root(), "f");
  EXPECT_EQ(ErrnoOf(Walk(root(), {"f"})), EMFILE);
  EXPECT_EQ(ErrnoOf(Open(a, O_RDONLY)), EMFILE);
  EXPECT_EQ(ErrnoOf(Create(root(), "new")), EMFILE);
  EXPECT_EQ(ErrnoOf(Mkdir(root(), "new")), EMFILE);
  EXPECT_NE(access(Path("new").c_str(), F_OK), 0);
  ASSERT_TRUE(Close({a}));
  auto open = Open(Find(root(), "f").control_fd, O_RDONLY);
  EXPECT_EQ(ErrnoOf(open), EMFILE);
}

TEST_F(WalkTest, ASingleFileCanBeTheMount) {
  WriteHostFile("hosts", "127.0.0.1");
  Serve({}, "hosts");
  EXPECT_TRUE(S_ISREG(client().root().stat.mode));
  auto open = Open(root(), O_RDONLY);
  ASSERT_TRUE(open);
  EXPECT_EQ(PRead(*open, 0, 100).value(), "127.0.0.1");
}

}  // namespace
}  // namespace lisafs
