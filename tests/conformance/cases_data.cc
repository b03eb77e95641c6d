#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <string>

#include "tests/conformance/suite.h"

// PRead, PWrite, FSync, FAllocate.

namespace lisafs::conformance {
namespace {

std::string Read(const Reply<Mid::kPRead>& reply) {
  if (!reply.ok()) return reply.ToString();
  // What is announced is there.
  if (reply.body.count > reply.body.data.bytes.size()) return "broken";
  return Text(reply.body.count);
}

std::string Written(const Answer& answer) {
  PWriteResp response;
  return answer.ok() && Decode(answer.payload, response) ? Text(response.count) : answer.ToString();
}

void Reading(Test& t) {
  if (!t.MakeFile("f", "content") || !t.MakeDirectory("d")) return;
  uint32_t most = t.peer().max_message() - 8;
  Fdid file = t.OpenFile("f", O_RDONLY);
  t.Row("all of it", "7", Read(t.PRead(file, 0, 100)));
  t.Row("some of it", "3", Read(t.PRead(file, 2, 3)));
  t.Row("past the end", "0", Read(t.PRead(file, 100, 10)));
  t.Row("nothing", "0", Read(t.PRead(file, 0, 0)));
  t.Row("as much as fits", "7", Read(t.PRead(file, 0, most)));
  t.Row("one more", "ENOBUFS", Read(t.PRead(file, 0, most + 1)));
  t.Row("2^32 - 1 bytes", "ENOBUFS", Read(t.PRead(file, 0, UINT32_MAX)));
  t.Row("at 2^63", "EINVAL", Read(t.PRead(file, uint64_t{1} << 63, 10)));
  t.Row("at 2^63 - 1", "0|EINVAL", Read(t.PRead(file, INT64_MAX, 10)));
  t.Row("a control FD", "EINVAL", Read(t.PRead(t.Find("f"), 0, 10)));
  t.Row("a directory", "EISDIR", Read(t.PRead(t.OpenFile("d", O_RDONLY), 0, 10)));
  t.Row("what is not open", "EBADF", Read(t.PRead(9999, 0, 10)));
  auto read = t.PRead(file, 2, 3);
  std::string_view bytes(reinterpret_cast<const char*>(read.body.data.bytes.data()),
                         std::min<size_t>(read.body.data.bytes.size(), 3));
  t.Row("the bytes", "nte", Text(bytes));
}

void Writing(Test& t) {
  if (!t.MakeFile("f", "content")) return;
  Fdid file = t.OpenFile("f", O_RDWR);
  t.Row("at the start", "3", Written(t.PWrite(file, 0, 3, "CON")));
  t.Row("past the end", "1", Written(t.PWrite(file, 9, 1, "!")));
  t.Row("fewer than the bytes that come", "2", Written(t.PWrite(file, 3, 2, "TENT")));
  t.Row("more than the bytes that come", "EIO", Written(t.PWrite(file, 0, 5, "1234")));
  t.Row("2^32 - 1 bytes", "EIO", Written(t.PWrite(file, 0, UINT32_MAX, "1234")));
  t.Row("nothing", "0", Written(t.PWrite(file, 0, 0, "")));
  t.Row("at 2^63", "EINVAL", Written(t.PWrite(file, uint64_t{1} << 63, 1, "x")));
  t.Row("to a read-only FD", "EBADF", Written(t.PWrite(t.OpenFile("f", O_RDONLY), 0, 1, "x")));
  t.Row("to a control FD", "EINVAL", Written(t.PWrite(t.Find("f"), 0, 1, "x")));
  t.Row("to what is not open", "EBADF", Written(t.PWrite(9999, 0, 1, "x")));
  t.Row("reading from a write-only FD", "EBADF", Read(t.PRead(t.OpenFile("f", O_WRONLY), 0, 1)));
  std::string content = t.Content("f");
  std::ranges::replace(content, '\0', '0');
  t.Row("the file after that", "CONTEnt00!", content);
}

// gVisor's own test: 2 MiB in two messages each way, and the same through the donated descriptor.
void RegularFile(Test& t) {
  auto made = t.Create(t.dir(), "tempFile", O_RDWR, 0777);
  if (!t.Need("creating", made.ok())) return;
  t.Row("a descriptor comes with it", "1", made.answer.donated.size());
  Fdid file = made.body.open_fd;
  std::string data(2 << 20, '\0');
  std::mt19937 random(4711);
  for (char& c : data) c = static_cast<char>(random());

  size_t at = 0;
  while (at < data.size()) {
    size_t n = std::min<size_t>(data.size() - at, t.peer().max_message() - kPWriteHeaderSize);
    std::string written = Written(t.PWrite(file, at, static_cast<uint32_t>(n), std::string_view(data).substr(at, n)));
    if (!t.Need("writing a chunk", written == Text(n))) return;
    at += n;
  }
  auto read_from = [&](size_t from) {
    std::string got;
    while (from + got.size() < data.size()) {
      size_t n = std::min<size_t>(data.size() - from - got.size(), t.peer().max_message() - kPReadRespHeaderSize);
      auto read = t.PRead(file, from + got.size(), static_cast<uint32_t>(n));
      if (!read.ok() || read.body.count == 0) break;
      got.append(reinterpret_cast<const char*>(read.body.data.bytes.data()), read.body.count);
    }
    return got == data.substr(from);
  };
  t.Row("read back", "1", read_from(0));
  t.Row("read from 50", "1", read_from(50));
  if (!made.answer.donated.empty()) {
    std::string direct(data.size(), '\0');
    ssize_t n = pread(made.answer.donated[0].get(), direct.data(), direct.size(), 0);
    t.Row("through the descriptor", "1", n == static_cast<ssize_t>(data.size()) && direct == data);
  }
  Fdid fds[] = {file};
  t.Row("FSync", "ok", t.Call<Mid::kFSync>({FdArray(fds)}));
}

void Sync(Test& t) {
  if (!t.MakeFile("f", "content")) return;
  Fdid open = t.OpenFile("f", O_RDONLY), control = t.Find("f");
  auto sync = [&](std::initializer_list<Fdid> fds) {
    return t.Call<Mid::kFSync>({FdArray(std::span(fds.begin(), fds.size()))});
  };
  t.Row("nothing", "ok", sync({}));
  t.Row("an open FD", "ok", sync({open}));
  t.Row("a control FD", "EINVAL", sync({control}));
  t.Row("what is not open, then an open FD", "EBADF", sync({9999, open}));
  t.Row("the first error counts", "EINVAL", sync({open, control, 9999}));
}

void Allocate(Test& t) {
  auto made = t.Create(t.dir(), "f", O_RDWR);
  if (!t.Need("creating", made.ok())) return;
  auto allocate = [&](Fdid fd, uint64_t mode, uint64_t offset, uint64_t length) {
    return t.Call<Mid::kFAllocate>({.fd = fd, .mode = mode, .offset = offset, .length = length});
  };
  auto size = [&] { return t.Stat(made.body.open_fd).body.stat.size; };
  t.Row("40 bytes", "ok", allocate(made.body.open_fd, 0, 0, 40));
  t.Row("the size then", "40", size());
  t.Row("100 more at 20", "ok", allocate(made.body.open_fd, 0, 20, 100));
  t.Row("the size after that", "120", size());
  t.Row("no bytes", "EINVAL", allocate(made.body.open_fd, 0, 0, 0));
  t.Row("at 2^63", "EINVAL", allocate(made.body.open_fd, 0, uint64_t{1} << 63, 1));
  t.Row("up to 2^64", "EINVAL", allocate(made.body.open_fd, 0, 0, UINT64_MAX));
  t.Row("keeping the size", "ok|EOPNOTSUPP", allocate(made.body.open_fd, FALLOC_FL_KEEP_SIZE, 0, 4096));
  t.Row("a mode that nobody has", "EOPNOTSUPP", allocate(made.body.open_fd, uint64_t{1} << 20, 0, 40));
  t.Row("a mode of 64 bits", "EOPNOTSUPP", allocate(made.body.open_fd, uint64_t{1} << 40, 0, 40));
  t.Row("a read-only FD", "EBADF", allocate(t.OpenFile("f", O_RDONLY), 0, 0, 40));
  t.Row("a control FD", "EINVAL", allocate(t.Find("f"), 0, 0, 40));
}

}  // namespace

void AddDataCases(std::vector<Case>& cases) {
  using enum Case::On;
  cases.push_back({"Data.Reading", Reading});
  cases.push_back({"Data.Writing", Writing, kWritable});
  cases.push_back({"Data.RegularFile", RegularFile, kWritable});
  cases.push_back({"Data.Sync", Sync});
  cases.push_back({"Data.Allocate", Allocate, kWritable});
}

}  // namespace lisafs::conformance
