#include <fcntl.h>

#include <string>

#include "tests/conformance/suite.h"

// A read-only connection: what changes anything is refused before anything else is looked at.

namespace lisafs::conformance {
namespace {

void Refused(Test& t) {
  for (Mid mid : {Mid::kSetStat, Mid::kOpenCreateAt, Mid::kPWrite, Mid::kMkdirAt, Mid::kMknodAt, Mid::kSymlinkAt,
                  Mid::kLinkAt, Mid::kFAllocate, Mid::kUnlinkAt, Mid::kRenameAt, Mid::kRenameAt2, Mid::kFSetXattr,
                  Mid::kFRemoveXattr, Mid::kBindAt}) {
    std::string name(MessageName(mid));
    t.Row(name + " without a payload", t.peer().Supports(mid) ? "EROFS" : "EOPNOTSUPP", t.Exchange(mid, {}));
  }
  t.Row("OpenCreateAt", "EROFS", t.Create(t.dir(), "x"));
  t.Row("MkdirAt", "EROFS", t.Mkdir(t.dir(), "x"));
  t.Row("MkdirAt of a bad name", "EROFS", t.Mkdir(t.dir(), ".."));
  t.Row("UnlinkAt in what is not open", "EROFS", t.Unlink(9999, "x"));
  t.Row("SetStat of nothing", "EROFS", t.Call<Mid::kSetStat>({.fd = t.dir()}));
}

void Opening(Test& t) {
  if (!t.MakeFile("f", "content")) return;
  Fdid file = t.Find("f");
  t.Row("for writing", "EROFS", t.Open(file, O_WRONLY));
  t.Row("for both", "EROFS", t.Open(file, O_RDWR));
  t.Row("truncated", "EROFS", t.Open(file, O_RDONLY | O_TRUNC));
  t.Row("for both, not open", "EROFS", t.Open(9999, O_RDWR));
  auto opened = t.Open(file, O_RDONLY | O_APPEND);
  t.Row("with a flag that means nothing here", "ok", opened);
  int flags = opened.answer.donated.empty() ? O_RDONLY : fcntl(opened.answer.donated[0].get(), F_GETFL);
  t.Row("what is donated is read-only", "1", (flags & O_ACCMODE) == O_RDONLY);
  t.Row("FSync", "ok", [&] {
    Fdid fds[] = {opened.body.open_fd};
    return t.Call<Mid::kFSync>({FdArray(fds)});
  }());
  t.Row("the content", "content", t.Content("f"));
}

}  // namespace

void AddReadOnlyCases(std::vector<Case>& cases) {
  using enum Case::On;
  cases.push_back({"ReadOnly.Refused", Refused, kReadOnly});
  cases.push_back({"ReadOnly.Opening", Opening, kReadOnly});
}

}  // namespace lisafs::conformance
