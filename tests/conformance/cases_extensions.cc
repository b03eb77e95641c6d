#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <optional>
#include <string>

#include "tests/conformance/suite.h"

// lisafs's own messages, from 257 on; SleepFlags, which concerns a channel, is with the channels.

namespace lisafs::conformance {
namespace {

template <Mid kMid>
std::string Made(const Reply<kMid>& reply) {
  return reply.ok() ? TypeName(reply.body.child.stat.mode) : reply.ToString();
}

void MakeNode(Test& t) {
  if (!t.MakeFile("there")) return;
  auto make = [&](Fdid dir, std::string_view name, uint16_t mode, uint32_t major = 0, uint32_t minor = 0) {
    CreateCommon common{.dir_fd = dir, .uid = 12, .gid = 34, .mode = mode};
    return t.Call<Mid::kMakeNodeAt>({.common = common, .minor = minor, .major = major, .name = name});
  };
  auto fifo = make(t.dir(), "fifo", S_IFIFO | 0620);
  t.Row("a FIFO", "fifo", Made(fifo));
  t.Row("its owner and mode", "12 34 620",
        Text(fifo.body.child.stat.uid, fifo.body.child.stat.gid, Octal(fifo.body.child.stat.mode)));
  t.Row("FStat agrees", "fifo", TypeName(t.Stat(fifo.body.child.control_fd).body.stat.mode));
  t.Row("a socket", "socket", Made(make(t.dir(), "socket", S_IFSOCK | 0600)));
  t.Row("a file", "file", Made(make(t.dir(), "file", S_IFREG | 0600)));
  t.Row("a whiteout", "char", Made(make(t.dir(), "whiteout", S_IFCHR)));
  t.Row("set-id bits", "6755", Octal(make(t.dir(), "set-id", S_IFREG | 06755).body.child.stat.mode));
  t.Row("no type", "EPERM", Made(make(t.dir(), "x", 0600)));
  t.Row("a directory", "EPERM", Made(make(t.dir(), "x", S_IFDIR | 0700)));
  t.Row("a character device", "EPERM", Made(make(t.dir(), "x", S_IFCHR | 0600, 1, 3)));
  t.Row("a block device", "EPERM", Made(make(t.dir(), "x", S_IFBLK | 0600, 0, 0)));
  t.Row("a device of 2^32 - 1", "EPERM", Made(make(t.dir(), "x", S_IFCHR | 0600, UINT32_MAX, UINT32_MAX)));
  t.Row("nothing is left of what was refused", "0", access(t.Host("x").c_str(), F_OK) == 0);
  t.Row("a name that exists", "EEXIST", Made(make(t.dir(), "there", S_IFIFO | 0600)));
  t.Row("no name", "EINVAL", Made(make(t.dir(), "", S_IFIFO | 0600)));
  t.Row("dot dot", "EINVAL", Made(make(t.dir(), "..", S_IFIFO | 0600)));
  t.Row("a slash", "EINVAL", Made(make(t.dir(), "a/b", S_IFIFO | 0600)));
  t.Row("a NUL", "EINVAL", Made(make(t.dir(), std::string_view("a\0b", 3), S_IFIFO | 0600)));
  t.Row("a name too long", "ENAMETOOLONG", Made(make(t.dir(), std::string(256, 'n'), S_IFIFO | 0600)));
  t.Row("in a file", "ENOTDIR", Made(make(t.Find("there"), "x", S_IFIFO | 0600)));
  t.Row("in an open FD", "EINVAL", Made(make(t.OpenFile("there", O_RDONLY), "x", S_IFIFO | 0600)));
  t.Row("in what is not open", "EBADF", Made(make(9999, "x", S_IFIFO | 0600)));
}

using Entries = std::map<std::string, StatDirent>;  // Their names aside.

// Nothing if the entries are not what the count says.
std::optional<Entries> EntriesOf(const Reply<Mid::kListStat>& reply) {
  Entries entries;
  Reader reader(reply.body.dirents.bytes);
  for (uint16_t i = 0; i < reply.body.count; ++i) {
    StatDirent entry;
    std::apply([&](auto&... field) { (reader.Read(field), ...); }, entry.Tie());
    if (!reader.ok()) return std::nullopt;
    entries[std::string(entry.name)] = entry;
  }
  return entries.size() == reply.body.count ? std::optional(entries) : std::nullopt;
}

std::string Count(const Reply<Mid::kListStat>& reply) {
  if (!reply.ok()) return reply.ToString();
  auto entries = EntriesOf(reply);
  return entries ? Text(entries->size()) : "broken";
}

void ListStat(Test& t) {
  bool made = t.MakeDirectory("d") && t.MakeFile("d/f", "content") && t.MakeDirectory("d/d") &&
              t.MakeSymlink("d/link", "nowhere") && t.MakeNode("d/fifo", S_IFIFO | 0600) &&
              t.MakeNode("d/char", S_IFCHR | 0600, 0x103) && t.MakeFile("f") && t.MakeDirectory("empty");
  if (!made) return;
  Fdid fd = t.OpenFile("d", O_RDONLY);
  auto list = [&](Fdid of, uint64_t position, uint32_t size) {
    return t.Call<Mid::kListStat>({.fd = of, .position = position, .size = size});
  };
  auto all = list(fd, 0, 65536);
  t.Row("all of it", "5", Count(all));
  Entries entries = EntriesOf(all).value_or(Entries());
  std::string types;
  bool same = true;
  for (const auto& [name, entry] : entries) {
    types += TypeName(entry.stat.mode) + " ";
    struct stat host;
    same = same && lstat(t.Host("d/" + name).c_str(), &host) == 0 && entry.stat.ino == host.st_ino &&
           entry.stat.size == static_cast<uint64_t>(host.st_size) && entry.stat.nlink == host.st_nlink &&
           entry.stat.mtime.nsec == host.st_mtim.tv_nsec;
  }
  t.Row("their types", "char dir file fifo link ", types);
  t.Row("attributes as the host has them", "1", same);
  t.Row("a second time", "5", Count(list(fd, 0, 65536)));
  // Each entry's position is the one behind it.
  size_t behind = 0;
  for (const auto& [name, entry] : entries) {
    auto rest = EntriesOf(list(fd, entry.off, 65536));
    if (rest && !rest->contains(name)) behind += rest->size();
  }
  t.Row("from behind each entry", Text(4 + 3 + 2 + 1), behind);
  t.Row("room for one", "1", Count(list(fd, 0, kStatDirentSize + 6)));
  t.Row("room for none", "EINVAL", Count(list(fd, 0, kStatDirentSize)));
  t.Row("no room", "0", Count(list(fd, 0, 0)));
  t.Row("the largest room", "5", Count(list(fd, 0, UINT32_MAX)));
  t.Row("no room in an empty directory", "0", Count(list(t.OpenFile("empty", O_RDONLY), 0, 0)));
  t.Row("at 2^63", "EINVAL", Count(list(fd, uint64_t{1} << 63, 65536)));
  t.Row("a file", "ENOTDIR", Count(list(t.OpenFile("f", O_RDONLY), 0, 65536)));
  t.Row("a control FD", "EINVAL", Count(list(t.dir(), 0, 65536)));
  t.Row("what is not open", "EBADF", Count(list(9999, 0, 65536)));
  if (t.serving().read_only || !t.MakeDirectory("gone")) return;
  Fdid gone = t.OpenFile("gone", O_RDONLY);
  t.Row("removing a directory", "ok", t.Unlink(t.dir(), "gone", AT_REMOVEDIR));
  t.Row("which is deleted", "EINVAL", Count(list(gone, 0, 65536)));
}

void Seek(Test& t) {
  // A hole, data, a hole.
  if (!t.MakeFile("f") || !t.MakeDirectory("d")) return;
  Fd host(open(t.Host("f").c_str(), O_RDWR | O_CLOEXEC));
  constexpr off_t kBlock = 1 << 20;
  bool written = pwrite(host.get(), "data", 4, kBlock) == 4 && ftruncate(host.get(), 3 * kBlock) == 0;
  if (!t.Need("a file with holes", written)) return;
  Fdid file = t.OpenFile("f", O_RDONLY);
  auto seek = [&](Fdid fd, uint64_t offset, uint32_t whence) {
    auto reply = t.Call<Mid::kSeek>({.fd = fd, .offset = offset, .whence = whence});
    return reply.ok() ? Text(reply.body.offset) : reply.ToString();
  };
  const std::string data = Text(lseek(host.get(), 0, SEEK_DATA)), hole = Text(lseek(host.get(), kBlock, SEEK_HOLE));
  t.Row("the first data", data, seek(file, 0, SEEK_DATA));
  t.Row("a hole at once", "0", seek(file, 0, SEEK_HOLE));
  t.Row("the hole behind the data", hole, seek(file, kBlock, SEEK_HOLE));
  t.Row("the last byte", Text(3 * kBlock - 1), seek(file, 3 * kBlock - 1, SEEK_HOLE));
  t.Row("data in the last hole", "ENXIO", seek(file, 2 * kBlock, SEEK_DATA));
  t.Row("at the end", "ENXIO", seek(file, 3 * kBlock, SEEK_HOLE));
  t.Row("at 2^63", "ENXIO|EINVAL", seek(file, uint64_t{1} << 63, SEEK_DATA));
  for (uint32_t whence : {SEEK_SET, SEEK_CUR, SEEK_END}) t.Row(Text("whence", whence), "EINVAL", seek(file, 0, whence));
  t.Row("whence of 2^32 - 1", "EINVAL", seek(file, 0, UINT32_MAX));
  t.Row("reading is where it was", "4", t.PRead(file, kBlock, 4).body.count);
  t.Row("a directory", "EINVAL", seek(t.OpenFile("d", O_RDONLY), 0, SEEK_DATA));
  t.Row("a control FD", "EINVAL", seek(t.Find("f"), 0, SEEK_DATA));
  t.Row("what is not open", "EBADF", seek(9999, 0, SEEK_DATA));
}

void CopyFileRange(Test& t) {
  if (!t.MakeFile("from", "0123456789") || !t.MakeFile("to", "abc") || !t.MakeDirectory("d")) return;
  Fdid from = t.OpenFile("from", O_RDONLY), to = t.OpenFile("to", O_RDWR);
  auto copy = [&](Fdid source, uint64_t source_offset, Fdid target, uint64_t target_offset, uint64_t length) {
    auto reply = t.Call<Mid::kCopyFileRange>({.from_fd = source,
                                              .from_offset = source_offset,
                                              .to_fd = target,
                                              .to_offset = target_offset,
                                              .length = length});
    return reply.ok() ? Text(reply.body.count) : reply.ToString();
  };
  t.Row("a part", "4", copy(from, 2, to, 3, 4));
  t.Row("the file then", "abc2345", t.Content("to"));
  t.Row("more than there is", "2", copy(from, 8, to, 0, UINT64_MAX));
  t.Row("the file after that", "89c2345", t.Content("to"));
  t.Row("nothing", "0", copy(from, 0, to, 0, 0));
  t.Row("past the end", "0", copy(from, 100, to, 0, 10));
  t.Row("from 2^63", "EINVAL", copy(from, uint64_t{1} << 63, to, 0, 1));
  t.Row("to 2^63", "EINVAL", copy(from, 0, to, uint64_t{1} << 63, 1));
  t.Row("onto itself, overlapping", "EINVAL", copy(to, 0, to, 2, 4));
  t.Row("within itself", "2", copy(to, 0, to, 5, 2));
  t.Row("the file at last", "89c2389", t.Content("to"));
  t.Row("from a write-only FD", "EBADF", copy(t.OpenFile("from", O_WRONLY), 0, to, 0, 1));
  t.Row("to a read-only FD", "EBADF", copy(from, 0, t.OpenFile("to", O_RDONLY), 0, 1));
  t.Row("from a directory", "EISDIR", copy(t.OpenFile("d", O_RDONLY), 0, to, 0, 1));
  t.Row("from a control FD", "EINVAL", copy(t.Find("from"), 0, to, 0, 1));
  t.Row("to a control FD", "EINVAL", copy(from, 0, t.Find("to"), 0, 1));
  t.Row("from what is not open", "EBADF", copy(9999, 0, to, 0, 1));
  t.Row("to what is not open", "EBADF", copy(from, 0, 9999, 0, 1));
}

void OpenUnnamed(Test& t) {
  if (!t.MakeFile("f")) return;
  auto open = [&](Fdid dir, uint32_t flags, uint16_t mode = 0640) {
    return t.Call<Mid::kOpenUnnamed>({.common = {.dir_fd = dir, .uid = 12, .gid = 34, .mode = mode}, .flags = flags});
  };
  auto made = open(t.dir(), O_RDWR);
  t.Row("a file", "file", Made(made));
  t.Row("its owner, mode and links", "12 34 640 0",
        Text(made.body.child.stat.uid, made.body.child.stat.gid, Octal(made.body.child.stat.mode),
             made.body.child.stat.nlink));
  Fdid control = made.body.child.control_fd, file = made.body.open_fd;
  t.Row("it is in no directory", "0", [&] {
    auto listed = t.Call<Mid::kGetdents64>({.fd = t.Open(t.dir(), O_RDONLY).body.open_fd, .count = -65536});
    return listed.body.count - 1;  // f itself.
  }());
  t.Row("writing", "ok", t.PWrite(file, 0, 7, "content"));
  t.Row("setting its mode", "ok", t.Call<Mid::kSetStat>({.fd = control, .mask = STATX_MODE, .mode = 0600}));
  t.Row("opening it again", "ok", t.Open(control, O_RDONLY));
  auto linked = t.Call<Mid::kLinkAt>({.dir_fd = t.dir(), .target_fd = control, .name = "named"});
  t.Row("giving it a name", "file", Made(linked));
  t.Row("it is the same file", "1", linked.body.child.stat.ino == made.body.child.stat.ino);
  t.Row("what it holds", "content", t.Content("named"));
  t.Row("the unnamed control FD still answers", "600 1",
        Text(Octal(t.Stat(control).body.stat.mode), t.Stat(control).body.stat.nlink));
  t.Row("write-only", "file", Made(open(t.dir(), O_WRONLY)));
  t.Row("set-id bits", "6711", Octal(open(t.dir(), O_RDWR, 06711).body.child.stat.mode));
  t.Row("read-only", "EINVAL", Made(open(t.dir(), O_RDONLY)));
  t.Row("access mode 3", "EINVAL", Made(open(t.dir(), 3)));
  t.Row("in a file", "ENOTDIR", Made(open(t.Find("f"), O_RDWR)));
  t.Row("in an open FD", "EINVAL", Made(open(t.OpenFile("f", O_RDONLY), O_RDWR)));
  t.Row("in what is not open", "EBADF", Made(open(9999, O_RDWR)));
}

void DataSync(Test& t) {
  if (!t.MakeFile("f", "content") || !t.MakeDirectory("d")) return;
  auto sync = [&](Fdid fd) { return t.Call<Mid::kFDataSync>({fd}); };
  t.Row("a file", "ok", sync(t.OpenFile("f", O_RDONLY)));
  t.Row("a directory", "ok", sync(t.OpenFile("d", O_RDONLY)));
  t.Row("a control FD", "EINVAL", sync(t.Find("f")));
  t.Row("what is not open", "EBADF", sync(9999));
  t.Row("FDID 0", "EBADF", sync(0));
}

void ReadOnly(Test& t) {
  for (Mid mid : {Mid::kMakeNodeAt, Mid::kCopyFileRange, Mid::kOpenUnnamed}) {
    t.Row(std::string(MessageName(mid)) + " without a payload", "EROFS", t.Exchange(mid, {}));
  }
}

}  // namespace

void AddExtensionCases(std::vector<Case>& cases) {
  using enum Case::On;
  auto add = [&](Mid needs, Case::Function run, Case::On on = kAny) {
    cases.push_back({.name = "Extensions." + std::string(MessageName(needs)), .run = run, .on = on, .needs = needs});
  };
  add(Mid::kMakeNodeAt, MakeNode, kWritable);
  add(Mid::kListStat, ListStat);
  add(Mid::kSeek, Seek);
  add(Mid::kCopyFileRange, CopyFileRange, kWritable);
  add(Mid::kOpenUnnamed, OpenUnnamed, kWritable);
  add(Mid::kFDataSync, DataSync);
  cases.push_back({.name = "Extensions.ReadOnly", .run = ReadOnly, .on = kReadOnly, .needs = Mid::kMakeNodeAt});
}

}  // namespace lisafs::conformance
