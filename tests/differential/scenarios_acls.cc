#include <endian.h>
#include <fcntl.h>
#include <linux/posix_acl_xattr.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "tests/differential/say.h"
#include "tests/differential/scenario.h"

// Access control lists, as the kernel takes them: in attributes.

namespace lisafs::differential {
namespace {

constexpr char kAccess[] = "system.posix_acl_access", kDefault[] = "system.posix_acl_default";
constexpr uint16_t kUserObj = 1, kUser = 2, kGroupObj = 4, kGroup = 8, kMask = 16, kOther = 32;
constexpr uint32_t kNobody = ~0u;

struct Entry {
  uint16_t tag;
  uint16_t permissions;
  uint32_t id = kNobody;
};

std::string Encoded(const std::vector<Entry>& entries) {
  posix_acl_xattr_header header = {htole32(POSIX_ACL_XATTR_VERSION)};
  std::string value(reinterpret_cast<const char*>(&header), sizeof header);
  for (const Entry& entry : entries) {
    posix_acl_xattr_entry raw = {htole16(entry.tag), htole16(entry.permissions), htole32(entry.id)};
    value.append(reinterpret_cast<const char*>(&raw), sizeof raw);
  }
  return value;
}

void Set(const std::string& path, const char* name, const std::vector<Entry>& entries) {
  std::string value = Encoded(entries);
  SayOk("set " + std::string(name) + " of " + path, setxattr(path.c_str(), name, value.data(), value.size(), 0));
}

void SayAcl(const std::string& path, const char* name) {
  char value[1000];
  ssize_t n = getxattr(path.c_str(), name, value, sizeof value);
  SayData("acl of " + path, value, n);
  SayStat(path);
}

const std::vector<Entry> kOrdinary = {{kUserObj, 6}, {kUser, 6, 1000}, {kGroupObj, 4}, {kMask, 6}, {kOther, 0}};

void AccessLists() {
  MakeFile("file", "content", 0640);
  MakeDirectory("dir", 0750);
  SayAcl("file", kAccess);
  Set("file", kAccess, kOrdinary);
  SayAcl("file", kAccess);
  auto use = [] {
    SayContent("file");
    SayOk("for writing", open("file", O_WRONLY | O_CLOEXEC));
    SayOk("access", faccessat(AT_FDCWD, "file", R_OK | W_OK, AT_EACCESS));
    SayOk("in the directory", open("dir/x", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  };
  As(1000, use);
  As(2000, use);
  SayOk("chmod narrows the mask", chmod("file", 0600));
  SayAcl("file", kAccess);
  As(1000, use);
  SayOk("chmod widens it", chmod("file", 0660));
  SayAcl("file", kAccess);
  As(1000, use);
  Set("dir", kAccess, {{kUserObj, 7}, {kUser, 7, 1000}, {kGroupObj, 5}, {kGroup, 5, 2000}, {kMask, 7}, {kOther, 0}});
  SayAcl("dir", kAccess);
  As(1000, use);
  As(2000, use);
  SayOk("remove", removexattr("file", kAccess));
  SayAcl("file", kAccess);
  As(1000, use);
  // One that says no more than the mode is none.
  Set("file", kAccess, {{kUserObj, 7}, {kGroupObj, 5}, {kOther, 4}});
  SayAcl("file", kAccess);
  As(1000, [] { Set("file", kAccess, kOrdinary); });
}

void BadLists() {
  MakeFile("file");
  MakeDirectory("dir");
  MakeLink("link", "file");
  Set("file", kDefault, kOrdinary);
  Set("file", kAccess, {});
  Set("file", kAccess, {{kUserObj, 6}});
  Set("file", kAccess, {{kUserObj, 6}, {kUser, 6, 1000}, {kGroupObj, 4}, {kOther, 0}});
  Set("file", kAccess, {{kUserObj, 9}, {kGroupObj, 4}, {kOther, 0}});
  Set("file", kAccess, {{kUserObj, 6}, {kGroupObj, 4}, {kOther, 0}, {77, 0}});
  Set("dir", kDefault, {});
  for (const char* value : {"", "x", "\x02\0\0", "\x03\0\0\0"}) {
    SayOk("set nonsense", setxattr("file", kAccess, value, *value ? 4 : 0, 0));
  }
  SayOk("of a link", lsetxattr("link", kAccess, "", 0, 0));
  SayAcl("file", kAccess);
  SayAcl("dir", kDefault);
  char list[100];
  Say("list", listxattr("file", list, sizeof list));
}

void Inheritance() {
  MakeDirectory("dir", 0777);
  Set("dir", kDefault, {{kUserObj, 7}, {kUser, 6, 1000}, {kGroupObj, 5}, {kGroup, 3, 2000}, {kMask, 7}, {kOther, 1}});
  SayAcl("dir", kDefault);
  auto make = [](const std::string& in) {
    for (mode_t mask : {0, 022, 077}) {
      for (mode_t mode : {0666, 0777, 0640, 0}) {
        umask(mask);
        std::string name = in + "/" + std::to_string(mask) + "-" + std::to_string(mode);
        close(open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode));
        SayAcl(name, kAccess);
        SayOk("mkdir", mkdir((name + "d").c_str(), mode));
        SayAcl(name + "d", kAccess);
        SayAcl(name + "d", kDefault);
        SayOk("mkfifo", mkfifo((name + "p").c_str(), mode));
        SayAcl(name + "p", kAccess);
        SayOk("symlink", symlink("x", (name + "l").c_str()));
        int fd = SayOk("tmpfile", open(in.c_str(), O_RDWR | O_TMPFILE | O_CLOEXEC, mode));
        struct stat stat = {};
        int result = fstat(fd, &stat);
        SayStat("it", result, stat);
        close(fd);
      }
    }
  };
  make("dir");
  SayOk("mkdir", mkdir("dir/sub", 0777));
  umask(022);
  make("dir/sub");
  As(1000, [make] {
    Check(mkdir("dir/mine", 0777) == 0, "a directory");
    make("dir/mine");
  });
  SayOk("remove", removexattr("dir", kDefault));
  umask(022);
  MakeDirectory("dir/plain");
  SayAcl("dir/plain", kDefault);
}

}  // namespace

Group AclScenarios() {
  return {"acls", {{"access-lists", AccessLists}, {"bad-lists", BadLists}, {"inheritance", Inheritance}}};
}

}  // namespace lisafs::differential
