#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <string>

#include "tests/conformance/suite.h"

// The extended attributes.

namespace lisafs::conformance {
namespace {

std::string Value(const Reply<Mid::kFGetXattr>& reply) {
  return reply.ok() ? "\"" + std::string(reply.body.value) + "\"" : reply.ToString();
}

std::string Listed(const Reply<Mid::kFListXattr>& reply) {
  if (!reply.ok()) return reply.ToString();
  std::vector<std::string> names;
  for (std::string_view name : reply.body.names) {
    if (name.starts_with("user.")) names.emplace_back(name);
  }
  std::ranges::sort(names);
  std::string text = "names";
  for (const std::string& name : names) text += " " + name;
  return text;
}

bool SetOnHost(Test& t, std::string_view file, const char* name, std::string_view value) {
  return t.Need("the host's attribute", setxattr(t.Host(file).c_str(), name, value.data(), value.size(), 0) == 0);
}

void Reading(Test& t) {
  if (!t.MakeFile("f") || !t.MakeFile("bare") || !t.MakeSymlink("link", "f")) return;
  if (!SetOnHost(t, "f", "user.a", "val") || !SetOnHost(t, "f", "user.b", "")) return;
  Fdid file = t.Find("f");
  auto get = [&](Fdid fd, std::string_view name, uint32_t size = 0) {
    return Value(t.Call<Mid::kFGetXattr>({.fd = fd, .size = size, .name = name}));
  };
  t.Row("whatever its size", "\"val\"", get(file, "user.a"));
  t.Row("too little room", "ERANGE", get(file, "user.a", 1));
  t.Row("just enough room", "\"val\"", get(file, "user.a", 3));
  t.Row("room of 2^31", "\"val\"", get(file, "user.a", 1u << 31));
  t.Row("room of 2^32 - 1", "\"val\"", get(file, "user.a", UINT32_MAX));
  t.Row("empty", "\"\"", get(file, "user.b"));
  t.Row("missing", "ENODATA", get(file, "user.missing"));
  t.Row("no name", "ERANGE|EOPNOTSUPP|EINVAL", get(file, ""));
  t.Row("a NUL in the name", "EINVAL|EOPNOTSUPP", get(file, std::string_view("user.a\0", 7)));
  t.Row("a name without a namespace", "EOPNOTSUPP", get(file, "a"));
  t.Row("the host's own namespace", "EOPNOTSUPP", get(file, "trusted.a"));
  t.Row("an open FD", "EINVAL", get(t.OpenFile("f", O_RDONLY), "user.a"));
  t.Row("what is not open", "EBADF", get(9999, "user.a"));
  // Not those of what the link leads to.
  t.Row("a link", "ENODATA|EPERM", get(t.Find("link"), "user.a"));

  auto list = [&](Fdid fd, uint64_t size = 0) { return Listed(t.Call<Mid::kFListXattr>({.fd = fd, .size = size})); };
  t.Row("a list", "names user.a user.b", list(file));
  t.Row("a list with too little room", "ERANGE", list(file, 1));
  t.Row("a list with room of 2^64 - 1", "names user.a user.b", list(file, UINT64_MAX));
  t.Row("an empty list", "names", list(t.Find("bare")));
  t.Row("a list of an open FD", "EINVAL", list(t.OpenFile("f", O_RDONLY)));
}

void Writing(Test& t) {
  if (!t.MakeFile("f") || !t.MakeDirectory("d")) return;
  Fdid file = t.Find("f");
  auto set = [&](Fdid fd, std::string_view name, std::string_view value, uint32_t flags = 0) {
    return t.Call<Mid::kFSetXattr>({.fd = fd, .flags = flags, .name = name, .value = value});
  };
  auto remove = [&](Fdid fd, std::string_view name) { return t.Call<Mid::kFRemoveXattr>({.fd = fd, .name = name}); };
  auto get = [&](Fdid fd, std::string_view name) { return Value(t.Call<Mid::kFGetXattr>({.fd = fd, .name = name})); };
  t.Row("replacing what is missing", "ENODATA", set(file, "user.a", "v", XATTR_REPLACE));
  t.Row("creating", "ok", set(file, "user.a", "v", XATTR_CREATE));
  t.Row("creating again", "EEXIST", set(file, "user.a", "w", XATTR_CREATE));
  t.Row("setting", "ok", set(file, "user.a", "other"));
  t.Row("what is there", "\"other\"", get(file, "user.a"));
  t.Row("nothing", "ok", set(file, "user.a", ""));
  t.Row("which is there", "\"\"", get(file, "user.a"));
  t.Row("a directory's", "ok", set(t.Find("d"), "user.d", "v"));
  t.Row("flags that nobody has", "EINVAL", set(file, "user.a", "v", 1u << 10));
  t.Row("the host's own namespace", "EOPNOTSUPP", set(file, "trusted.a", "v"));
  t.Row("an open FD", "EINVAL", set(t.OpenFile("f", O_RDONLY), "user.a", "v"));
  t.Row("removing", "ok", remove(file, "user.a"));
  t.Row("removing again", "ENODATA", remove(file, "user.a"));
  t.Row("removing from what is not open", "EBADF", remove(9999, "user.a"));
  if (!SetOnHost(t, "f", "trusted.b", "v")) return;
  t.Row("removing the host's own", "EOPNOTSUPP", remove(file, "trusted.b"));
}

// Files that cannot be opened have attributes too.
void SpecialFiles(Test& t) {
  if (!t.MakeSymlink("link", "nowhere") || !t.MakeNode("socket", S_IFSOCK | 0600)) return;
  auto get = [&](std::string_view file, std::string_view name) {
    return Value(t.Call<Mid::kFGetXattr>({.fd = t.Find(file), .name = name}));
  };
  t.Row("a link", "ENODATA", get("link", "security.none"));
  t.Row("a socket", "ENODATA", get("socket", "security.none"));
}

}  // namespace

void AddXattrCases(std::vector<Case>& cases) {
  using enum Case::On;
  cases.push_back({"Xattr.Reading", Reading});
  cases.push_back({"Xattr.Writing", Writing, kWritable});
  cases.push_back({"Xattr.SpecialFiles", SpecialFiles});
}

}  // namespace lisafs::conformance
