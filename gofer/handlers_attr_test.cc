#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "gofer/gofer_testing.h"

namespace lisafs {
namespace {

using AttrTest = GoferTest;

TEST_F(AttrTest, StatsControlAndOpenFds) {
  WriteHostFile("f", "hello");
  Serve();
  Fdid file = Find(root(), "f").control_fd;
  Fdid open = Open(file, O_RDONLY).value();
  struct stat host;
  ASSERT_EQ(stat(Path("f").c_str(), &host), 0);
  for (Fdid fd : {file, open}) {
    Statx stat = Stat(fd).value();
    EXPECT_EQ(stat.mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
    EXPECT_EQ(stat.ino, host.st_ino);
    EXPECT_EQ(stat.size, 5u);
    EXPECT_EQ(stat.mode, host.st_mode);
    EXPECT_EQ(stat.mtime.nsec, host.st_mtim.tv_nsec);
    EXPECT_EQ(stat.attributes, 0u);
    EXPECT_EQ(stat.attributes_mask, 0u);
  }
  EXPECT_EQ(ErrnoOf(Stat(0)), EBADF);
  EXPECT_EQ(ErrnoOf(Stat(99)), EBADF);
}

TEST_F(AttrTest, SetsEverythingAtOnce) {
  WriteHostFile("f", "hello");
  Serve();
  Fdid file = Find(root(), "f").control_fd;
  auto response = SetStat({.fd = file,
                           .mask = STATX_MODE | STATX_SIZE | STATX_ATIME | STATX_MTIME | STATX_UID | STATX_GID,
                           .mode = 0760,
                           .uid = getuid(),
                           .gid = getgid(),
                           .size = 50,
                           .atime = {1234567890, 123456789},
                           .mtime = {1234567891, 987654321}});
  ASSERT_TRUE(response);
  EXPECT_EQ(response->failure_mask, 0u);
  EXPECT_EQ(response->failure_errno, 0u);
  Statx stat = Stat(file).value();
  EXPECT_EQ(stat.mode, S_IFREG | 0760);
  EXPECT_EQ(stat.size, 50u);
  EXPECT_EQ(stat.atime.sec, 1234567890);
  EXPECT_EQ(stat.atime.nsec, 123456789u);
  EXPECT_EQ(stat.mtime.sec, 1234567891);
  EXPECT_EQ(stat.mtime.nsec, 987654321u);
}

TEST_F(AttrTest, RefusesWhatCannotBeSet) {
  Serve();
  Fdid open = Open(root(), O_RDONLY).value();
  EXPECT_EQ(ErrnoOf(SetStat({.fd = root(), .mask = STATX_NLINK})), EPERM);
  EXPECT_EQ(ErrnoOf(SetStat({.fd = root(), .mask = STATX_TYPE | STATX_MODE, .mode = 0755})), EPERM);
  EXPECT_EQ(ErrnoOf(SetStat({.fd = open})), EINVAL);
  EXPECT_EQ(ErrnoOf(SetStat({.fd = 99})), EBADF);
  auto nothing = SetStat({.fd = root()});
  ASSERT_TRUE(nothing);
  EXPECT_EQ(nothing->failure_mask, 0u);
}

TEST_F(AttrTest, EachFailureIsReportedAndStopsNothing) {
  WriteHostFile("f", "hello");
  ASSERT_EQ(symlink("f", Path("link").c_str()), 0);
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0644), 0);
  ASSERT_EQ(mkdir(Path("dir").c_str(), 0755), 0);
  Serve();
  const struct {
    const char* name;
    uint32_t mask;
    uint64_t size;
    uint32_t failed;
    int error;
  } kCases[] = {
      {"dir", STATX_SIZE, 1, STATX_SIZE, EISDIR},
      {"dir", STATX_SIZE | STATX_MODE, 1, STATX_SIZE, EISDIR},
      {"fifo", STATX_SIZE, 1, STATX_SIZE, EINVAL},
      {"fifo", STATX_MODE, 0, 0, 0},
      {"f", STATX_SIZE, uint64_t{1} << 63, STATX_SIZE, EINVAL},
      {"link", STATX_SIZE | STATX_MODE, 1, STATX_SIZE | STATX_MODE, ELOOP},
      {"link", STATX_MODE, 1, STATX_MODE, EOPNOTSUPP},
      {"link", STATX_MTIME | STATX_MODE, 1, STATX_MODE, EOPNOTSUPP},
  };
  for (const auto& c : kCases) {
    Fdid file = Find(root(), c.name).control_fd;
    auto response = SetStat({.fd = file, .mask = c.mask, .mode = 0611, .size = c.size, .mtime = {1000, 5}});
    ASSERT_TRUE(response);
    EXPECT_EQ(response->failure_mask, c.failed) << c.name << " " << c.mask;
    EXPECT_EQ(response->failure_errno, static_cast<uint32_t>(c.error)) << c.name << " " << c.mask;
    if ((c.mask & ~c.failed & STATX_MODE) != 0) {
      EXPECT_EQ(Stat(file)->mode & 07777, 0611) << c.name;
    }
    if ((c.mask & STATX_MTIME) != 0) {
      EXPECT_EQ(Stat(file)->mtime.sec, 1000) << c.name;
    }
  }
  EXPECT_EQ(ReadHostFile("f"), "hello");
}

TEST_F(AttrTest, TimesCanBeNowOrLeftOrBad) {
  WriteHostFile("f");
  Serve();
  Fdid file = Find(root(), "f").control_fd;
  ASSERT_EQ(SetStat({.fd = file, .mask = STATX_ATIME | STATX_MTIME, .atime = {1, 2}, .mtime = {3, 4}})->failure_mask,
            0u);
  ASSERT_EQ(SetStat({.fd = file, .mask = STATX_MTIME, .mtime = {0, UTIME_NOW}})->failure_mask, 0u);
  EXPECT_EQ(Stat(file)->atime.sec, 1);
  EXPECT_GT(Stat(file)->mtime.sec, 1'000'000);
  auto bad = SetStat({.fd = file, .mask = STATX_ATIME, .atime = {0, 1'000'000'000}});
  EXPECT_EQ(bad->failure_mask, static_cast<uint32_t>(STATX_ATIME));
  EXPECT_EQ(bad->failure_errno, static_cast<uint32_t>(EINVAL));
}

TEST_F(AttrTest, OwnersAndSetIdBits) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to give files away";
  WriteHostFile("f");
  Serve();
  Fdid file = Find(root(), "f").control_fd;
  // chown(2) clears set-id bits, unless the same request asks for them.
  auto both = SetStat({.fd = file, .mask = STATX_MODE | STATX_UID | STATX_GID, .mode = 06755, .uid = 7, .gid = 8});
  EXPECT_EQ(both->failure_mask, 0u);
  EXPECT_EQ(Stat(file)->mode & 07777, 06755);
  EXPECT_EQ(Stat(file)->uid, 7u);
  EXPECT_EQ(Stat(file)->gid, 8u);
  EXPECT_EQ(SetStat({.fd = file, .mask = STATX_UID | STATX_GID, .uid = kNoId, .gid = 9})->failure_mask, 0u);
  EXPECT_EQ(Stat(file)->uid, 7u);
  EXPECT_EQ(Stat(file)->gid, 9u);
  EXPECT_EQ(Stat(file)->mode & 07777, 0755);
}

// A file that may not be opened is still a file whose attributes can be set.
TEST_F(AttrTest, NeedsNoPermissionOnTheFile) {
  WriteHostFile("f");
  ASSERT_EQ(chmod(Path("f").c_str(), 0), 0);
  Serve();
  Fdid file = Find(root(), "f").control_fd;
  EXPECT_EQ(SetStat({.fd = file, .mask = STATX_MODE | STATX_MTIME, .mode = 0400, .mtime = {5, 0}})->failure_mask, 0u);
  EXPECT_EQ(Stat(file)->mode & 07777, 0400);
}

TEST_F(AttrTest, StatsTheFileSystem) {
  Serve();
  auto stat = client().Call<Mid::kFStatFS>({root()});
  ASSERT_TRUE(stat);
  struct statfs host;
  ASSERT_EQ(statfs(Path("").c_str(), &host), 0);
  EXPECT_EQ(stat->type, static_cast<uint64_t>(host.f_type));
  EXPECT_EQ(stat->block_size, host.f_bsize);
  EXPECT_EQ(stat->blocks, host.f_blocks);
  EXPECT_EQ(stat->name_length, static_cast<uint64_t>(host.f_namelen));
  EXPECT_EQ(ErrnoOf(client().Call<Mid::kFStatFS>({Open(root(), O_RDONLY).value()})), EINVAL);
  EXPECT_EQ(ErrnoOf(client().Call<Mid::kFStatFS>({99})), EBADF);
}

TEST_F(AttrTest, ReadsLinks) {
  const std::string long_target(4095, 't');
  ASSERT_EQ(symlink("/etc/passwd", Path("short").c_str()), 0);
  ASSERT_EQ(symlink(long_target.c_str(), Path("long").c_str()), 0);
  WriteHostFile("f");
  Serve();
  EXPECT_EQ(ReadLink(Find(root(), "short").control_fd).value(), "/etc/passwd");
  EXPECT_EQ(ReadLink(Find(root(), "long").control_fd).value(), long_target);
  EXPECT_EQ(ErrnoOf(ReadLink(Find(root(), "f").control_fd)), EINVAL);
  EXPECT_EQ(ErrnoOf(ReadLink(root())), EINVAL);
}

}  // namespace
}  // namespace lisafs
