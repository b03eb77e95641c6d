#include <fcntl.h>
#include <sys/stat.h>

#include <string>

#include "tests/conformance/suite.h"

// What each message does on a position that was removed through this server: what goes by descriptor goes on, what goes
// by name has nothing to go by.

namespace lisafs::conformance {
namespace {

constexpr uint32_t kRemoveDirectory = 0x200;

void File(Test& t) {
  auto made = t.Create(t.dir(), "f", O_RDWR);
  if (!t.Need("creating", made.ok())) return;
  Fdid control = made.body.child.control_fd, open = made.body.open_fd;
  if (!t.Need("unlinking", t.Unlink(t.dir(), "f").ok())) return;

  t.Row("FStat", "ok", t.Stat(control));
  t.Row("FStat of the open FD", "ok", t.Stat(open));
  t.Row("its links", "0", t.Stat(open).body.stat.nlink);
  t.Row("FStatFS", "ok", t.Call<Mid::kFStatFS>({control}));
  t.Row("PWrite", "ok", t.PWrite(open, 0, 3, "abc"));
  t.Row("PRead", "3", t.PRead(open, 0, 10).body.count);
  t.Row("FAllocate", "ok", t.Call<Mid::kFAllocate>({.fd = open, .length = 40}));
  Fdid fds[] = {open};
  t.Row("FSync", "ok", t.Call<Mid::kFSync>({FdArray(fds)}));
  auto set = t.Call<Mid::kSetStat>({.fd = control, .mask = STATX_SIZE | STATX_MODE, .mode = 0600, .size = 5});
  t.Row("SetStat", "ok 0", Text(set, set.body.failure_mask));
  t.Row("OpenAt", "ok", t.Open(control, O_RDWR));
  t.Row("FGetXattr", "EINVAL", t.Call<Mid::kFGetXattr>({.fd = control, .name = "user.a"}));
  t.Row("FSetXattr", "EINVAL", t.Call<Mid::kFSetXattr>({.fd = control, .name = "user.a", .value = "v"}));
  t.Row("FListXattr", "EINVAL", t.Call<Mid::kFListXattr>({.fd = control}));
  t.Row("FRemoveXattr", "EINVAL", t.Call<Mid::kFRemoveXattr>({.fd = control, .name = "user.a"}));
  t.Row("LinkAt", "EINVAL", t.Call<Mid::kLinkAt>({.dir_fd = t.dir(), .target_fd = control, .name = "back"}));
}

void Directory(Test& t) {
  auto made = t.Mkdir(t.dir(), "d");
  if (!t.Need("making a directory", made.ok())) return;
  Fdid directory = made.body.child.control_fd;
  auto listing = t.Open(directory, O_RDONLY);
  if (!t.Need("opening it", listing.ok()) || !t.MakeFile("f")) return;
  Fdid file = t.Find("f");
  if (!t.Need("removing it", t.Unlink(t.dir(), "d", kRemoveDirectory).ok())) return;

  t.Row("FStat", "ok", t.Stat(directory));
  t.Row("Getdents64", "EINVAL", t.Call<Mid::kGetdents64>({.fd = listing.body.open_fd, .count = 4096}));
  t.Row("MkdirAt", "EINVAL", t.Mkdir(directory, "x"));
  t.Row("MknodAt", "EINVAL", t.Call<Mid::kMknodAt>({.common = {.dir_fd = directory, .mode = 0100644}, .name = "x"}));
  t.Row("SymlinkAt", "EINVAL", t.Call<Mid::kSymlinkAt>({.dir_fd = directory, .name = "x", .target = "y"}));
  t.Row("OpenCreateAt", "EINVAL", t.Create(directory, "x"));
  t.Row("LinkAt", "EINVAL", t.Call<Mid::kLinkAt>({.dir_fd = directory, .target_fd = file, .name = "x"}));
  t.Row("UnlinkAt", "EINVAL", t.Unlink(directory, "x"));
  auto rename = [&](Fdid from, Fdid to) {
    return t.Call<Mid::kRenameAt>({.old_dir_fd = from, .new_dir_fd = to, .old_name = "f", .new_name = "g"});
  };
  t.Row("RenameAt from it", "EINVAL", rename(directory, t.dir()));
  t.Row("RenameAt to it", "EINVAL", rename(t.dir(), directory));
  auto walked = t.Walk(directory, {"x"});
  t.Row("Walk", "ok 1 0", Text(walked, static_cast<int>(walked.body.status), walked.body.inodes.size()));
  auto own = t.WalkStat(directory, {""}), below = t.WalkStat(directory, {"x"});
  t.Row("WalkStat of itself", "ok 1", Text(own, own.body.stats.size()));
  t.Row("WalkStat below it", "ok 0", Text(below, below.body.stats.size()));
}

void Link(Test& t) {
  if (!t.MakeSymlink("l", "target")) return;
  Fdid link = t.Find("l");
  if (!t.Need("unlinking", t.Unlink(t.dir(), "l").ok())) return;
  t.Row("ReadLinkAt", "EINVAL", t.Call<Mid::kReadLinkAt>({link}));
  t.Row("FStat", "ok", t.Stat(link));
}

// A server that goes by the name hits whatever has it now.
void NameTakenAgain(Test& t) {
  if (!t.MakeSymlink("l", "target")) return;
  Fdid old = t.Find("l");
  if (!t.Need("unlinking", t.Unlink(t.dir(), "l").ok()) || !t.MakeSymlink("l", "another")) return;
  t.Call<Mid::kSetStat>({.fd = old, .mask = STATX_MTIME, .mtime = {1000, 0}});
  auto stats = t.WalkStat(t.dir(), {"l"});
  t.Row("the new file's time is its own", "1", stats.body.stats.size() == 1 && stats.body.stats[0].mtime.sec != 1000);
}

// Deleted is a property of a position, not of a file.
void OtherLink(Test& t) {
  if (!t.MakeFile("a")) return;
  Fdid first = t.Find("a");
  auto second = t.Call<Mid::kLinkAt>({.dir_fd = t.dir(), .target_fd = first, .name = "b"});
  if (!t.Need("linking", second.ok()) || !t.Need("unlinking", t.Unlink(t.dir(), "a").ok())) return;
  auto xattr = [&](Fdid fd) { return t.Call<Mid::kFGetXattr>({.fd = fd, .name = "user.none"}); };
  t.Row("the name that was removed", "EINVAL", xattr(first));
  t.Row("the other name", "ENODATA", xattr(second.body.child.control_fd));
}

}  // namespace

void AddDeletedCases(std::vector<Case>& cases) {
  using enum Case::On;
  cases.push_back({"Deleted.File", File, kWritable});
  cases.push_back({"Deleted.Directory", Directory, kWritable});
  cases.push_back({"Deleted.Link", Link, kWritable});
  cases.push_back({"Deleted.NameTakenAgain", NameTakenAgain, kWritable});
  cases.push_back({"Deleted.OtherLink", OtherLink, kWritable});
}

}  // namespace lisafs::conformance
