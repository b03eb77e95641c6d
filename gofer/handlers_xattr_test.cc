#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "absl/cleanup/cleanup.h"
#include "gofer/gofer_testing.h"

namespace lisafs {
namespace {

class XattrTest : public GoferTest {
 protected:
  void SetUp() override {
    WriteHostFile("f");
    if (setxattr(Path("f").c_str(), "user.probe", "", 0, 0) != 0) GTEST_SKIP() << "no user.* attributes here";
    ASSERT_EQ(removexattr(Path("f").c_str(), "user.probe"), 0);
    Serve();
    file_ = Find(root(), "f").control_fd;
  }
  Fdid file_ = 0;
};

TEST_F(XattrTest, SetGetListRemove) {
  EXPECT_EQ(ErrnoOf(GetXattr(file_, "user.a")), ENODATA);
  EXPECT_EQ(ErrnoOf(SetXattr(file_, "user.a", "abc")), 0);
  EXPECT_EQ(ErrnoOf(SetXattr(file_, "user.b", "")), 0);
  EXPECT_EQ(GetXattr(file_, "user.a").value(), "abc");
  EXPECT_EQ(GetXattr(file_, "user.a", 3).value(), "abc");
  EXPECT_EQ(GetXattr(file_, "user.a", uint32_t{1} << 31).value(), "abc");
  EXPECT_EQ(ErrnoOf(GetXattr(file_, "user.a", 1)), ERANGE);
  EXPECT_EQ(GetXattr(file_, "user.b").value(), "");
  EXPECT_EQ(ListXattr(file_)->size(), 2u);
  EXPECT_EQ(ErrnoOf(ListXattr(file_, 1)), ERANGE);
  EXPECT_EQ(ErrnoOf(SetXattr(file_, "user.a", "x", XATTR_CREATE)), EEXIST);
  EXPECT_EQ(ErrnoOf(SetXattr(file_, "user.c", "x", XATTR_REPLACE)), ENODATA);
  EXPECT_EQ(ErrnoOf(SetXattr(file_, "user.c", "x", 0x100)), EINVAL);
  EXPECT_EQ(ErrnoOf(RemoveXattr(file_, "user.a")), 0);
  EXPECT_EQ(ErrnoOf(RemoveXattr(file_, "user.a")), ENODATA);
  EXPECT_EQ(ListXattr(file_).value(), std::vector<std::string>{"user.b"});
}

TEST_F(XattrTest, OnlySomeNamespacesAreServed) {
  setxattr(Path("f").c_str(), "trusted.secret", "x", 1, 0);
  for (const char* name : {"trusted.secret", "system.other", "system.nfs4_acl", "unknown.a", "user", ""}) {
    EXPECT_EQ(ErrnoOf(GetXattr(file_, name)), EOPNOTSUPP) << name;
    EXPECT_EQ(ErrnoOf(SetXattr(file_, name, "x")), EOPNOTSUPP) << name;
    EXPECT_EQ(ErrnoOf(RemoveXattr(file_, name)), EOPNOTSUPP) << name;
  }
  EXPECT_EQ(ListXattr(file_)->size(), 0u);
  EXPECT_EQ(ErrnoOf(GetXattr(file_, {"user.a\0b", 8})), EINVAL);
  EXPECT_EQ(ErrnoOf(GetXattr(file_, "user." + std::string(300, 'n'))), ERANGE);
}

// Version 2 of the kernel's encoding: the owner rw, a user r, the group and others nothing, mask r.
constexpr char kAcl[] =
    "\2\0\0\0"
    "\1\0\6\0\377\377\377\377"
    "\2\0\4\0\350\3\0\0"
    "\4\0\0\0\377\377\377\377"
    "\20\0\4\0\377\377\377\377"
    "\40\0\0\0\377\377\377\377";

TEST_F(XattrTest, AccessControlListsAreServed) {
  const std::string acl(kAcl, sizeof kAcl - 1);
  ASSERT_EQ(mkdir(Path("d").c_str(), 0700), 0);
  const Fdid directory = Find(root(), "d").control_fd;
  Status set = SetXattr(file_, "system.posix_acl_access", acl);
  if (!set && set.error() == Errno(EOPNOTSUPP)) GTEST_SKIP() << "no access control lists here";
  ASSERT_TRUE(set) << set.error().ToString();
  EXPECT_EQ(GetXattr(file_, "system.posix_acl_access").value(), acl);
  EXPECT_EQ(Stat(file_)->mode, S_IFREG | 0640);
  EXPECT_TRUE(SetXattr(directory, "system.posix_acl_default", acl));
  EXPECT_EQ(ListXattr(directory).value(), std::vector<std::string>{"system.posix_acl_default"});
  // What is made in the directory inherits it.
  auto made = Create(directory, "f", O_RDWR, 0666);
  ASSERT_TRUE(made);
  EXPECT_EQ(made->child.stat.mode, S_IFREG | 0640);
  EXPECT_EQ(GetXattr(made->child.control_fd, "system.posix_acl_access").value(), acl);
  EXPECT_TRUE(RemoveXattr(file_, "system.posix_acl_access"));
}

TEST_F(XattrTest, SecurityAttributesAreServed) {
  if (setxattr(Path("f").c_str(), "security.test", "x", 1, 0) != 0) GTEST_SKIP() << "no security.* attributes here";
  EXPECT_EQ(GetXattr(file_, "security.test").value(), "x");
  EXPECT_TRUE(SetXattr(file_, "security.test", "y"));
  EXPECT_EQ(ListXattr(file_).value(), std::vector<std::string>{"security.test"});
  EXPECT_TRUE(RemoveXattr(file_, "security.test"));
}

// The wire's length field has no room for the kernel's largest value. tmpfs takes it, on Linux 6.6 and later; ext4 does
// not.
TEST_F(XattrTest, TheLargestValueIsNotTakenForAnEmptyOne) {
  const std::string tmpfs = Path("tmpfs"), file = tmpfs + "/f", largest(65536, 'v');
  ASSERT_EQ(mkdir(tmpfs.c_str(), 0700), 0);
  if (unshare(CLONE_NEWNS) != 0 || mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      mount("tmpfs", tmpfs.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "size=1m") != 0) {
    GTEST_SKIP() << "no tmpfs can be mounted: " << strerror(errno);
  }
  absl::Cleanup unmount = [&] { EXPECT_EQ(umount2(tmpfs.c_str(), MNT_DETACH), 0); };
  WriteHostFile("tmpfs/f");
  if (setxattr(file.c_str(), "user.large", largest.data(), largest.size(), 0) != 0) {
    GTEST_SKIP() << "tmpfs takes no attributes that large: " << strerror(errno);
  }
  Serve({}, "tmpfs");
  file_ = Find(root(), "f").control_fd;
  EXPECT_EQ(ErrnoOf(GetXattr(file_, "user.large")), ERANGE);
  EXPECT_EQ(ErrnoOf(GetXattr(file_, "user.large", 65536)), ERANGE);
  EXPECT_EQ(ListXattr(file_).value(), std::vector<std::string>{"user.large"});
}

// A symbolic link's own attributes, not those of the file that it names.
TEST_F(XattrTest, LinksAreNotFollowed) {
  ASSERT_EQ(symlink("f", Path("link").c_str()), 0);
  ASSERT_TRUE(SetXattr(file_, "user.a", "abc"));
  Fdid link = Find(root(), "link").control_fd;
  EXPECT_NE(ErrnoOf(GetXattr(link, "user.a")), 0);
  EXPECT_NE(ErrnoOf(SetXattr(link, "user.a", "x")), 0);
  EXPECT_EQ(ListXattr(link)->size(), 0u);
  EXPECT_EQ(GetXattr(file_, "user.a").value(), "abc");
}

TEST_F(XattrTest, WantsAControlFd) {
  Fdid open = Open(file_, O_RDWR).value();
  EXPECT_EQ(ErrnoOf(GetXattr(open, "user.a")), EINVAL);
  EXPECT_EQ(ErrnoOf(SetXattr(open, "user.a", "x")), EINVAL);
  EXPECT_EQ(ErrnoOf(ListXattr(99)), EBADF);
  EXPECT_EQ(ErrnoOf(RemoveXattr(99, "user.a")), EBADF);
}

}  // namespace
}  // namespace lisafs
