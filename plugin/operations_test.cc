// What files are, how they are named, and what any request may meet.

#include "plugin/operations.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>

#include "plugin/operations_testing.h"

namespace lisafs {
namespace {

TEST_F(OperationsTest, InitIsAnsweredWhateverItsSize) {
  fuse_init_in in = {.major = 7, .minor = 45, .flags = FUSE_BIG_WRITES};
  for (size_t size : {size_t{16}, sizeof in}) {
    auto answer = AskBytes(FUSE_INIT, 0, std::string_view(reinterpret_cast<const char*>(&in), size));
    EXPECT_EQ(answer.error, 0);
    EXPECT_EQ(answer.As<fuse_init_out>().flags, unsigned{FUSE_BIG_WRITES});
  }
}

TEST_F(OperationsTest, WhatIsNotServedIsENOSYS) {
  for (uint32_t opcode : {uint32_t{FUSE_ACCESS}, uint32_t{FUSE_POLL}, uint32_t{FUSE_INTERRUPT}, uint32_t{FUSE_SETLK},
                          uint32_t{FUSE_BMAP}, uint32_t{0}, 63u, 64u, uint32_t{CUSE_INIT}, UINT32_MAX}) {
    EXPECT_EQ(Ask(opcode, kRoot).error, ENOSYS) << opcode;
  }
}

TEST_F(OperationsTest, WhatTheServerDidNotAnnounceIsENOSYS) {
  client.unsupported = {Mid::kFlush, Mid::kFGetXattr, Mid::kFListXattr};
  EXPECT_EQ(Ask(FUSE_FLUSH, kRoot, fuse_flush_in{}).error, ENOSYS);
  EXPECT_EQ(Ask(FUSE_GETXATTR, kRoot, fuse_getxattr_in{}, "user.a").error, ENOSYS);
  EXPECT_EQ(Ask(FUSE_LISTXATTR, kRoot, fuse_getxattr_in{}).error, ENOSYS);
}

TEST_F(OperationsTest, ArgumentsThatAreCutShortAreEINVAL) {
  for (uint32_t opcode : {FUSE_GETATTR, FUSE_SETATTR, FUSE_OPEN, FUSE_READ, FUSE_WRITE, FUSE_CREATE, FUSE_MKDIR,
                          FUSE_MKNOD, FUSE_RENAME, FUSE_RENAME2, FUSE_LINK, FUSE_GETXATTR, FUSE_SETXATTR, FUSE_READDIR,
                          FUSE_FSYNC, FUSE_FALLOCATE, FUSE_LSEEK, FUSE_LOOKUP, FUSE_INIT}) {
    EXPECT_NE(AskBytes(opcode, kRoot, "abc").error, 0) << opcode;  // Too short for a struct, and not terminated.
  }
  EXPECT_EQ(AskBytes(FUSE_LOOKUP, kRoot, "no end").error, EINVAL);
  EXPECT_EQ(Ask(FUSE_LOOKUP, kRoot, "").error, EINVAL);
  EXPECT_EQ(Ask(FUSE_LOOKUP, kRoot, std::string(256, 'n')).error, ENAMETOOLONG);
  EXPECT_EQ(Ask(FUSE_RENAME, kRoot, fuse_rename_in{kRoot}, "only one").error, EINVAL);
  fuse_write_in write = {};
  write.size = 1000;
  EXPECT_EQ(AskBytes(FUSE_WRITE, kRoot, std::string_view(reinterpret_cast<const char*>(&write), sizeof write)).error,
            EINVAL);
}

TEST_F(OperationsTest, WhatTheServerIsNotAskedIsCounted) {
  client.Add("a", S_IFREG);
  auto claim = [&](ClaimKind kind) -> PluginClaim& { return claims.kinds[static_cast<size_t>(kind)]; };
  const uint64_t node = LookUp(kRoot, "a");
  EXPECT_EQ(claim(ClaimKind::kLookup).requests, 1u);
  EXPECT_EQ(claim(ClaimKind::kLookup).answered, 0u);
  const int before = client.calls[Mid::kOpenAt];
  const uint64_t file = Open(node, O_RDONLY);
  EXPECT_EQ(client.calls[Mid::kOpenAt], before + 1);
  EXPECT_EQ(claim(ClaimKind::kOpen).requests, 1u);
  EXPECT_EQ(claim(ClaimKind::kOpen).answered, 0u);
  // A name that cannot be is the plugin's to refuse.
  EXPECT_EQ(Ask(FUSE_LOOKUP, kRoot, std::string(256, 'n')).error, ENAMETOOLONG);
  EXPECT_EQ(claim(ClaimKind::kLookup).requests, 2u);
  EXPECT_EQ(claim(ClaimKind::kLookup).answered, 1u);
  // The kernel expects no answer to this.
  Ask(FUSE_RELEASE, node, fuse_release_in{.fh = file});
  const uint64_t others = claim(ClaimKind::kOther).requests;
  Ask(FUSE_FORGET, node, fuse_forget_in{1});
  EXPECT_EQ(claim(ClaimKind::kOther).requests, others);
}

TEST_F(OperationsTest, TheServersErrnosComeThrough) {
  struct {
    int server;
    int kernel;
  } cases[] = {{EACCES, EACCES}, {EDQUOT, EDQUOT},     {ECONNRESET, EIO}, {EPROTO, EIO},
               {511, 511},       {ENOSYS, EOPNOTSUPP}, {512, EIO},        {-5, EIO}};
  for (auto [server, kernel] : cases) {
    client.fail_with[Mid::kWalkStat] = server;
    EXPECT_EQ(Ask(FUSE_LOOKUP, kRoot, "a").error, kernel) << server;
  }
}

TEST_F(OperationsTest, WithoutAServerEverythingIsEIO) {
  client.Add("a", S_IFREG | 0644);
  uint64_t a = LookUp(kRoot, "a");
  uint64_t fh = Open(a, O_RDONLY);
  client.is_connected = false;
  EXPECT_EQ(Ask(FUSE_LOOKUP, kRoot, "a").error, EIO);
  EXPECT_EQ(Ask(FUSE_READ, a, fuse_read_in{.fh = fh, .size = 10}).error, EIO);
  EXPECT_EQ(Ask(FUSE_ACCESS, a).error, ENOSYS);
  // The kernel is rid of what it holds all the same.
  EXPECT_EQ(Ask(FUSE_RELEASE, a, fuse_release_in{.fh = fh}).error, 0);
  EXPECT_FALSE(Ask(FUSE_FORGET, a, fuse_forget_in{1}).expected);
}

TEST_F(OperationsTest, AReadOnlyMountAsksNobody) {
  read_only = true;
  client.Add("a", S_IFREG | 0644);
  uint64_t a = LookUp(kRoot, "a");
  client.calls.clear();
  for (uint32_t opcode : {FUSE_SETATTR, FUSE_CREATE, FUSE_MKDIR, FUSE_MKNOD, FUSE_SYMLINK, FUSE_LINK, FUSE_UNLINK,
                          FUSE_RMDIR, FUSE_RENAME, FUSE_RENAME2, FUSE_SETXATTR, FUSE_REMOVEXATTR}) {
    EXPECT_EQ(Ask(opcode, a).error, EROFS) << opcode;
  }
  EXPECT_TRUE(client.calls.empty());
}

TEST_F(OperationsTest, LookupIsOneRequest) {
  auto file = client.Add("a", S_IFREG | 04640);
  file->content = "12345";
  file->stat.uid = 7;
  file->stat.mtime = {.sec = 11, .nsec = 12};
  file->stat.nlink = 3;
  auto entry = Ask(FUSE_LOOKUP, kRoot, "a").As<fuse_entry_out>();
  EXPECT_NE(entry.nodeid, 0u);
  EXPECT_EQ(entry.entry_valid, kShortLifetime.seconds);
  EXPECT_EQ(entry.attr_valid, kShortLifetime.seconds);
  EXPECT_EQ(entry.attr.ino, file->stat.ino);
  EXPECT_EQ(entry.attr.mode, S_IFREG | 04640u);
  EXPECT_EQ(entry.attr.size, 5u);
  EXPECT_EQ(entry.attr.uid, 7u);
  EXPECT_EQ(entry.attr.nlink, 3u);
  EXPECT_EQ(entry.attr.mtime, 11u);
  EXPECT_EQ(entry.attr.mtimensec, 12u);
  EXPECT_EQ(client.calls, (std::map<Mid, int>{{Mid::kWalkStat, 1}}));
  EXPECT_EQ(client.control_fds.size(), 1u);
}

TEST_F(OperationsTest, WhatIsNotThereIsRemembered) {
  auto answer = Ask(FUSE_LOOKUP, kRoot, "nothing");
  EXPECT_EQ(answer.error, 0);
  EXPECT_EQ(answer.As<fuse_entry_out>().nodeid, 0u);
  EXPECT_EQ(answer.As<fuse_entry_out>().entry_valid, kShortLifetime.seconds);
}

TEST_F(OperationsTest, DevicesAreShownWithTheirNumbers) {
  auto device = client.Add("tty", S_IFCHR | 0600);
  device->stat.rdev_major = 0x123;
  device->stat.rdev_minor = 0xabcde;
  // The kernel's new_encode_dev.
  EXPECT_EQ(Ask(FUSE_LOOKUP, kRoot, "tty").As<fuse_entry_out>().attr.rdev, 0xde | 0x123u << 8 | 0xabc00u << 12);
}

TEST_F(OperationsTest, FilesOfOtherDevicesDoNotShareNumbers) {
  auto here = client.Add("here", S_IFREG);
  auto there = client.Add("there", S_IFREG);
  there->stat.ino = here->stat.ino;
  there->stat.dev_minor = 5;
  auto a = Ask(FUSE_LOOKUP, kRoot, "here").As<fuse_entry_out>();
  auto b = Ask(FUSE_LOOKUP, kRoot, "there").As<fuse_entry_out>();
  EXPECT_NE(a.nodeid, b.nodeid);
  EXPECT_EQ(a.attr.ino, here->stat.ino);
  EXPECT_NE(b.attr.ino, a.attr.ino);
}

TEST_F(OperationsTest, ForgetsInBatches) {
  client.Add("a", S_IFREG);
  client.Add("b", S_IFREG);
  uint64_t a = LookUp(kRoot, "a");
  uint64_t b = LookUp(kRoot, "b");
  LookUp(kRoot, "b");
  auto answer = Ask(FUSE_BATCH_FORGET, 0, fuse_batch_forget_in{2, 0}, fuse_forget_one{a, 1}, fuse_forget_one{b, 1});
  EXPECT_FALSE(answer.expected);
  EXPECT_EQ(Ask(FUSE_GETATTR, a, fuse_getattr_in{}).error, ESTALE);
  EXPECT_EQ(Ask(FUSE_GETATTR, b, fuse_getattr_in{}).error, 0);
}

TEST_F(OperationsTest, AReplyThatTheKernelDoesNotTakeIsTakenBack) {
  client.Add("a", S_IFREG);
  uint64_t a = LookUp(kRoot, "a");
  TakeBack();
  EXPECT_EQ(Ask(FUSE_GETATTR, a, fuse_getattr_in{}).error, ESTALE);
  uint64_t kept = LookUp(kRoot, "a");
  uint64_t fh = Open(kept, O_RDONLY);
  TakeBack();
  EXPECT_EQ(Ask(FUSE_READ, kept, fuse_read_in{.fh = fh, .size = 1}).error, EBADF);
  EXPECT_TRUE(client.open_fds.empty());
}

TEST_F(OperationsTest, GetAttrNeedsNoControlFd) {
  client.Add("a", S_IFREG | 0600)->content = "xyz";
  uint64_t a = LookUp(kRoot, "a");
  client.calls.clear();
  auto out = Ask(FUSE_GETATTR, a, fuse_getattr_in{}).As<fuse_attr_out>();
  EXPECT_EQ(out.attr.size, 3u);
  EXPECT_EQ(out.attr_valid, kShortLifetime.seconds);
  EXPECT_EQ(client.calls, (std::map<Mid, int>{{Mid::kWalkStat, 1}}));
  // Another file has the name now.
  client.Add("a", S_IFREG);
  EXPECT_EQ(Ask(FUSE_GETATTR, a, fuse_getattr_in{}).error, ESTALE);
}

TEST_F(OperationsTest, GetAttrThroughAnOpenFile) {
  client.Add("a", S_IFREG)->content = "xyz";
  uint64_t a = LookUp(kRoot, "a");
  uint64_t fh = Open(a, O_RDONLY);
  client.tree->children.clear();
  auto answer = Ask(FUSE_GETATTR, a, fuse_getattr_in{.getattr_flags = FUSE_GETATTR_FH, .fh = fh});
  EXPECT_EQ(answer.As<fuse_attr_out>().attr.size, 3u);
  EXPECT_EQ(Ask(FUSE_GETATTR, a, fuse_getattr_in{.getattr_flags = FUSE_GETATTR_FH, .fh = 99}).error, EBADF);
}

TEST_F(OperationsTest, StatxSaysTheTimeOfBirth) {
  client.Add("a", S_IFREG)->stat.btime = {.sec = 77, .nsec = 8};
  auto out = Ask(kFuseStatx, LookUp(kRoot, "a"), FuseStatxIn{}).As<FuseStatxOut>();
  EXPECT_TRUE(out.stat.mask & STATX_BTIME);
  EXPECT_EQ(out.stat.btime.sec, 77);
  EXPECT_EQ(out.stat.btime.nsec, 8u);
}

TEST_F(OperationsTest, SetAttrSetsWhatIsValid) {
  auto file = client.Add("a", S_IFREG | 0600);
  file->stat.uid = 5;
  uint64_t a = LookUp(kRoot, "a");
  fuse_setattr_in in = {};
  in.valid = FATTR_MODE | FATTR_GID | FATTR_SIZE | FATTR_ATIME_NOW | FATTR_ATIME | FATTR_MTIME;
  in.mode = S_IFREG | 0751;
  in.uid = 1;
  in.gid = 2;
  in.size = 100;
  in.mtime = 3;
  in.mtimensec = 4;
  auto out = Ask(FUSE_SETATTR, a, in).As<fuse_attr_out>();
  EXPECT_EQ(out.attr.mode, S_IFREG | 0751u);
  EXPECT_EQ(out.attr.size, 100u);
  EXPECT_EQ(file->stat.uid, 5u);
  EXPECT_EQ(file->stat.gid, 2u);
  EXPECT_EQ(file->stat.atime.nsec, unsigned{UTIME_NOW});
  EXPECT_EQ(file->stat.mtime.sec, 3);
  EXPECT_EQ(file->stat.mtime.nsec, 4u);
}

TEST_F(OperationsTest, SetIdBitsGoWhenTheKernelSaysSo) {
  struct {
    uint16_t before, after;
  } cases[] = {{06755, 0755}, {06745, 02745}, {0644, 0644}};  // Set-group-ID without group execution is a lock's mark.
  for (auto [before, after] : cases) {
    auto file = client.Add("a", S_IFREG | before);
    uint64_t a = LookUp(kRoot, "a");
    fuse_setattr_in in = {};
    in.valid = FATTR_SIZE;
    Ask(FUSE_SETATTR, a, in);
    EXPECT_EQ(file->stat.mode & 07777, before);
    in.valid |= FATTR_KILL_SUIDGID;
    EXPECT_EQ(Ask(FUSE_SETATTR, a, in).As<fuse_attr_out>().attr.mode & 07777, after);
  }
}

TEST_F(OperationsTest, LinksAndFileSystems) {
  client.Add("l", S_IFLNK | 0777)->content = "to/there";
  EXPECT_EQ(Ask(FUSE_READLINK, LookUp(kRoot, "l")).payload, "to/there");
  auto statfs = Ask(FUSE_STATFS, kRoot).As<fuse_statfs_out>().st;
  EXPECT_EQ(statfs.bsize, 4096u);
  EXPECT_EQ(statfs.bavail, 4u);
  EXPECT_EQ(statfs.namelen, 255u);
}

TEST_F(OperationsTest, Xattrs) {
  client.Add("a", S_IFREG);
  uint64_t a = LookUp(kRoot, "a");
  struct {
    uint32_t size = 5, flags = 0;
  } set;
  EXPECT_EQ(Ask(FUSE_SETXATTR, a, set, "user.x", "hello").error, 0);
  EXPECT_EQ(Ask(FUSE_GETXATTR, a, fuse_getxattr_in{}, "user.x").As<fuse_getxattr_out>().size, 5u);
  EXPECT_EQ(Ask(FUSE_GETXATTR, a, fuse_getxattr_in{.size = 5}, "user.x").payload, "hello");
  EXPECT_EQ(Ask(FUSE_GETXATTR, a, fuse_getxattr_in{.size = 4}, "user.x").error, ERANGE);
  EXPECT_EQ(Ask(FUSE_GETXATTR, a, fuse_getxattr_in{.size = 5}, "user.y").error, ENODATA);
  Ask(FUSE_SETXATTR, a, set, "user.y", "hello");
  EXPECT_EQ(Ask(FUSE_LISTXATTR, a, fuse_getxattr_in{}).As<fuse_getxattr_out>().size, 14u);
  EXPECT_EQ(Ask(FUSE_LISTXATTR, a, fuse_getxattr_in{.size = 14}).payload, std::string("user.x\0user.y\0", 14));
  EXPECT_EQ(Ask(FUSE_LISTXATTR, a, fuse_getxattr_in{.size = 13}).error, ERANGE);
  EXPECT_EQ(Ask(FUSE_REMOVEXATTR, a, "user.x").error, 0);
  EXPECT_EQ(Ask(FUSE_GETXATTR, a, fuse_getxattr_in{}, "user.x").error, ENODATA);
  set.size = 65536;
  EXPECT_EQ(Ask(FUSE_SETXATTR, a, set, "user.x", std::string(65536, 'v')).error, E2BIG);
}

// The kernel asks for them before each change of a file's content or owner.
TEST_F(OperationsTest, CapabilitiesThatAFileLacksAreNotAskedForAgain) {
  client.Add("a", S_IFREG | 0644);
  const uint64_t a = LookUp(kRoot, "a");
  auto get = [&](uint64_t node) { return Ask(FUSE_GETXATTR, node, fuse_getxattr_in{}, "security.capability").error; };
  for (int i = 0; i < 3; ++i) EXPECT_EQ(get(a), ENODATA);
  EXPECT_EQ(client.calls[Mid::kFGetXattr], 1);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(Ask(FUSE_GETXATTR, a, fuse_getxattr_in{}, "security.other").error, ENODATA);
  EXPECT_EQ(client.calls[Mid::kFGetXattr], 3);
  // A new one has none.
  Answer made = Ask(FUSE_CREATE, kRoot, fuse_create_in{.flags = O_RDWR, .mode = S_IFREG | 0644}, "new");
  EXPECT_EQ(get(made.As<fuse_entry_out>().nodeid), ENODATA);
  EXPECT_EQ(client.calls[Mid::kFGetXattr], 3);
  // Until it is given some,
  const uint32_t set[2] = {5, 0};
  EXPECT_EQ(Ask(FUSE_SETXATTR, a, set, "security.capability", "hello").error, 0);
  EXPECT_EQ(get(a), 0);
  EXPECT_EQ(Ask(FUSE_REMOVEXATTR, a, "security.capability").error, 0);
  // also while it is found to have none.
  client.on_call = [&](Mid mid) {
    if (mid == Mid::kFGetXattr) (*operations().nodes().Find(a))->XattrWasSet();
  };
  const int before = client.calls[Mid::kFGetXattr];
  for (int i = 0; i < 2; ++i) EXPECT_EQ(get(a), ENODATA);
  EXPECT_EQ(client.calls[Mid::kFGetXattr], before + 2);
}

}  // namespace
}  // namespace lisafs
