#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gofer/gofer_testing.h"

namespace lisafs {
namespace {

using NamesTest = GoferTest;

TEST_F(NamesTest, Unlinks) {
  WriteHostFile("f");
  ASSERT_EQ(mkdir(Path("full").c_str(), 0755), 0);
  ASSERT_EQ(mkdir(Path("empty").c_str(), 0755), 0);
  WriteHostFile("full/f");
  Serve();
  EXPECT_EQ(ErrnoOf(Unlink(root(), "empty")), EISDIR);
  EXPECT_EQ(ErrnoOf(Unlink(root(), "full", AT_REMOVEDIR)), ENOTEMPTY);
  EXPECT_EQ(ErrnoOf(Unlink(root(), "f", AT_REMOVEDIR)), ENOTDIR);
  EXPECT_EQ(ErrnoOf(Unlink(root(), "missing")), ENOENT);
  EXPECT_EQ(ErrnoOf(Unlink(root(), "f", 0x1000)), EINVAL);
  EXPECT_EQ(ErrnoOf(Unlink(root(), "..", AT_REMOVEDIR)), EINVAL);
  EXPECT_EQ(ErrnoOf(Unlink(Find(root(), "f").control_fd, "x")), ENOTDIR);
  EXPECT_EQ(ErrnoOf(Unlink(99, "x")), EBADF);
  EXPECT_EQ(ErrnoOf(Unlink(root(), "f")), 0);
  EXPECT_EQ(ErrnoOf(Unlink(root(), "empty", AT_REMOVEDIR)), 0);
  EXPECT_EQ(Walk(root(), {"f"})->inodes.size(), 0u);
}

TEST_F(NamesTest, RenameOutcomes) {
  WriteHostFile("f");
  ASSERT_EQ(mkdir(Path("full").c_str(), 0755), 0);
  ASSERT_EQ(mkdir(Path("d").c_str(), 0755), 0);
  WriteHostFile("full/f");
  Serve();
  Fdid d = Find(root(), "d").control_fd;
  const struct {
    const char* old_name;
    const char* new_name;
    int error;
  } kCases[] = {
      {"missing", "missing", 0}, {"missing", "y", ENOENT}, {"f", "full", EISDIR}, {"d", "full", ENOTEMPTY},
      {"d", "f", ENOTDIR},       {"..", "y", EINVAL},      {"f", ".", EINVAL},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(ErrnoOf(Rename(root(), c.old_name, root(), c.new_name)), c.error) << c.old_name << " " << c.new_name;
  }
  EXPECT_EQ(ErrnoOf(Rename(root(), "d", d, "inside")), EINVAL);
  EXPECT_EQ(ErrnoOf(Rename(Find(root(), "f").control_fd, "x", root(), "y")), ENOTDIR);
  EXPECT_EQ(ErrnoOf(Rename(root(), "f", 99, "y")), EBADF);
  EXPECT_EQ(ErrnoOf(Rename(root(), "f", d, "moved")), 0);
  EXPECT_EQ(WalkStat(root(), {"d", "moved"})->size(), 2u);
}

TEST_F(NamesTest, Rename2Flags) {
  WriteHostFile("a", "a");
  WriteHostFile("b", "b");
  Serve();
  EXPECT_EQ(ErrnoOf(Rename2(root(), "a", root(), "b", RENAME_NOREPLACE)), EEXIST);
  EXPECT_EQ(ErrnoOf(Rename2(root(), "a", root(), "b", RENAME_EXCHANGE)), 0);
  EXPECT_EQ(ReadHostFile("a"), "b");
  EXPECT_EQ(ErrnoOf(Rename2(root(), "a", root(), "c", RENAME_WHITEOUT)), EINVAL);
  EXPECT_EQ(ErrnoOf(Rename2(root(), "a", root(), "c", 0x80)), EINVAL);
  EXPECT_EQ(ErrnoOf(Rename2(root(), "a", root(), "c", RENAME_NOREPLACE)), 0);
  EXPECT_EQ(ErrnoOf(Rename2(root(), "c", root(), "a", 0)), 0);
}

// The table of what still works on a position that was removed through this server.
TEST_F(NamesTest, DeletedFiles) {
  WriteHostFile("f", "hello");
  ASSERT_EQ(symlink("x", Path("link").c_str()), 0);
  Serve();
  Fdid file = Find(root(), "f").control_fd;
  Fdid link = Find(root(), "link").control_fd;
  Fdid open = Open(file, O_RDWR).value();
  ASSERT_TRUE(SetXattr(file, "user.a", "v"));
  ASSERT_TRUE(Unlink(root(), "f"));
  ASSERT_TRUE(Unlink(root(), "link"));
  WriteHostFile("f", "another");

  EXPECT_EQ(Stat(file)->nlink, 0u);
  EXPECT_EQ(Stat(open)->size, 5u);
  EXPECT_EQ(PWrite(open, 0, "H").value(), 1u);
  EXPECT_EQ(PRead(open, 0, 9).value(), "Hello");
  EXPECT_TRUE(client().Call<Mid::kFSync>({FdArray(std::vector<Fdid>{open})}));
  EXPECT_TRUE(client().Call<Mid::kFAllocate>({open, 0, 0, 10}));
  EXPECT_TRUE(client().Call<Mid::kFStatFS>({file}));
  EXPECT_EQ(SetStat({.fd = file,
                     .mask = STATX_MODE | STATX_SIZE | STATX_MTIME | STATX_UID,
                     .mode = 0600,
                     .uid = getuid(),
                     .size = 3,
                     .mtime = {7, 0}})
                ->failure_mask,
            0u);
  EXPECT_EQ(Stat(file)->mtime.sec, 7);
  EXPECT_EQ(SetStat({.fd = link, .mask = STATX_MTIME, .mtime = {8, 0}})->failure_mask, 0u);
  EXPECT_TRUE(Open(file, O_RDONLY));
  EXPECT_EQ(ErrnoOf(GetXattr(file, "user.a")), EINVAL);
  EXPECT_EQ(ErrnoOf(SetXattr(file, "user.a", "w")), EINVAL);
  EXPECT_EQ(ErrnoOf(RemoveXattr(file, "user.a")), EINVAL);
  EXPECT_EQ(ErrnoOf(ListXattr(file)), EINVAL);
  EXPECT_EQ(ErrnoOf(ReadLink(link)), EINVAL);
  EXPECT_EQ(ErrnoOf(Link(root(), file, "y")), EINVAL);
  EXPECT_EQ(ReadHostFile("f"), "another");
}

TEST_F(NamesTest, DeletedDirectories) {
  ASSERT_EQ(mkdir(Path("d").c_str(), 0755), 0);
  WriteHostFile("f");
  Serve();
  Fdid dir = Find(root(), "d").control_fd;
  Fdid open = Open(dir, O_RDONLY).value();
  Fdid file = Find(root(), "f").control_fd;
  ASSERT_TRUE(Unlink(root(), "d", AT_REMOVEDIR));
  ASSERT_EQ(mkdir(Path("d").c_str(), 0755), 0);

  EXPECT_EQ(ErrnoOf(List(open, 1000)), EINVAL);
  EXPECT_EQ(ErrnoOf(Mkdir(dir, "x")), EINVAL);
  EXPECT_EQ(ErrnoOf(Mknod(dir, "x", S_IFREG | 0644)), EINVAL);
  EXPECT_EQ(ErrnoOf(MakeNode(dir, "x", S_IFIFO | 0644)), EINVAL);
  EXPECT_EQ(ErrnoOf(Symlink(dir, "x", "y")), EINVAL);
  EXPECT_EQ(ErrnoOf(Create(dir, "x")), EINVAL);
  EXPECT_EQ(ErrnoOf(Link(dir, file, "x")), EINVAL);
  EXPECT_EQ(ErrnoOf(Unlink(dir, "x")), EINVAL);
  EXPECT_EQ(ErrnoOf(Rename(dir, "x", root(), "y")), EINVAL);
  EXPECT_EQ(ErrnoOf(Rename(root(), "f", dir, "y")), EINVAL);
  auto walked = Walk(dir, {"x"});
  ASSERT_TRUE(walked);
  EXPECT_EQ(walked->status, WalkStatus::kComponentDoesNotExist);
  EXPECT_EQ(walked->inodes.size(), 0u);
  EXPECT_EQ(WalkStat(dir, {""})->size(), 1u);
  EXPECT_EQ(WalkStat(dir, {"x"})->size(), 0u);
  EXPECT_TRUE(Stat(dir));
}

// Deleted is a position, not a file: the other link's works.
TEST_F(NamesTest, OnlyTheUnlinkedNameIsDeleted) {
  WriteHostFile("a");
  ASSERT_EQ(link(Path("a").c_str(), Path("b").c_str()), 0);
  Serve();
  Fdid a = Find(root(), "a").control_fd;
  Fdid b = Find(root(), "b").control_fd;
  ASSERT_TRUE(SetXattr(a, "user.a", "v"));
  ASSERT_TRUE(Unlink(root(), "a"));
  EXPECT_EQ(ErrnoOf(GetXattr(a, "user.a")), EINVAL);
  EXPECT_EQ(GetXattr(b, "user.a").value(), "v");
}

// An old control FD on x must not, when it is closed, take the node of the new x out of the tree: the FDs of one
// position would then no longer know of each other.
TEST_F(NamesTest, ANewFileOfTheSameNameKeepsItsNode) {
  WriteHostFile("x");
  Serve();
  Fdid old = Find(root(), "x").control_fd;
  ASSERT_TRUE(Unlink(root(), "x"));
  WriteHostFile("x");
  Fdid first = Find(root(), "x").control_fd;
  ASSERT_TRUE(Close({old}));
  Fdid second = Find(root(), "x").control_fd;
  ASSERT_TRUE(SetXattr(first, "user.a", "v"));
  ASSERT_TRUE(Unlink(root(), "x"));
  EXPECT_EQ(ErrnoOf(GetXattr(first, "user.a")), EINVAL);
  EXPECT_EQ(ErrnoOf(GetXattr(second, "user.a")), EINVAL);
}

TEST_F(NamesTest, ControlFdsFollowARename) {
  ASSERT_EQ(mkdir(Path("from").c_str(), 0755), 0);
  WriteHostFile("from/f", "moved");
  WriteHostFile("to", "replaced");
  Serve();
  Fdid from = Find(root(), "from").control_fd;
  Fdid file = Find(from, "f").control_fd;
  Fdid replaced = Find(root(), "to").control_fd;
  ASSERT_TRUE(SetXattr(file, "user.a", "v"));
  ASSERT_TRUE(Rename(from, "f", root(), "to"));
  EXPECT_EQ(GetXattr(file, "user.a").value(), "v");
  EXPECT_EQ(ErrnoOf(GetXattr(replaced, "user.a")), EINVAL);
  // It is deleted under its new name, and only there.
  WriteHostFile("from/f");
  ASSERT_TRUE(Unlink(from, "f"));
  EXPECT_EQ(GetXattr(file, "user.a").value(), "v");
  ASSERT_TRUE(Unlink(root(), "to"));
  EXPECT_EQ(ErrnoOf(GetXattr(file, "user.a")), EINVAL);
}

TEST_F(NamesTest, AnExchangeDeletesNeither) {
  ASSERT_EQ(mkdir(Path("d").c_str(), 0755), 0);
  WriteHostFile("d/below");
  WriteHostFile("f");
  Serve();
  Fdid dir = Find(root(), "d").control_fd;
  Fdid file = Find(root(), "f").control_fd;
  ASSERT_TRUE(Rename2(root(), "d", root(), "f", RENAME_EXCHANGE));
  EXPECT_TRUE(Walk(dir, {"below"})->inodes.size() == 1);
  ASSERT_TRUE(Unlink(root(), "d"));
  EXPECT_EQ(ErrnoOf(ListXattr(file)), EINVAL);
  EXPECT_EQ(ErrnoOf(Mkdir(dir, "new")), 0);
}

// rename(2) between two links to one file does nothing, and says that it succeeded.
TEST_F(NamesTest, ARenameBetweenLinksToOneFileDeletesNothing) {
  WriteHostFile("a");
  ASSERT_EQ(link(Path("a").c_str(), Path("b").c_str()), 0);
  Serve();
  Fdid a = Find(root(), "a").control_fd;
  Fdid b = Find(root(), "b").control_fd;
  ASSERT_TRUE(Rename(root(), "a", root(), "b"));
  EXPECT_EQ(access(Path("a").c_str(), F_OK), 0);
  EXPECT_TRUE(ListXattr(a));
  EXPECT_TRUE(ListXattr(b));
  // The same where the gofer has not seen the second name before.
  ASSERT_EQ(link(Path("a").c_str(), Path("c").c_str()), 0);
  ASSERT_TRUE(Rename(root(), "a", root(), "c"));
  ASSERT_TRUE(Unlink(root(), "c"));
  EXPECT_TRUE(ListXattr(a));
}

TEST_F(NamesTest, ARenameReplacesAFileThatTheGoferHasNotSeen) {
  WriteHostFile("new", "new");
  WriteHostFile("old", "old");
  Serve();
  Fdid file = Find(root(), "new").control_fd;
  ASSERT_TRUE(Rename(root(), "new", root(), "old"));
  EXPECT_NE(access(Path("new").c_str(), F_OK), 0);
  EXPECT_EQ(Find(root(), "old").stat.size, 3u);
  ASSERT_TRUE(Unlink(root(), "old"));
  EXPECT_EQ(ErrnoOf(ListXattr(file)), EINVAL);
}

}  // namespace
}  // namespace lisafs
