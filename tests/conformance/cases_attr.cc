#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <string>

#include "tests/conformance/suite.h"

// FStat, SetStat, FStatFS, ReadLinkAt.

namespace lisafs::conformance {
namespace {

// "MASK ERRNO" of what failed; the mask in hexadecimal.
std::string Set(const Reply<Mid::kSetStat>& reply) {
  if (!reply.ok()) return reply.ToString();
  if (reply.body.failure_mask == 0) return "0";
  std::ostringstream text;
  text << std::hex << reply.body.failure_mask << " " << ErrnoName(static_cast<int>(reply.body.failure_errno));
  return text.str();
}

void Stat(Test& t) {
  if (!t.MakeFile("f", "content")) return;
  auto stat = t.Stat(t.Find("f"));
  struct stat host = {};
  if (!t.Need("the host's stat", lstat(t.Host("f").c_str(), &host) == 0)) return;
  const Statx& got = stat.body.stat;
  t.Row("a directory", "dir", TypeName(t.Stat(t.dir()).body.stat.mode));
  t.Row("a file", "file", TypeName(got.mode));
  t.Row("inode number", "1", got.ino == host.st_ino);
  t.Row("size and links", Text(7, 1), Text(got.size, got.nlink));
  t.Row("time of change", "1", got.mtime.sec == host.st_mtim.tv_sec && got.mtime.nsec == host.st_mtim.tv_nsec);
  constexpr uint32_t kBasic = STATX_BASIC_STATS;
  t.Row("all of the basic fields", "1", (got.mask & kBasic) == kBasic);
  t.Row("no attributes of the host's", "0 0", Text(got.attributes, got.attributes_mask));
  auto open = t.Stat(t.OpenFile("f", O_RDONLY));
  t.Row("an open FD's is the same", "1",
        open.ok() && open.body.stat.ino == got.ino && open.body.stat.dev_minor == got.dev_minor);
  t.Row("FDID 0", "EBADF", t.Stat(0));
  t.Row("what is not open", "EBADF", t.Stat(9999));
  t.Row("a FDID of 64 bits", "EBADF", t.Stat(UINT64_MAX));
}

void Everything(Test& t) {
  auto made = t.Create(t.dir(), "f", O_RDWR, 0777);
  if (!t.Need("creating", made.ok())) return;
  Fdid file = made.body.child.control_fd;
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  SetStatReq request{.fd = file,
                     .mask = STATX_MODE | STATX_SIZE | STATX_ATIME | STATX_MTIME | STATX_UID | STATX_GID,
                     .mode = 0760,
                     .uid = 11,
                     .gid = 22,
                     .size = 50,
                     .atime = {now.tv_sec + 1, now.tv_nsec},
                     .mtime = {now.tv_sec, now.tv_nsec}};
  t.Row("all at once", "0", Set(t.Call<Mid::kSetStat>(request)));
  Statx stat = t.Stat(file).body.stat;
  t.Row("mode", "760", Octal(stat.mode));
  t.Row("size", "50", stat.size);
  t.Row("owner", "11 22", Text(stat.uid, stat.gid));
  t.Row("atime", "1", stat.atime.sec == now.tv_sec + 1 && stat.atime.nsec == now.tv_nsec);
  t.Row("mtime", "1", stat.mtime.sec == now.tv_sec && stat.mtime.nsec == now.tv_nsec);
}

void SetRows(Test& t) {
  bool made = t.MakeFile("f", "content") && t.MakeDirectory("d") && t.MakeSymlink("link", "f") &&
              t.MakeNode("fifo", S_IFIFO | 0600) && t.MakeNode("socket", S_IFSOCK | 0600);
  if (!made) return;
  Fdid file = t.Find("f"), directory = t.Find("d"), link = t.Find("link"), fifo = t.Find("fifo");
  Fdid socket = t.Find("socket");
  auto set = [&](SetStatReq request) { return Set(t.Call<Mid::kSetStat>(request)); };
  constexpr int64_t kOmit = 0x3ffffffe, kNow = 0x3fffffff;

  t.Row("nothing", "0", set({.fd = file}));
  t.Row("the number of links", "EPERM", set({.fd = file, .mask = STATX_NLINK}));
  t.Row("the type", "EPERM", set({.fd = file, .mask = STATX_TYPE | STATX_MODE}));
  t.Row("a bit that nobody has", "EPERM", set({.fd = file, .mask = 1u << 31}));
  t.Row("an open FD", "EINVAL", set({.fd = t.OpenFile("f", O_RDONLY), .mask = STATX_MODE}));
  t.Row("what is not open", "EBADF", set({.fd = 9999, .mask = STATX_MODE}));

  t.Row("a directory's size", "200 EISDIR", set({.fd = directory, .mask = STATX_SIZE}));
  t.Row("a FIFO's size", "200 EINVAL", set({.fd = fifo, .mask = STATX_SIZE}));
  t.Row("a size of 2^63", "200 EINVAL", set({.fd = file, .mask = STATX_SIZE, .size = uint64_t{1} << 63}));
  t.Row("a link's size and mode", "202 ELOOP", set({.fd = link, .mask = STATX_SIZE | STATX_MODE}));
  t.Row("a link's mode", "2 EOPNOTSUPP", set({.fd = link, .mask = STATX_MODE, .mode = 0600}));
  t.Row("one fails, the others do not", "200 EISDIR",
        set({.fd = directory, .mask = STATX_SIZE | STATX_MODE, .mode = 0711}));
  t.Row("and was set", "711", Octal(t.Stat(directory).body.stat.mode));

  t.Row("a socket's mode", "0", set({.fd = socket, .mask = STATX_MODE, .mode = 0612}));
  t.Row("the mode of the socket then", "612", Octal(t.Stat(socket).body.stat.mode));
  t.Row("a FIFO's mode", "0", set({.fd = fifo, .mask = STATX_MODE, .mode = 0612}));
  t.Row("a mode with a type", "0", set({.fd = file, .mask = STATX_MODE, .mode = S_IFDIR | 0604}));
  t.Row("the type after that", "file", TypeName(t.Stat(file).body.stat.mode));
  t.Row("sticky and set-id bits", "0", set({.fd = file, .mask = STATX_MODE, .mode = 07755}));
  t.Row("the mode with them", "7755", Octal(t.Stat(file).body.stat.mode));

  t.Row("ids that mean none", "0", set({.fd = file, .mask = STATX_UID | STATX_GID, .uid = kNoId, .gid = kNoId}));
  t.Row("the mode is as it was", "7755", Octal(t.Stat(file).body.stat.mode));
  t.Row("one id alone", "0", set({.fd = file, .mask = STATX_GID, .uid = 7, .gid = 8}));
  t.Row("the ids then", Text(getuid(), 8), Text(t.Stat(file).body.stat.uid, t.Stat(file).body.stat.gid));
  t.Row("a link's owner", "0", set({.fd = link, .mask = STATX_UID | STATX_GID, .uid = 7, .gid = 8}));
  t.Row("the link's owner then", "7 8", Text(t.Stat(link).body.stat.uid, t.Stat(link).body.stat.gid));

  t.Row("a time alone", "0", set({.fd = file, .mask = STATX_MTIME, .mtime = {1000, 5}}));
  t.Row("the time then", "1000 5", Text(t.Stat(file).body.stat.mtime.sec, t.Stat(file).body.stat.mtime.nsec));
  t.Row("a time that is omitted", "0", set({.fd = file, .mask = STATX_MTIME, .mtime = {0, kOmit}}));
  t.Row("the time after that", "1000 5", Text(t.Stat(file).body.stat.mtime.sec, t.Stat(file).body.stat.mtime.nsec));
  t.Row("now", "0", set({.fd = file, .mask = STATX_MTIME, .mtime = {0, kNow}}));
  t.Row("it is", "1", t.Stat(file).body.stat.mtime.sec >= time(nullptr) - 60);
  t.Row("a time without sense", "40 EINVAL", set({.fd = file, .mask = STATX_MTIME, .mtime = {0, 1'000'000'000}}));
  t.Row("a link's time", "0", set({.fd = link, .mask = STATX_MTIME, .mtime = {1000, 5}}));
  t.Row("the link's time then", "1000", t.Stat(link).body.stat.mtime.sec);
  t.Row("a socket's time", "0", set({.fd = socket, .mask = STATX_MTIME, .mtime = {1000, 5}}));
  t.Row("a FIFO's time", "0", set({.fd = fifo, .mask = STATX_MTIME, .mtime = {1000, 5}}));
}

void StatFileSystem(Test& t) {
  if (!t.MakeFile("f")) return;
  struct statfs host = {};
  if (!t.Need("the host's statfs", statfs(t.Host().c_str(), &host) == 0)) return;
  auto got = t.Call<Mid::kFStatFS>({t.dir()});
  t.Row("a directory", "ok", got);
  t.Row("type and block size", Text(host.f_type, host.f_bsize), Text(got.body.type, got.body.block_size));
  t.Row("blocks and files", Text(host.f_blocks, host.f_files), Text(got.body.blocks, got.body.files));
  t.Row("the longest name", Text(host.f_namelen), got.body.name_length);
  t.Row("a file", "ok", t.Call<Mid::kFStatFS>({t.Find("f")}));
  t.Row("an open FD", "EINVAL", t.Call<Mid::kFStatFS>({t.OpenFile("f", O_RDONLY)}));
  t.Row("what is not open", "EBADF", t.Call<Mid::kFStatFS>({9999}));
}

void ReadLink(Test& t) {
  std::string far(4000, 'x');
  if (!t.MakeFile("f") || !t.MakeSymlink("link", "/tmp/some/path") || !t.MakeSymlink("far", far)) return;
  auto target = [&](Fdid fd) {
    auto reply = t.Call<Mid::kReadLinkAt>({fd});
    return reply.ok() ? std::string(reply.body.value) : reply.ToString();
  };
  t.Row("a link", "/tmp/some/path", target(t.Find("link")));
  t.Row("a long one", far, target(t.Find("far")));
  t.Row("a file", "EINVAL", target(t.Find("f")));
  t.Row("a directory", "EINVAL", target(t.dir()));
  t.Row("an open FD", "EINVAL", target(t.OpenFile("f", O_RDONLY)));
  t.Row("what is not open", "EBADF", target(9999));
}

}  // namespace

void AddAttributeCases(std::vector<Case>& cases) {
  using enum Case::On;
  cases.push_back({"Attributes.Stat", Stat});
  cases.push_back({"Attributes.Everything", Everything, kWritable});
  cases.push_back({"Attributes.Set", SetRows, kWritable});
  cases.push_back({"Attributes.FileSystem", StatFileSystem});
  cases.push_back({"Attributes.ReadLink", ReadLink});
}

}  // namespace lisafs::conformance
