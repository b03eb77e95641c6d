#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <string>

#include "tests/conformance/suite.h"

// OpenAt and OpenCreateAt.

namespace lisafs::conformance {
namespace {

// O_LARGEFILE as the kernel reports it, which the C library hides; O_NOFOLLOW likewise stays from an open by name.
constexpr int kAlwaysMayBeSet = 0100000 | O_NONBLOCK | O_NOFOLLOW;

// The outcome and what was donated.
template <Mid kMid>
std::string Opened(const Reply<kMid>& reply) {
  if (!reply.ok()) return reply.ToString();
  if (reply.answer.donated.empty()) return "ok";
  int flags = fcntl(reply.answer.donated[0].get(), F_GETFL);
  std::string mode = (flags & O_ACCMODE) == O_RDONLY   ? "read"
                     : (flags & O_ACCMODE) == O_WRONLY ? "write"
                                                       : "read+write";
  int rest = flags & ~(O_ACCMODE | kAlwaysMayBeSet);
  return "ok, donated " + mode + (rest == 0 ? "" : Text(" with flags", rest));
}

void Types(Test& t) {
  bool made = t.MakeDirectory("d") && t.MakeFile("f", "content") && t.MakeSymlink("link", "f") &&
              t.MakeNode("socket", S_IFSOCK | 0600) && t.MakeNode("char", S_IFCHR | 0600, makedev(1, 3));
  if (!made) return;
  Fdid directory = t.Find("d"), file = t.Find("f");
  t.Row("a directory", "ok", Opened(t.Open(directory, O_RDONLY)));
  t.Row("a file", "ok, donated read", Opened(t.Open(file, O_RDONLY)));
  t.Row("a link", "EINVAL", Opened(t.Open(t.Find("link"), O_RDONLY)));
  t.Row("a socket", "ENXIO|EPERM", Opened(t.Open(t.Find("socket"), O_RDONLY)));
  t.Row("a character device", "EPERM", Opened(t.Open(t.Find("char"), O_RDONLY)));
  t.Row("an open FD", "EINVAL", Opened(t.Open(t.OpenFile("f", O_RDONLY), O_RDONLY)));
  t.Row("a FDID that is not open", "EBADF", Opened(t.Open(9999, O_RDONLY)));
  t.Row("flags that mean nothing here", "ok, donated read", Opened(t.Open(file, O_APPEND | O_CREAT | O_EXCL)));
}

void Modes(Test& t) {
  if (!t.MakeDirectory("d") || !t.MakeFile("f", "content")) return;
  Fdid directory = t.Find("d"), file = t.Find("f");
  t.Row("a directory for writing", "EISDIR", Opened(t.Open(directory, O_RDWR)));
  t.Row("a directory, truncated", "EISDIR", Opened(t.Open(directory, O_RDONLY | O_TRUNC)));
  t.Row("a file for writing", "ok, donated write", Opened(t.Open(file, O_WRONLY)));
  t.Row("a file for both", "ok, donated read+write", Opened(t.Open(file, O_RDWR)));
  t.Row("for both with flags that mean nothing here", "ok, donated read+write",
        Opened(t.Open(file, O_RDWR | O_APPEND | O_SYNC | O_DIRECT | O_CREAT | O_EXCL)));
  t.Row("access mode 3", "EINVAL", Opened(t.Open(file, 3)));
  t.Row("truncated", "ok, donated read+write", Opened(t.Open(file, O_RDWR | O_TRUNC)));
  t.Row("its size after that", "0", t.Content("f").size());
}

void Fifos(Test& t) {
  if (!t.MakeNode("fifo", S_IFIFO | 0600)) return;
  Fdid fifo = t.Find("fifo");
  t.Row("for both", t.serving().fifos ? "ok, donated read+write" : "EPERM", Opened(t.Open(fifo, O_RDWR)));
}

void FifoWithoutReader(Test& t) {
  if (!t.MakeNode("fifo", S_IFIFO | 0600)) return;
  t.Row("for writing", "ENXIO", Opened(t.Open(t.Find("fifo"), O_WRONLY)));
}

// A server that waits in open(2) never answers again.
void FifoWithoutWriter(Test& t) {
  if (!t.MakeNode("fifo", S_IFIFO | 0600)) return;
  Fdid fifo = t.Find("fifo");
  t.lane().timeout = kSilence;
  t.Row("for reading", "ok, donated read", Opened(t.Open(fifo, O_RDONLY)));
}

void Create(Test& t) {
  if (!t.MakeFile("f") || !t.MakeDirectory("d")) return;
  Fdid file = t.Find("f");
  auto made = t.Create(t.dir(), "new", O_RDWR, 0640);
  t.Row("a new file", "ok, donated read+write", Opened(made));
  if (made.ok()) {
    t.Row("its type and mode", "file 640", Text(TypeName(made.body.child.stat.mode), Octal(made.body.child.stat.mode)));
    t.Row("its owner", Text(getuid(), getgid()), Text(made.body.child.stat.uid, made.body.child.stat.gid));
    t.Row("different FDIDs", "1", made.body.child.control_fd != made.body.open_fd && made.body.open_fd != 0);
    t.Row("its control FD", "file", TypeName(t.Stat(made.body.child.control_fd).body.stat.mode));
  }
  t.Row("for reading", "ok, donated read", Opened(t.Create(t.dir(), "new2", O_RDONLY)));
  t.Row("for writing", "ok, donated write", Opened(t.Create(t.dir(), "new3", O_WRONLY)));
  t.Row("flags that mean nothing here", "ok, donated read", Opened(t.Create(t.dir(), "new4", O_RDONLY | O_APPEND)));
  t.Row("one that exists", "EEXIST", Opened(t.Create(t.dir(), "f")));
  t.Row("a directory that exists", "EEXIST", Opened(t.Create(t.dir(), "d")));
  t.Row("dot dot", "EINVAL", Opened(t.Create(t.dir(), "..")));
  t.Row("no name", "EINVAL", Opened(t.Create(t.dir(), "")));
  t.Row("a slash", "EINVAL", Opened(t.Create(t.dir(), "d/x")));
  t.Row("a NUL", "EINVAL", Opened(t.Create(t.dir(), std::string_view("x\0y", 3))));
  t.Row("a name too long", "ENAMETOOLONG", Opened(t.Create(t.dir(), std::string(300, 'n'))));
  t.Row("in a file", "ENOTDIR", Opened(t.Create(file, "x")));
  t.Row("in what is not open", "EBADF", Opened(t.Create(9999, "x")));
  t.Row("in an open FD", "EINVAL", Opened(t.Create(t.OpenFile("f", O_RDONLY), "x")));
}

// chown(2) takes set-id bits away: a server that was asked for them sets them again.
void CreateSetId(Test& t) {
  CreateCommon common{.dir_fd = t.dir(), .uid = 12, .gid = 34, .mode = 06755};
  auto made = t.Call<Mid::kOpenCreateAt>({.common = common, .flags = O_RDWR, .name = "set-id"});
  if (!t.Need("creating", made.ok())) return;
  auto stat = t.Stat(made.body.child.control_fd);
  t.Row("owner", "12 34", Text(stat.body.stat.uid, stat.body.stat.gid));
  t.Row("mode", "6755", Octal(stat.body.stat.mode));
}

// With no id given the host chooses: a set-group-id directory gives its group away.
void CreateWithoutIds(Test& t) {
  if (!t.MakeDirectory("d")) return;
  std::string path = t.Host("d");
  bool set = chown(path.c_str(), 0, 4321) == 0 && chmod(path.c_str(), 02755) == 0;
  if (!t.Need("a set-group-id directory", set)) return;
  CreateCommon common{.dir_fd = t.Find("d"), .mode = 0600};
  auto made = t.Call<Mid::kOpenCreateAt>({.common = common, .flags = O_RDWR, .name = "f"});
  t.Row("the group", "4321", made.ok() ? Text(made.body.child.stat.gid) : made.ToString());
}

// An open FD keeps working without the control FD it was made from.
void OutlivesControl(Test& t) {
  if (!t.MakeFile("f", "content")) return;
  Fdid file = t.Find("f");
  auto opened = t.Open(file, O_RDONLY);
  if (!t.Need("opening", opened.ok())) return;
  t.Row("closing the control FD", "ok", t.Close({file}));
  t.Row("opening it again", "EBADF", Opened(t.Open(file, O_RDONLY)));
  auto read = t.PRead(opened.body.open_fd, 0, 100);
  t.Row("reading", "7", read.ok() ? Text(read.body.count) : read.ToString());
  t.Row("stat", "file", TypeName(t.Stat(opened.body.open_fd).body.stat.mode));
}

}  // namespace

void AddOpenCases(std::vector<Case>& cases) {
  using enum Case::On;
  cases.push_back({"Open.Types", Types});
  cases.push_back({"Open.Modes", Modes, kWritable});
  cases.push_back({"Open.Fifos", Fifos, kWritable});
  cases.push_back({"Open.FifoWithoutReader", FifoWithoutReader, kFifos});
  cases.push_back({.name = "Open.FifoWithoutWriter", .run = FifoWithoutWriter, .on = kFifos, .own_connection = true});
  cases.push_back({"Open.Create", Create, kWritable});
  cases.push_back({"Open.CreateSetId", CreateSetId, kWritable});
  cases.push_back({"Open.CreateWithoutIds", CreateWithoutIds, kWritable});
  cases.push_back({"Open.OutlivesControl", OutlivesControl});
}

}  // namespace lisafs::conformance
