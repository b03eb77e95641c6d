#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>

#include "tests/conformance/suite.h"

// Getdents64.

namespace lisafs::conformance {
namespace {

struct Entry {
  Dirent dirent;  // Its name aside.
  std::string name;
};

Reply<Mid::kGetdents64> List(Test& t, Fdid fd, int32_t count) {
  return t.Call<Mid::kGetdents64>({.fd = fd, .count = count});
}

// Nothing if the entries are not what the count says.
std::optional<std::vector<Entry>> Entries(const Reply<Mid::kGetdents64>& reply) {
  std::vector<Entry> entries;
  Reader reader(reply.body.dirents.bytes);
  for (uint16_t i = 0; i < reply.body.count; ++i) {
    Dirent dirent;
    std::apply([&](auto&... field) { (reader.Read(field), ...); }, dirent.Tie());
    if (!reader.ok()) return std::nullopt;
    entries.push_back({dirent, std::string(dirent.name)});
  }
  return entries;
}

std::string Count(const Reply<Mid::kGetdents64>& reply) {
  if (!reply.ok()) return reply.ToString();
  auto entries = Entries(reply);
  return entries ? Text(entries->size()) : "broken";
}

struct Listing {
  std::vector<Entry> entries;
  std::string end = "ok";  // What ended it before the end of the directory.
};

// Everything from the FD's position on, in pieces of `budget`.
Listing ListAll(Test& t, Fdid fd, int32_t budget) {
  Listing all;
  for (;;) {
    auto reply = List(t, fd, budget);
    auto entries = Entries(reply);
    if (!reply.ok() || !entries) {
      all.end = reply.ok() ? "broken" : reply.ToString();
      return all;
    }
    if (entries->empty()) return all;
    all.entries.insert(all.entries.end(), entries->begin(), entries->end());
    budget = std::abs(budget);
  }
}

// gVisor's own test: a small budget makes progress all the same, past "." and "..".
void SmallBudget(Test& t) {
  std::map<std::string, ino_t> wanted;
  for (int i = 0; i < 10; ++i) {
    std::string name = "file" + std::to_string(i);
    struct stat stat;
    if (!t.MakeFile(name) || lstat(t.Host(name).c_str(), &stat) != 0) return;
    wanted[name] = stat.st_ino;
  }
  struct stat directory;
  if (!t.Need("the host's stat", lstat(t.Host().c_str(), &directory) == 0)) return;
  auto open = t.Open(t.dir(), O_RDONLY);
  if (!t.Need("opening", open.ok())) return;
  std::map<std::string, ino_t> got;
  bool right = true;
  for (const Entry& entry : ListAll(t, open.body.open_fd, 40).entries) {
    got[entry.name] = entry.dirent.ino;
    right = right && entry.dirent.type == DT_REG &&
            makedev(entry.dirent.dev_major, entry.dirent.dev_minor) == directory.st_dev;
  }
  t.Row("names and inodes", "1", got == wanted);
  t.Row("types and devices", "1", right);
}

void Budgets(Test& t) {
  for (int i = 0; i < 300; ++i) {
    if (!t.MakeFile(Text("entry") + std::to_string(i))) return;
  }
  auto open = t.Open(t.dir(), O_RDONLY);
  if (!t.Need("opening", open.ok())) return;
  Fdid fd = open.body.open_fd;
  t.Row("no budget", "0", Count(List(t, fd, 0)));
  t.Row("from the start", "300", ListAll(t, fd, -65536).entries.size());
  t.Row("at the end", "0", Count(List(t, fd, 65536)));
  t.Row("from the start again", "300", ListAll(t, fd, -4096).entries.size());
  t.Row("with a large budget", "300", Count(List(t, fd, -(1 << 30))));
  t.Row("with the largest", "300", Count(List(t, fd, INT32_MIN)));
  List(t, fd, -512);
  size_t rest = ListAll(t, fd, 65536).entries.size();
  t.Row("on from where it was", "1", rest < 300 && rest > 200);
}

void Types(Test& t) {
  bool made = t.MakeFile("f") && t.MakeDirectory("d") && t.MakeSymlink("l", "f") && t.MakeNode("p", S_IFIFO | 0600) &&
              t.MakeNode("s", S_IFSOCK | 0600);
  if (!made) return;
  auto open = t.Open(t.dir(), O_RDONLY);
  if (!t.Need("opening", open.ok())) return;
  std::map<std::string, int> types;
  for (const Entry& entry : ListAll(t, open.body.open_fd, -65536).entries) types[entry.name] = entry.dirent.type;
  std::string text;
  for (const auto& [name, type] : types) text += name + ":" + std::to_string(type) + " ";
  t.Row("names and types", "d:4 f:8 l:10 p:1 s:12 ", text);
}

void Refused(Test& t) {
  if (!t.MakeFile("f")) return;
  t.Row("a control FD", "EINVAL", Count(List(t, t.dir(), 4096)));
  t.Row("a file", "ENOTDIR", Count(List(t, t.OpenFile("f", O_RDONLY), 4096)));
  t.Row("what is not open", "EBADF", Count(List(t, 9999, 4096)));
}

// No entries would mean the end of the directory.
void TooSmall(Test& t) {
  if (!t.MakeDirectory("d") || !t.MakeFile("d/" + std::string(201, 'n'))) return;
  Fdid fd = t.OpenFile("d", O_RDONLY);
  t.Row("a budget that no entry fits in", "EINVAL", Count(List(t, fd, -223)));
  t.Row("one that it just fits in", "1", Count(List(t, fd, -224)));
}

// More entries than one message can hold: none is lost.
void Many(Test& t) {
  if (!t.MakeDirectory("d")) return;
  // Some 250 bytes each on the wire.
  const size_t count = t.peer().max_message() / 250 + 500;
  for (size_t i = 0; i < count; ++i) {
    std::string name = std::to_string(i);
    name.insert(0, 224 - name.size(), 'n');
    int fd = open(t.Host("d/" + name).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (!t.Need("making a file", fd >= 0)) return;
    close(fd);
  }
  Listing all = ListAll(t, t.OpenFile("d", O_RDONLY), -(1 << 30));
  std::vector<std::string> names;
  for (const Entry& entry : all.entries) names.push_back(entry.name);
  std::ranges::sort(names);
  size_t different = static_cast<size_t>(std::unique(names.begin(), names.end()) - names.begin());
  t.Row("every request", "ok", all.end);
  t.Row("all of them, once", "1", names.size() == count && different == count);
}

}  // namespace

void AddDirectoryCases(std::vector<Case>& cases) {
  cases.push_back({"Directory.SmallBudget", SmallBudget});
  cases.push_back({"Directory.Budgets", Budgets});
  cases.push_back({"Directory.Types", Types});
  cases.push_back({"Directory.Refused", Refused});
  cases.push_back({"Directory.TooSmall", TooSmall});
  cases.push_back({"Directory.Many", Many});
}

}  // namespace lisafs::conformance
