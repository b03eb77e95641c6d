#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <string>
#include <vector>

#include "tests/conformance/suite.h"

// Walk and WalkStat.

namespace lisafs::conformance {
namespace {

// "STATUS of TYPE…" or the error.
std::string Walked(const Reply<Mid::kWalk>& reply) {
  if (!reply.ok()) return reply.ToString();
  std::string text = Text("status", static_cast<int>(reply.body.status));
  for (size_t i = 0; i < reply.body.inodes.size(); ++i) text += " " + TypeName(reply.body.inodes[i].stat.mode);
  return text;
}

std::string Stats(const Reply<Mid::kWalkStat>& reply) {
  if (!reply.ok()) return reply.ToString();
  std::string text = "stats";
  for (size_t i = 0; i < reply.body.stats.size(); ++i) text += " " + TypeName(reply.body.stats[i].mode);
  return text;
}

bool MakeTree(Test& t) {
  return t.MakeDirectory("d") && t.MakeFile("d/g") && t.MakeFile("f") && t.MakeSymlink("link", "d");
}

void Names(Test& t) {
  if (!MakeTree(t)) return;
  t.Row("nothing", "status 0", Walked(t.Walk(t.dir(), {})));
  t.Row("all there", "status 0 dir file", Walked(t.Walk(t.dir(), {"d", "g"})));
  t.Row("missing in the middle", "status 1 dir", Walked(t.Walk(t.dir(), {"d", "missing", "x"})));
  t.Row("missing at first", "status 1", Walked(t.Walk(t.dir(), {"missing"})));
  t.Row("missing, then a bad name", "status 1", Walked(t.Walk(t.dir(), {"missing", ".."})));
  t.Row("a link at the end", "status 0 link", Walked(t.Walk(t.dir(), {"link"})));
  t.Row("a link in the middle", "status 2 link", Walked(t.Walk(t.dir(), {"link", "x"})));
  t.Row("a link, then a bad name", "EINVAL", Walked(t.Walk(t.dir(), {"link", ".."})));
  t.Row("below a file", "ENOTDIR", Walked(t.Walk(t.dir(), {"f", "x"})));
  t.Row("a FDID that is not open", "EBADF", Walked(t.Walk(9999, {"d"})));
}

void BadNames(Test& t) {
  t.Row("empty", "EINVAL", Walked(t.Walk(t.dir(), {""})));
  t.Row("dot", "EINVAL", Walked(t.Walk(t.dir(), {"."})));
  t.Row("dot dot", "EINVAL", Walked(t.Walk(t.dir(), {".."})));
  t.Row("a slash", "EINVAL", Walked(t.Walk(t.dir(), {"a/b"})));
  t.Row("a NUL", "EINVAL", Walked(t.Walk(t.dir(), {std::string_view("a\0b", 3)})));
  t.Row("255 bytes", "status 1", Walked(t.Walk(t.dir(), {std::string(255, 'n')})));
  t.Row("256 bytes", "ENAMETOOLONG", Walked(t.Walk(t.dir(), {std::string(256, 'n')})));
  t.Row("65535 bytes", "ENAMETOOLONG", Walked(t.Walk(t.dir(), {std::string(65535, 'n')})));
}

void FromOthers(Test& t) {
  if (!MakeTree(t)) return;
  Fdid file = t.Find("f"), link = t.Find("link");
  t.Row("nowhere from a file", "ENOTDIR", Walked(t.Walk(file, {})));
  t.Row("from a file", "ENOTDIR", Walked(t.Walk(file, {"x"})));
  t.Row("nowhere from a link", "ENOTDIR", Walked(t.Walk(link, {})));
  t.Row("from a link", "ENOTDIR", Walked(t.Walk(link, {"x"})));
  t.Row("from an open FD", "EINVAL", Walked(t.Walk(t.OpenFile("f", O_RDONLY), {"x"})));
}

void Types(Test& t) {
  bool made = t.MakeNode("fifo", S_IFIFO | 0600) && t.MakeNode("socket", S_IFSOCK | 0600) &&
              t.MakeNode("char", S_IFCHR | 0600, makedev(1, 3)) && t.MakeNode("block", S_IFBLK | 0600, makedev(7, 99));
  if (!made) return;
  t.Row("a FIFO", "status 0 fifo", Walked(t.Walk(t.dir(), {"fifo"})));
  t.Row("a socket", "status 0 socket", Walked(t.Walk(t.dir(), {"socket"})));
  t.Row("a character device", "status 0 char", Walked(t.Walk(t.dir(), {"char"})));
  t.Row("a block device", "EPERM|status 0 block", Walked(t.Walk(t.dir(), {"block"})));
  t.Row("stat of a block device", "EPERM|stats block", Stats(t.WalkStat(t.dir(), {"block"})));
  auto device = t.WalkStat(t.dir(), {"char"});
  if (!t.Need("a character device's stat", device.ok() && device.body.stats.size() == 1)) return;
  Statx stat = device.body.stats[0];
  t.Row("a device's number", "1 3", Text(stat.rdev_major, stat.rdev_minor));
}

// A response of one inode a name has to fit into a message, before anything is opened.
void Bounds(Test& t) {
  uint64_t fits = (t.peer().max_message() - 3) / sizeof(Inode);
  std::vector<std::string_view> names(fits, "x");
  auto walk = [&] { return Walked(t.Call<Mid::kWalk>({.dir_fd = t.dir(), .path = StringArray(names)})); };
  t.Row("as many names as fit", "status 1", walk());
  names.push_back("x");
  t.Row("one more", "EIO", walk());

  fits = (t.peer().max_message() - 2) / sizeof(Statx);
  names.assign(fits, "x");
  auto walk_stat = [&] { return Stats(t.Call<Mid::kWalkStat>({.dir_fd = t.dir(), .path = StringArray(names)})); };
  t.Row("stats of as many names as fit", "stats", walk_stat());
  names.push_back("x");
  t.Row("stats of one more", "EIO", walk_stat());

  Bytes lying = Joined(Encoded(FdReq{t.dir()}), "\xff\xff");
  t.Row("65535 names and no bytes", "EIO", t.Exchange(Mid::kWalk, lying));
}

// gVisor's own test: ten directories, and three names that are not there.
void Nested(Test& t) {
  std::vector<std::string> names;
  std::string path;
  for (int i = 0; i < 10; ++i) {
    names.push_back(Text("dir") + std::to_string(i));
    path += (path.empty() ? "" : "/") + names.back();
    if (!t.MakeDirectory(path)) return;
  }
  std::vector<std::string_view> views(names.begin(), names.end());
  for (const char* missing : {"a", "b", "c"}) views.push_back(missing);
  auto walked = t.Call<Mid::kWalk>({.dir_fd = t.dir(), .path = StringArray(views)});
  t.Row("the walk", "status 1 10", walked.ok() ? Text("status 1", walked.body.inodes.size()) : walked.ToString());
  if (!walked.ok()) return;

  views.insert(views.begin(), "");
  auto stats = t.Call<Mid::kWalkStat>({.dir_fd = t.dir(), .path = StringArray(views)});
  t.Row("its stats", "11", stats.ok() ? Text(stats.body.stats.size()) : stats.ToString());
  auto own = t.Stat(t.dir());
  if (!own.ok() || !stats.ok() || stats.body.stats.size() != 11 || walked.body.inodes.size() != 10) return;
  bool same = stats.body.stats[0].ino == own.body.stat.ino && stats.body.stats[0].mode == own.body.stat.mode;
  for (size_t i = 0; i < 10; ++i) {
    Statx a = walked.body.inodes[i].stat, b = stats.body.stats[i + 1];
    same = same && a.ino == b.ino && a.mode == b.mode && a.nlink == b.nlink && a.uid == b.uid && a.gid == b.gid &&
           a.size == b.size && a.blocks == b.blocks && a.mtime.sec == b.mtime.sec && a.mtime.nsec == b.mtime.nsec &&
           a.ctime.sec == b.ctime.sec && a.ctime.nsec == b.ctime.nsec;
  }
  t.Row("they agree", "1", same);
}

void WalkStatNames(Test& t) {
  if (!MakeTree(t)) return;
  Fdid file = t.Find("f");
  t.Row("nothing", "stats", Stats(t.WalkStat(t.dir(), {})));
  t.Row("the start", "stats dir", Stats(t.WalkStat(t.dir(), {""})));
  t.Row("nothing of a file", "stats", Stats(t.WalkStat(file, {})));
  t.Row("a file itself", "stats file", Stats(t.WalkStat(file, {""})));
  t.Row("below a file itself", "ENOTDIR", Stats(t.WalkStat(file, {"", "x"})));
  t.Row("from a file", "ENOTDIR", Stats(t.WalkStat(file, {"x"})));
  t.Row("a link itself", "stats link", Stats(t.WalkStat(t.Find("link"), {""})));
  t.Row("an empty name later", "EINVAL", Stats(t.WalkStat(t.dir(), {"d", ""})));
  t.Row("a bad name after a missing one", "EINVAL", Stats(t.WalkStat(t.dir(), {"missing", ".."})));
  t.Row("to where it ends", "stats dir dir", Stats(t.WalkStat(t.dir(), {"", "d", "missing", "q"})));
  t.Row("one that is missing", "stats", Stats(t.WalkStat(t.dir(), {"missing"})));
  t.Row("all there", "stats dir file", Stats(t.WalkStat(t.dir(), {"d", "g"})));
  t.Row("through a link", "stats link", Stats(t.WalkStat(t.dir(), {"link", "x"})));
  t.Row("below a file", "ENOTDIR", Stats(t.WalkStat(t.dir(), {"f", "x"})));
  t.Row("a name too long", "ENAMETOOLONG", Stats(t.WalkStat(t.dir(), {std::string(256, 'n')})));
  t.Row("dot dot", "EINVAL", Stats(t.WalkStat(t.dir(), {".."})));
}

// What the host renames or removes under the server leads nowhere else.
void HostChanges(Test& t) {
  if (!t.MakeDirectory("d") || !t.MakeFile("d/inside")) return;
  Fdid directory = t.Find("d");
  Fdid file = t.Find("d") == 0 ? 0 : t.Walk(directory, {"inside"}).body.inodes[0].control_fd;
  if (!t.Need("moving the directory", rename(t.Host("d").c_str(), t.Host("elsewhere").c_str()) == 0)) return;
  if (!t.MakeSymlink("d", "/etc")) return;
  t.Row("the name is a link now", "status 2 link", Walked(t.Walk(t.dir(), {"d", "passwd"})));
  t.Row("the file still answers", "file", TypeName(t.Stat(file).body.stat.mode));
}

}  // namespace

void AddWalkCases(std::vector<Case>& cases) {
  cases.push_back({"Walk.Names", Names});
  cases.push_back({"Walk.BadNames", BadNames});
  cases.push_back({"Walk.FromOthers", FromOthers});
  cases.push_back({"Walk.Types", Types});
  cases.push_back({"Walk.Bounds", Bounds});
  cases.push_back({"Walk.Nested", Nested});
  cases.push_back({"Walk.Stats", WalkStatNames});
  cases.push_back({"Walk.HostChanges", HostChanges});
}

}  // namespace lisafs::conformance
