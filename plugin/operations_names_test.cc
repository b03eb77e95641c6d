// Names made, removed and changed.

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>

#include "plugin/operations_testing.h"

namespace lisafs {
namespace {

TEST_F(OperationsTest, CreationsBelongToTheCaller) {
  EXPECT_EQ(Ask(FUSE_MKDIR, kRoot, fuse_mkdir_in{0755, 0}, "d").error, 0);
  EXPECT_EQ(client.created.uid, 1000u);
  EXPECT_EQ(client.created.gid, 2000u);
  EXPECT_EQ(client.Get("d")->stat.mode, S_IFDIR | 0755);
  // What was made comes with a control FD: nothing has to be walked for.
  EXPECT_EQ(Ask(FUSE_SYMLINK, LookUp(kRoot, "d"), "l", "target").error, 0);
  EXPECT_EQ(client.Get("d/l")->content, "target");
  EXPECT_EQ(client.calls[Mid::kWalk], 0);
}

TEST_F(OperationsTest, ASetGroupIdDirectoryGivesItsGroup) {
  client.Add("g", S_IFDIR | 02775);
  uint64_t g = LookUp(kRoot, "g");
  Ask(FUSE_MKDIR, g, fuse_mkdir_in{0755, 0}, "d");
  EXPECT_EQ(client.created.uid, 1000u);
  EXPECT_EQ(client.created.gid, kNoId);
  Ask(FUSE_CREATE, g, fuse_create_in{O_RDWR, S_IFREG | 0644, 0, 0}, "f");
  EXPECT_EQ(client.created.gid, kNoId);
}

TEST_F(OperationsTest, MakesWhatTheKernelCanServeItself) {
  struct {
    uint32_t mode;
    int error;
    Mid message;
    uint32_t device = 0;
  } cases[] = {{S_IFREG | 0644, 0, Mid::kMknodAt},     {S_IFIFO | 0644, 0, Mid::kMakeNodeAt},
               {S_IFSOCK | 0755, 0, Mid::kMakeNodeAt}, {S_IFCHR | 0600, EPERM, Mid::kError, 0x103},
               {S_IFCHR | 0600, 0, Mid::kMknodAt},     {S_IFBLK | 0600, EPERM, Mid::kError}};
  for (auto [mode, error, message, device] : cases) {
    client.calls.clear();
    fuse_mknod_in request = {.mode = mode, .rdev = device};
    EXPECT_EQ(Ask(FUSE_MKNOD, kRoot, request, std::to_string(mode)).error, error) << mode;
    if (error == 0) {
      EXPECT_EQ(client.calls[message], 1) << mode;
      EXPECT_EQ(client.Get(std::to_string(mode))->stat.mode, mode);
    }
  }
  client.unsupported = {Mid::kMakeNodeAt};
  EXPECT_EQ(Ask(FUSE_MKNOD, kRoot, fuse_mknod_in{.mode = S_IFIFO}, "p").error, EPERM);
}

TEST_F(OperationsTest, LinkGivesTheSameNode) {
  auto file = client.Add("a", S_IFREG);
  uint64_t a = LookUp(kRoot, "a");
  auto entry = Ask(FUSE_LINK, kRoot, fuse_link_in{a}, "b").As<fuse_entry_out>();
  EXPECT_EQ(entry.nodeid, a);
  EXPECT_EQ(entry.attr.nlink, 2u);
  EXPECT_EQ(client.Get("b"), file);
  EXPECT_EQ(client.control_fds.size(), 2u);
}

TEST_F(OperationsTest, ADeletedFileStaysReachable) {
  client.Add("a", S_IFREG)->content = "still here";
  uint64_t a = LookUp(kRoot, "a");
  EXPECT_EQ(Ask(FUSE_UNLINK, kRoot, "a").error, 0);
  EXPECT_EQ(client.Get("a"), nullptr);
  EXPECT_EQ(Ask(FUSE_GETATTR, a, fuse_getattr_in{}).As<fuse_attr_out>().attr.size, 10u);
  EXPECT_EQ(Ask(FUSE_LOOKUP, kRoot, "a").As<fuse_entry_out>().nodeid, 0u);
  EXPECT_EQ(Ask(FUSE_UNLINK, kRoot, "a").error, ENOENT);
}

TEST_F(OperationsTest, WhatWasReplacedByTheHostCanBeRemoved) {
  client.Add("a", S_IFREG);
  uint64_t a = LookUp(kRoot, "a");
  client.Add("a", S_IFREG);
  EXPECT_EQ(Ask(FUSE_UNLINK, kRoot, "a").error, 0);
  EXPECT_EQ(client.Get("a"), nullptr);
  EXPECT_EQ(Ask(FUSE_GETATTR, a, fuse_getattr_in{}).error, ESTALE);
}

TEST_F(OperationsTest, RemovedDirectories) {
  client.Add("d", S_IFDIR | 0755);
  uint64_t d = LookUp(kRoot, "d");
  EXPECT_EQ(Ask(FUSE_RMDIR, kRoot, "d").error, 0);
  EXPECT_EQ(Ask(FUSE_GETATTR, d, fuse_getattr_in{}).error, 0);  // Somebody's working directory.
}

TEST_F(OperationsTest, Renames) {
  client.Add("d", S_IFDIR | 0755);
  auto file = client.Add("a", S_IFREG);
  client.Add("d/b", S_IFREG)->content = "replaced";
  uint64_t d = LookUp(kRoot, "d");
  uint64_t a = LookUp(kRoot, "a");
  uint64_t b = LookUp(d, "b");
  EXPECT_EQ(Ask(FUSE_RENAME, kRoot, fuse_rename_in{d}, "a", "b").error, 0);
  EXPECT_EQ(client.Get("d/b"), file);
  EXPECT_EQ(LookUp(d, "b"), a);
  // What was replaced is as reachable as what was deleted.
  EXPECT_EQ(Ask(FUSE_GETATTR, b, fuse_getattr_in{}).As<fuse_attr_out>().attr.size, 8u);
}

TEST_F(OperationsTest, Rename2Flags) {
  client.Add("a", S_IFREG);
  client.Add("b", S_IFREG);
  uint64_t a = LookUp(kRoot, "a");
  uint64_t b = LookUp(kRoot, "b");
  auto rename2 = [&](uint32_t flags) {
    return Ask(FUSE_RENAME2, kRoot, fuse_rename2_in{.newdir = kRoot, .flags = flags}, "a", "b").error;
  };
  EXPECT_EQ(rename2(RENAME_NOREPLACE), EEXIST);
  EXPECT_EQ(rename2(RENAME_WHITEOUT), EINVAL);
  EXPECT_EQ(rename2(0x80), EINVAL);
  EXPECT_EQ(rename2(RENAME_EXCHANGE), 0);
  EXPECT_EQ(LookUp(kRoot, "a"), b);
  EXPECT_EQ(LookUp(kRoot, "b"), a);
  client.unsupported = {Mid::kRenameAt2};
  EXPECT_EQ(rename2(RENAME_EXCHANGE), EINVAL);
  EXPECT_EQ(rename2(0), 0);
}

}  // namespace
}  // namespace lisafs
