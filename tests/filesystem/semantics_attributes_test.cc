// Attributes and permissions, through the kernel.

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/filesystem/semantics_testing.h"

namespace lisafs::tests {
namespace {

using Attributes = SemanticsTest;

TEST_F(Attributes, ModesOwnersAndTimes) {
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
  const time_t before = time(nullptr);
  ASSERT_EQ(utimensat(AT_FDCWD, "f", only_now, 0), 0);
  EXPECT_EQ(Stat("f").st_atim.tv_sec, 1);
  EXPECT_GE(Stat("f").st_mtim.tv_sec, before - 1);  // The kernel's clock for files goes by ticks.
  EXPECT_LE(Stat("f").st_mtim.tv_sec, time(nullptr));
  ASSERT_EQ(symlink("nowhere", "l"), 0);
  ASSERT_EQ(lchown("l", 5, 6), 0);
  EXPECT_EQ(Stat("l").st_uid, 5u);
  ASSERT_EQ(utimensat(AT_FDCWD, "l", times, AT_SYMLINK_NOFOLLOW), 0);
  EXPECT_EQ(Stat("l").st_mtim.tv_nsec, 3);
  struct statx birth;
  ASSERT_EQ(statx(AT_FDCWD, "f", 0, STATX_BTIME, &birth), 0);
  EXPECT_TRUE(birth.stx_mask & STATX_BTIME);
}

TEST_F(Attributes, PermissionsAreTheKernels) {
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
TEST_F(Attributes, AccessControlListsAreTheKernels) {
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

TEST_F(Attributes, SetIdBitsGoWhenAUserWrites) {
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

TEST_F(Attributes, ExtendedAttributes) {
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

}  // namespace
}  // namespace lisafs::tests
