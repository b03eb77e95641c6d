#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gofer/gofer_testing.h"

namespace lisafs {
namespace {

using OpenTest = GoferTest;

TEST_F(OpenTest, DonatesRegularFilesWithTheModeAskedForAndNothingElse) {
  WriteHostFile("f", "hello");
  Serve();
  Fdid file = Find(root(), "f").control_fd;
  for (int mode : {O_RDONLY, O_WRONLY, O_RDWR}) {
    Donations donated;
    // What is not served vanishes silently.
    ASSERT_TRUE(Open(file, mode | O_APPEND | O_CREAT | O_EXCL | O_SYNC, &donated));
    ASSERT_EQ(donated.size(), 1u);
    EXPECT_EQ(fcntl(donated[0], F_GETFL) & ~O_LARGEFILE & ~0100000, mode | O_NONBLOCK);
  }
  Donations donated;
  ASSERT_TRUE(Open(root(), O_RDONLY, &donated));
  EXPECT_EQ(donated.size(), 0u);
}

TEST_F(OpenTest, DonatesRegularFilesAsTheClientWants) {
  WriteHostFile("f");
  Serve();
  Fdid file = Find(root(), "f").control_fd;
  for (uint32_t donate : {0, 1}) {
    ASSERT_TRUE(client().Call<Mid::kSetDonation>({.donate = donate}));
    Donations donated;
    ASSERT_TRUE(Open(file, O_RDONLY, &donated));
    EXPECT_EQ(donated.size(), donate);
    donated.Clear();
    ASSERT_TRUE(Create(root(), "new" + std::to_string(donate), O_RDWR, 0644, &donated));
    EXPECT_EQ(donated.size(), donate);
  }
  EXPECT_EQ(ErrnoOf(client().Call<Mid::kSetDonation>({.donate = 2})), EINVAL);
}

TEST_F(OpenTest, DonatesTheMountPointWhenToldSo) {
  Serve({.donate_mount_point = true});
  Donations donated;
  uint64_t root_ino = 0;
  ASSERT_TRUE(client().Call<Mid::kMount>(
      {}, [&](const MountResp& response) { root_ino = response.root.stat.ino; }, &donated));
  ASSERT_EQ(donated.size(), 1u);
  struct stat root_stat;
  ASSERT_EQ(fstat(donated[0], &root_stat), 0);
  EXPECT_EQ(root_stat.st_ino, root_ino);
  // Good for more than walking.
  EXPECT_EQ(fchmod(donated[0], 0711), 0);
  EXPECT_EQ(mkdirat(donated[0], "by-itself", 0755), 0);
  EXPECT_TRUE(Find(root(), "by-itself").control_fd != 0);

  donated.Clear();
  ASSERT_TRUE(Open(root(), O_RDONLY, &donated));
  EXPECT_EQ(donated.size(), 1u);
}

TEST_F(OpenTest, DonatesNothingWhenToldSo) {
  WriteHostFile("f", "hello");
  Serve({.donate_regular_files = false});
  Donations donated;
  auto open = Open(Find(root(), "f").control_fd, O_RDONLY, &donated);
  ASSERT_TRUE(open);
  EXPECT_EQ(donated.size(), 0u);
  EXPECT_EQ(PRead(*open, 0, 10).value(), "hello");
  ASSERT_TRUE(Create(root(), "new", O_RDWR, 0644, &donated));
  EXPECT_EQ(donated.size(), 0u);
}

TEST_F(OpenTest, Fails) {
  WriteHostFile("f");
  ASSERT_EQ(symlink("f", Path("link").c_str()), 0);
  Serve();
  Fdid file = Find(root(), "f").control_fd;
  auto open = Open(file, O_RDONLY);
  ASSERT_TRUE(open);
  EXPECT_EQ(ErrnoOf(Open(root(), O_RDWR)), EISDIR);
  EXPECT_EQ(ErrnoOf(Open(root(), O_TRUNC)), EISDIR);
  EXPECT_EQ(ErrnoOf(Open(Find(root(), "link").control_fd, O_RDONLY)), EINVAL);
  EXPECT_EQ(ErrnoOf(Open(file, O_ACCMODE)), EINVAL);
  EXPECT_EQ(ErrnoOf(Open(*open, O_RDONLY)), EINVAL);
  EXPECT_EQ(ErrnoOf(Open(99, O_RDONLY)), EBADF);
}

TEST_F(OpenTest, Truncates) {
  WriteHostFile("f", "hello");
  Serve();
  ASSERT_TRUE(Open(Find(root(), "f").control_fd, O_WRONLY | O_TRUNC));
  EXPECT_EQ(ReadHostFile("f"), "");
}

// The name may be another file's by now, or nobody's.
TEST_F(OpenTest, OpensTheFileItWalkedTo) {
  WriteHostFile("f", "old");
  Serve();
  Fdid file = Find(root(), "f").control_fd;
  ASSERT_EQ(rename(Path("f").c_str(), Path("elsewhere").c_str()), 0);
  WriteHostFile("f", "new");
  auto open = Open(file, O_RDONLY);
  ASSERT_TRUE(open);
  EXPECT_EQ(PRead(*open, 0, 10).value(), "old");
}

TEST_F(OpenTest, AnOpenFdOutlivesItsControlFd) {
  WriteHostFile("f", "hello");
  Serve();
  Fdid file = Find(root(), "f").control_fd;
  auto open = Open(file, O_RDONLY);
  ASSERT_TRUE(open);
  ASSERT_TRUE(Close({file}));
  EXPECT_EQ(ErrnoOf(Stat(file)), EBADF);
  EXPECT_EQ(PRead(*open, 0, 10).value(), "hello");
  EXPECT_EQ(Stat(*open).value().size, 5u);
}

TEST_F(OpenTest, Creates) {
  Serve();
  Donations donated;
  auto made = Create(root(), "f", O_RDWR, 0640, &donated);
  ASSERT_TRUE(made);
  EXPECT_EQ(made->child.stat.mode, S_IFREG | 0640);
  ASSERT_EQ(donated.size(), 1u);
  EXPECT_EQ(PWrite(made->open_fd, 0, "hello").value(), 5u);
  char buffer[5];
  EXPECT_EQ(pread(donated[0], buffer, 5, 0), 5);
  EXPECT_EQ(ReadHostFile("f"), "hello");
  EXPECT_EQ(Find(root(), "f").stat.ino, made->child.stat.ino);
  // The control FD is as good as a walked one.
  EXPECT_TRUE(Open(made->child.control_fd, O_RDONLY));
}

// The access mode asked for holds for a new file whose permissions would not allow it again.
TEST_F(OpenTest, CreatesAFileNobodyMayWrite) {
  Serve();
  auto made = Create(root(), "f", O_WRONLY, 0444);
  ASSERT_TRUE(made);
  EXPECT_EQ(PWrite(made->open_fd, 0, "x").value(), 1u);
  EXPECT_EQ(ErrnoOf(PRead(made->open_fd, 0, 1)), EBADF);
}

TEST_F(OpenTest, CreateFails) {
  WriteHostFile("f");
  ASSERT_EQ(symlink("nowhere", Path("link").c_str()), 0);
  Serve();
  Fdid file = Find(root(), "f").control_fd;
  auto open = Open(file, O_RDONLY);
  ASSERT_TRUE(open);
  EXPECT_EQ(ErrnoOf(Create(root(), "f")), EEXIST);
  EXPECT_EQ(ErrnoOf(Create(root(), "link")), EEXIST);
  EXPECT_EQ(ErrnoOf(Create(root(), "..")), EINVAL);
  EXPECT_EQ(ErrnoOf(Create(root(), "a/b")), EINVAL);
  EXPECT_EQ(ErrnoOf(Create(root(), std::string(300, 'n'))), ENAMETOOLONG);
  EXPECT_EQ(ErrnoOf(Create(file, "x")), ENOTDIR);
  EXPECT_EQ(ErrnoOf(Create(99, "x")), EBADF);
  EXPECT_EQ(ErrnoOf(Create(*open, "x")), EINVAL);
  EXPECT_EQ(ErrnoOf(Create(root(), "x", O_ACCMODE)), EINVAL);
  EXPECT_NE(access(Path("x").c_str(), F_OK), 0);
  EXPECT_NE(access(Path("nowhere").c_str(), F_OK), 0);
}

TEST_F(OpenTest, CreatesForItsOwnerWithSetIdBits) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to give files away";
  Serve();
  auto made = client().Call<Mid::kOpenCreateAt>(
      {.common = {.dir_fd = root(), .uid = 1000, .gid = 2000, .mode = 06755}, .flags = O_RDWR, .name = "f"});
  ASSERT_TRUE(made);
  EXPECT_EQ(made->child.stat.uid, 1000u);
  EXPECT_EQ(made->child.stat.gid, 2000u);
  EXPECT_EQ(made->child.stat.mode, S_IFREG | 06755);
}

TEST_F(OpenTest, AFileWithoutANameMayGetOne) {
  Serve();
  Donations donated;
  auto made = CreateUnnamed(root(), O_RDWR, 0640, &donated);
  if (!made && made.error() == Errno(EOPNOTSUPP)) GTEST_SKIP() << "no unnamed files on this file system";
  ASSERT_TRUE(made) << made.error().ToString();
  EXPECT_EQ(donated.size(), 1u);
  EXPECT_EQ(made->child.stat.mode, S_IFREG | 0640);
  EXPECT_EQ(made->child.stat.nlink, 0u);
  EXPECT_EQ(PWrite(made->open_fd, 0, "hello").value(), 5u);
  EXPECT_TRUE(Open(made->child.control_fd, O_RDONLY));
  EXPECT_EQ(SetStat({.fd = made->child.control_fd, .mask = STATX_MODE, .mode = 0600})->failure_mask, 0u);
  EXPECT_TRUE(List(Open(root(), O_RDONLY).value(), 1000)->empty());

  auto linked = Link(root(), made->child.control_fd, "f");
  ASSERT_TRUE(linked) << linked.error().ToString();
  EXPECT_EQ(linked->stat.ino, made->child.stat.ino);
  EXPECT_EQ(linked->stat.nlink, 1u);
  EXPECT_EQ(ReadHostFile("f"), "hello");
  // Gone for good.
  ASSERT_TRUE(Unlink(root(), "f"));
  EXPECT_EQ(ErrnoOf(Link(root(), linked->control_fd, "g")), EINVAL);
  EXPECT_EQ(ErrnoOf(Link(root(), made->child.control_fd, "g")), ENOENT);
  EXPECT_EQ(PRead(made->open_fd, 0, 10).value(), "hello");
}

TEST_F(OpenTest, CreatingAFileWithoutANameFails) {
  WriteHostFile("f");
  ASSERT_EQ(mkdir(Path("gone").c_str(), 0755), 0);
  Serve({.max_fds = 4});
  Fdid file = Find(root(), "f").control_fd;
  Fdid gone = Find(root(), "gone").control_fd;
  EXPECT_EQ(ErrnoOf(CreateUnnamed(file)), ENOTDIR);
  EXPECT_EQ(ErrnoOf(CreateUnnamed(99)), EBADF);
  EXPECT_EQ(ErrnoOf(CreateUnnamed(root(), O_RDONLY)), EINVAL);
  EXPECT_EQ(ErrnoOf(CreateUnnamed(root(), O_ACCMODE)), EINVAL);
  EXPECT_EQ(ErrnoOf(CreateUnnamed(root())), EMFILE);
  ASSERT_TRUE(Unlink(root(), "gone", AT_REMOVEDIR));
  EXPECT_EQ(ErrnoOf(CreateUnnamed(gone)), EINVAL);
}

}  // namespace
}  // namespace lisafs
