#include <fcntl.h>
#include <limits.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <string>

#include "tests/differential/say.h"
#include "tests/differential/scenario.h"

// What docs/differences.md lists, and so is not compared.

namespace lisafs::differential {
namespace {

void Names() {
  SayOk("a character device", mknod("char", S_IFCHR | 0600, makedev(1, 3)));
  SayOk("a block device", mknod("block", S_IFBLK | 0600, makedev(7, 0)));
  SayOk("a whiteout", mknod("whiteout", S_IFCHR, 0));
  MakeFile("file", "content");
  SayOk("a rename that leaves a whiteout", renameat2(AT_FDCWD, "file", AT_FDCWD, "renamed", RENAME_WHITEOUT));
}

void Attributes() {
  MakeFile("file", "content", 02666);
  std::string large(65536, 'v');
  SayOk("security.test", setxattr("file", "security.test", "v", 1, 0));
  SayOk("a value of 65536 bytes", setxattr("file", "user.large", large.data(), large.size(), 0));
  int fd = open("file", O_RDWR | O_CLOEXEC);
  As(1000, [] {
    int mine = open("file", O_WRONLY | O_CLOEXEC);
    Say("write", write(mine, "x", 1));
    SayStat("file");
  });
  Check(chmod("file", 04755) == 0, "chmod");
  As(1000, [] { SayOk("a chown that names nobody", chown("file", static_cast<uid_t>(-1), static_cast<gid_t>(-1))); });
  SayStat("file");
  Check(setxattr("file", "user.a", "v", 1, 0) == 0 && unlink("file") == 0, "an attribute");
  char value[10];
  Say("the attribute of a deleted file", fgetxattr(fd, "user.a", value, sizeof value));
  SayOk("setting it", fsetxattr(fd, "user.a", "w", 1, 0));
}

void Data() {
  MakeFile("file", std::string(10'000, 'c'));
  MakeFile("other");
  int fd = open("file", O_RDWR | O_CLOEXEC), other = open("other", O_RDWR | O_CLOEXEC);
  Say("seeking", lseek(fd, LLONG_MAX, SEEK_SET));
  SayOk("FICLONE", ioctl(other, FICLONE, fd));
  fiemap map = {
      .fm_start = 0, .fm_length = ~0ull, .fm_flags = 0, .fm_mapped_extents = 0, .fm_extent_count = 0, .fm_reserved = 0};
  SayOk("FIEMAP", ioctl(fd, FS_IOC_FIEMAP, &map));
  int flags = 0;
  SayOk("FS_IOC_GETFLAGS", ioctl(fd, FS_IOC_GETFLAGS, &flags));
}

}  // namespace

Group ListedScenarios() { return {"listed", {{"names", Names}, {"attributes", Attributes}, {"data", Data}}}; }

}  // namespace lisafs::differential
