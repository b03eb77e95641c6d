#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>

#include <string>

#include "tests/conformance/suite.h"

// UnlinkAt, RenameAt, RenameAt2.

namespace lisafs::conformance {
namespace {

constexpr uint32_t kRemoveDirectory = 0x200;

Answer Rename(Test& t, Fdid old_dir, std::string_view old_name, Fdid new_dir, std::string_view new_name) {
  return t
      .Call<Mid::kRenameAt>({.old_dir_fd = old_dir, .new_dir_fd = new_dir, .old_name = old_name, .new_name = new_name})
      .answer;
}

void Unlink(Test& t) {
  bool made = t.MakeDirectory("d") && t.MakeDirectory("full") && t.MakeFile("full/x") && t.MakeFile("f") &&
              t.MakeSymlink("link", "full");
  if (!made) return;
  t.Row("a directory without the flag", "EISDIR", t.Unlink(t.dir(), "d"));
  t.Row("a directory that is not empty", "ENOTEMPTY", t.Unlink(t.dir(), "full", kRemoveDirectory));
  t.Row("a file with the flag", "ENOTDIR", t.Unlink(t.dir(), "f", kRemoveDirectory));
  t.Row("what is missing", "ENOENT", t.Unlink(t.dir(), "missing"));
  t.Row("flags that nobody has", "EINVAL", t.Unlink(t.dir(), "f", 0x1000));
  t.Row("dot dot", "EINVAL", t.Unlink(t.dir(), "..", kRemoveDirectory));
  t.Row("dot", "EINVAL", t.Unlink(t.dir(), ".", kRemoveDirectory));
  t.Row("no name", "EINVAL", t.Unlink(t.dir(), ""));
  t.Row("a slash", "EINVAL", t.Unlink(t.dir(), "full/x"));
  t.Row("a name too long", "ENAMETOOLONG", t.Unlink(t.dir(), std::string(256, 'n')));
  t.Row("in a file", "ENOTDIR", t.Unlink(t.Find("f"), "x"));
  t.Row("in what is not open", "EBADF", t.Unlink(9999, "x"));
  t.Row("a link, not what it leads to", "ok", t.Unlink(t.dir(), "link"));
  // While their control FDs are open.
  Fdid file = t.Find("f"), directory = t.Find("d");
  t.Row("a file", "ok", t.Unlink(t.dir(), "f"));
  t.Row("a directory", "ok", t.Unlink(t.dir(), "d", kRemoveDirectory));
  auto walked = t.Walk(t.dir(), {"f"});
  t.Row("walking to it after that", "ok 0", Text(walked, walked.body.inodes.size()));
  t.Row("closing them", "ok", t.Close({file, directory}));
  struct stat host;
  t.Row("the host's files", "gone, there",
        Text(lstat(t.Host("f").c_str(), &host) == 0 ? "there," : "gone,",
             lstat(t.Host("full/x").c_str(), &host) == 0 ? "there" : "gone"));
}

void RenameRows(Test& t) {
  bool made = t.MakeFile("f") && t.MakeFile("f2") && t.MakeDirectory("d") && t.MakeDirectory("full") &&
              t.MakeFile("full/x") && t.MakeDirectory("tempDir");
  if (!made) return;
  Fdid directory = t.Find("d"), file = t.Find("f");
  t.Row("onto itself, missing", "ok", Rename(t, t.dir(), "x", t.dir(), "x"));
  t.Row("what is missing", "ENOENT", Rename(t, t.dir(), "missing", t.dir(), "y"));
  t.Row("a file onto a directory", "EISDIR", Rename(t, t.dir(), "f", t.dir(), "full"));
  t.Row("a directory onto one that is not empty", "ENOTEMPTY", Rename(t, t.dir(), "d", t.dir(), "full"));
  t.Row("a directory onto a file", "ENOTDIR", Rename(t, t.dir(), "d", t.dir(), "f"));
  t.Row("in a file", "ENOTDIR", Rename(t, file, "x", t.dir(), "y"));
  t.Row("into a file", "ENOTDIR", Rename(t, t.dir(), "f2", file, "y"));
  t.Row("a directory into itself", "EINVAL", Rename(t, t.dir(), "d", directory, "y"));
  t.Row("dot dot", "EINVAL", Rename(t, t.dir(), "..", t.dir(), "y"));
  t.Row("to dot dot", "EINVAL", Rename(t, t.dir(), "f", t.dir(), ".."));
  t.Row("to a name with a slash", "EINVAL", Rename(t, t.dir(), "f", t.dir(), "d/f"));
  t.Row("to no name", "EINVAL", Rename(t, t.dir(), "f", t.dir(), ""));
  t.Row("to a name too long", "ENAMETOOLONG", Rename(t, t.dir(), "f", t.dir(), std::string(256, 'n')));
  t.Row("in an open FD", "EINVAL", Rename(t, t.OpenFile("f", O_RDONLY), "x", t.dir(), "y"));
  t.Row("from what is not open", "EBADF", Rename(t, 9999, "x", t.dir(), "y"));
  t.Row("to what is not open", "EBADF", Rename(t, t.dir(), "f", 9999, "y"));

  t.Row("into another directory", "ok", Rename(t, t.dir(), "f", t.Find("tempDir"), "movedFile"));
  auto stats = t.WalkStat(t.dir(), {"tempDir", "movedFile"});
  t.Row("found there", "ok 2", Text(stats, stats.body.stats.size()));
  t.Row("its control FD still answers", "file", TypeName(t.Stat(file).body.stat.mode));
}

// A renamed file's control FD goes with it: what is done to its old name is not done to it.
void RenamedPosition(Test& t) {
  if (!t.MakeDirectory("a") || !t.MakeFile("a/f") || !t.MakeFile("replaced")) return;
  Fdid directory = t.Find("a"), replaced = t.Find("replaced");
  auto walked = t.Walk(directory, {"f"});
  if (!t.Need("the file", walked.ok() && walked.body.inodes.size() == 1)) return;
  Fdid file = walked.body.inodes[0].control_fd;
  auto xattr = [&](Fdid fd) { return t.Call<Mid::kFGetXattr>({.fd = fd, .name = "user.none"}); };

  t.Row("a directory", "ok", Rename(t, t.dir(), "a", t.dir(), "b"));
  t.Row("making another in its place", "ok", t.Mkdir(t.dir(), "a"));
  t.Row("removing that", "ok", t.Unlink(t.dir(), "a", kRemoveDirectory));
  t.Row("the renamed directory goes on", "ok", t.Create(directory, "new"));
  t.Row("a file in it goes on", "ENODATA", xattr(file));
  t.Row("onto a file", "ok", Rename(t, directory, "f", t.dir(), "replaced"));
  t.Row("the file that was replaced is deleted", "EINVAL", xattr(replaced));
  t.Row("the one that replaced it is not", "ENODATA", xattr(file));
  t.Row("removing it by its new name", "ok", t.Unlink(t.dir(), "replaced"));
  t.Row("is noticed", "EINVAL", xattr(file));
}

void Rename2(Test& t) {
  if (!t.MakeFile("a", "a") || !t.MakeFile("b", "b") || !t.MakeDirectory("d") || !t.MakeFile("white")) return;
  auto rename = [&](std::string_view from, std::string_view to, uint32_t flags) {
    return t.Call<Mid::kRenameAt2>(
        {.old_dir_fd = t.dir(), .new_dir_fd = t.dir(), .old_name = from, .new_name = to, .flags = flags});
  };
  Fdid a = t.Find("a"), b = t.Find("b");
  t.Row("not replacing what exists", "EEXIST", rename("a", "b", RENAME_NOREPLACE));
  t.Row("an exchange", "ok", rename("a", "b", RENAME_EXCHANGE));
  t.Row("the files after that", "b a", Text(t.Content("a"), t.Content("b")));
  t.Row("an exchange with what is missing", "ENOENT", rename("a", "missing", RENAME_EXCHANGE));
  t.Row("both at once", "EINVAL", rename("a", "b", RENAME_EXCHANGE | RENAME_NOREPLACE));
  t.Row("a flag that nobody has", "EINVAL", rename("a", "b", 0x80));
  t.Row("leaving a whiteout", "EINVAL", rename("white", "out", RENAME_WHITEOUT));
  t.Row("not replacing what is missing", "ok", rename("a", "new", RENAME_NOREPLACE));
  t.Row("no flags", "ok", rename("new", "a", 0));
  // Exchanged, a has the name b and is not deleted with what has the name a.
  t.Row("removing one of the two", "ok", t.Unlink(t.dir(), "a"));
  t.Row("it is the one of that name", "ENODATA EINVAL",
        Text(t.Call<Mid::kFGetXattr>({.fd = a, .name = "user.none"}),
             t.Call<Mid::kFGetXattr>({.fd = b, .name = "user.none"})));
}

// The node of a position that was given up must not take its successor's place away.
void SamePositionAgain(Test& t) {
  if (!t.MakeFile("x")) return;
  Fdid old = t.Find("x");
  t.Row("unlink", "ok", t.Unlink(t.dir(), "x"));
  auto second = t.Create(t.dir(), "x");
  t.Row("create again", "ok", second);
  t.Row("give the first one up", "ok", t.Close({old}));
  Fdid third = t.Find("x");
  t.Row("unlink again", "ok", t.Unlink(t.dir(), "x"));
  auto xattr = [&](Fdid fd) { return t.Call<Mid::kFGetXattr>({.fd = fd, .name = "user.none"}).ToString(); };
  t.Row("both control FDs are deleted", "EINVAL EINVAL", Text(xattr(second.body.child.control_fd), xattr(third)));
}

}  // namespace

void AddNameCases(std::vector<Case>& cases) {
  using enum Case::On;
  cases.push_back({"Names.Unlink", Unlink, kWritable});
  cases.push_back({"Names.Rename", RenameRows, kWritable});
  cases.push_back({"Names.RenamedPosition", RenamedPosition, kWritable});
  cases.push_back({"Names.Rename2", Rename2, kWritable});
  cases.push_back({"Names.SamePositionAgain", SamePositionAgain, kWritable});
}

}  // namespace lisafs::conformance
