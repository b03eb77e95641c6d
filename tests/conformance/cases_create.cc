#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "tests/conformance/suite.h"

// MkdirAt, MknodAt, SymlinkAt, LinkAt.

namespace lisafs::conformance {
namespace {

template <Mid kMid>
std::string Made(const Reply<kMid>& reply) {
  return reply.ok() ? TypeName(reply.body.child.stat.mode) : reply.ToString();
}

// What is refused in any directory by every message that makes a name. `make` makes `name` in `dir`.
template <typename Make>
void RefusedNames(Test& t, Make&& make) {
  if (!t.MakeFile("there")) return;
  t.Row("one that exists", "EEXIST", make(t.dir(), "there"));
  t.Row("no name", "EINVAL", make(t.dir(), ""));
  t.Row("dot", "EINVAL", make(t.dir(), "."));
  t.Row("dot dot", "EINVAL", make(t.dir(), ".."));
  t.Row("a slash", "EINVAL", make(t.dir(), "a/b"));
  t.Row("a NUL", "EINVAL", make(t.dir(), std::string_view("a\0b", 3)));
  t.Row("a name too long", "ENAMETOOLONG", make(t.dir(), std::string(256, 'n')));
  t.Row("in a file", "ENOTDIR", make(t.Find("there"), "x"));
  t.Row("in an open FD", "EINVAL", make(t.OpenFile("there", O_RDONLY), "x"));
  t.Row("in what is not open", "EBADF", make(9999, "x"));
}

void Mkdir(Test& t) {
  auto made = t.Mkdir(t.dir(), "d", 0750);
  t.Row("a directory", "dir", Made(made));
  t.Row("its mode", "750", Octal(made.body.child.stat.mode));
  t.Row("its control FD", "dir", TypeName(t.Stat(made.body.child.control_fd).body.stat.mode));
  CreateCommon common{.dir_fd = t.dir(), .uid = 12, .gid = 34, .mode = 0700};
  auto owned = t.Call<Mid::kMkdirAt>({.common = common, .name = "owned"});
  t.Row("its owner", "12 34", Text(owned.body.child.stat.uid, owned.body.child.stat.gid));
  // mkdir(2) by itself keeps only the sticky bit.
  auto special = t.Mkdir(t.dir(), "special", 07777);
  t.Row("a mode with set-id bits", "7777", Octal(t.Stat(special.body.child.control_fd).body.stat.mode));
  RefusedNames(t, [&](Fdid dir, std::string_view name) { return Made(t.Mkdir(dir, name)); });
}

void Mknod(Test& t) {
  auto mknod = [&](std::string_view name, uint16_t mode, uint32_t major = 0, uint32_t minor = 0) {
    CreateCommon common{.dir_fd = t.dir(), .uid = 12, .gid = 34, .mode = mode};
    return t.Call<Mid::kMknodAt>({.common = common, .minor = minor, .major = major, .name = name});
  };
  auto made = mknod("regular-file", S_IFREG | 0777);
  t.Row("a file", "file", Made(made));
  t.Row("its owner and mode", "12 34 777",
        Text(made.body.child.stat.uid, made.body.child.stat.gid, Octal(made.body.child.stat.mode)));
  Statx stat = t.Stat(made.body.child.control_fd).body.stat;
  t.Row("FStat agrees", "1", stat.uid == 12 && stat.gid == 34 && stat.mode == made.body.child.stat.mode);
  t.Row("no type", "EPERM", Made(mknod("none", 0644)));
  t.Row("a FIFO", "EPERM", Made(mknod("fifo", S_IFIFO | 0644)));
  t.Row("a socket", "EPERM", Made(mknod("socket", S_IFSOCK | 0644)));
  t.Row("a block device", "EPERM", Made(mknod("block", S_IFBLK | 0644, 7, 99)));
  t.Row("a character device", "EPERM", Made(mknod("char", S_IFCHR | 0644, 1, 3)));
  t.Row("a directory", "EPERM", Made(mknod("directory", S_IFDIR | 0755)));
  t.Row("a whiteout", "char", Made(mknod("whiteout", S_IFCHR | 0644)));
  struct stat host;
  t.Row("nothing is left of what was refused", "1",
        lstat(t.Host("fifo").c_str(), &host) != 0 && lstat(t.Host("char").c_str(), &host) != 0);
  RefusedNames(t, [&](Fdid dir, std::string_view name) {
    return Made(t.Call<Mid::kMknodAt>({.common = {.dir_fd = dir, .mode = S_IFREG | 0644}, .name = name}));
  });
}

void Symlink(Test& t) {
  auto symlink = [&](std::string_view name, std::string_view target) {
    return t.Call<Mid::kSymlinkAt>({.dir_fd = t.dir(), .uid = 12, .gid = 34, .name = name, .target = target});
  };
  auto made = symlink("symlinkFile", "/tmp/some/path");
  t.Row("a link", "link", Made(made));
  t.Row("its owner", "12 34", Text(made.body.child.stat.uid, made.body.child.stat.gid));
  auto target = t.Call<Mid::kReadLinkAt>({made.body.child.control_fd});
  t.Row("its target", "/tmp/some/path", target.ok() ? std::string(target.body.value) : target.ToString());
  t.Row("a target that leads out", "link", Made(symlink("out", "../../../../etc/passwd")));
  t.Row("no target", "ENOENT", Made(symlink("empty", "")));
  t.Row("a target of 4095 bytes", "link", Made(symlink("long", std::string(4095, 'x'))));
  t.Row("a target of 4096 bytes", "ENAMETOOLONG", Made(symlink("longer", std::string(4096, 'x'))));
  t.Row("a target with a NUL", "EINVAL", Made(symlink("nul", std::string_view("a\0b", 3))));
  RefusedNames(t, [&](Fdid dir, std::string_view name) {
    return Made(t.Call<Mid::kSymlinkAt>({.dir_fd = dir, .name = name, .target = "x"}));
  });
}

void Link(Test& t) {
  bool ready = t.MakeFile("f", "content") && t.MakeDirectory("d") && t.MakeSymlink("link", "nowhere") &&
               t.MakeNode("socket", S_IFSOCK | 0600);
  if (!ready) return;
  Fdid file = t.Find("f");
  auto link = [&](Fdid dir, Fdid target, std::string_view name) {
    return t.Call<Mid::kLinkAt>({.dir_fd = dir, .target_fd = target, .name = name});
  };
  Statx original = t.Stat(file).body.stat;
  auto made = link(t.dir(), file, "linkFile");
  t.Row("a file", "file", Made(made));
  const Statx& stat = made.body.child.stat;
  t.Row("it is the same one", "1",
        stat.ino == original.ino && stat.dev_major == original.dev_major && stat.dev_minor == original.dev_minor);
  t.Row("its links", "2", stat.nlink);
  t.Row("a symbolic link", "link", Made(link(t.dir(), t.Find("link"), "link2")));
  t.Row("a socket", "socket", Made(link(t.dir(), t.Find("socket"), "socket2")));
  t.Row("a directory", "EPERM", Made(link(t.dir(), t.Find("d"), "d2")));
  t.Row("an open FD", "EINVAL", Made(link(t.dir(), t.OpenFile("f", O_RDONLY), "x")));
  t.Row("a file that is not open", "EBADF", Made(link(t.dir(), 9999, "x")));
  RefusedNames(t, [&](Fdid dir, std::string_view name) { return Made(link(dir, file, name)); });
}

}  // namespace

void AddCreateCases(std::vector<Case>& cases) {
  using enum Case::On;
  cases.push_back({"Create.Mkdir", Mkdir, kWritable});
  cases.push_back({"Create.Mknod", Mknod, kWritable});
  cases.push_back({"Create.Symlink", Symlink, kWritable});
  cases.push_back({"Create.Link", Link, kWritable});
}

}  // namespace lisafs::conformance
