#include <sys/stat.h>

#include <set>
#include <string>
#include <type_traits>

#include "tests/conformance/suite.h"

// What every message has in common, tried on every message: payloads too short, payloads too long, numbers that are not
// announced.

namespace lisafs::conformance {
namespace {

const std::set<Mid>& Writes() {
  static const std::set<Mid> writes = {
      Mid::kSetStat,      Mid::kOpenCreateAt, Mid::kPWrite,     Mid::kMkdirAt,       Mid::kMknodAt,    Mid::kSymlinkAt,
      Mid::kLinkAt,       Mid::kFAllocate,    Mid::kUnlinkAt,   Mid::kRenameAt,      Mid::kRenameAt2,  Mid::kFSetXattr,
      Mid::kFRemoveXattr, Mid::kBindAt,       Mid::kMakeNodeAt, Mid::kCopyFileRange, Mid::kOpenUnnamed};
  return writes;
}

// Every prefix of a request with nothing in it.
template <Mid kMid>
void TruncatedMessage(Test& t) {
  using Request = typename Message<kMid>::Request;
  if constexpr (!std::is_same_v<Request, Empty>) {
    std::string wanted = !t.peer().Supports(kMid)                           ? "EOPNOTSUPP"
                         : t.serving().read_only && Writes().contains(kMid) ? "EROFS"
                                                                            : "EIO";
    Bytes whole = Encoded(Request{});
    std::string got;
    for (size_t n = 0; n < whole.size() && (n == 0 || got == wanted); ++n) {
      got = t.Exchange(kMid, std::span(whole).first(n)).ToString();
      if (got != wanted) got += Text(" for", n, "bytes");
    }
    t.Row(std::string(MessageName(kMid)), wanted, got);
  }
}

void Truncated(Test& t) {
#define X(number, name, request, response, fds, purpose) TruncatedMessage<Mid::k##name>(t);
  LISAFS_MESSAGES(X)
#undef X
}

// Counts and lengths that announce more than comes.
void LyingLengths(Test& t) {
  auto fd = [&](std::string_view rest) { return Joined(Encoded(FdReq{t.dir()}), rest); };
  using namespace std::string_view_literals;
  t.Row("Walk: more names", "EIO", t.Exchange(Mid::kWalk, fd("\x02\x00\x01\x00x"sv)));
  t.Row("Walk: a longer name", "EIO", t.Exchange(Mid::kWalk, fd("\x01\x00\x02\x00x"sv)));
  t.Row("Walk: a name of 65535", "EIO", t.Exchange(Mid::kWalk, fd("\x01\x00\xff\xffx"sv)));
  t.Row("WalkStat: more names", "EIO", t.Exchange(Mid::kWalkStat, fd("\xff\xff\x00\x00"sv)));
  t.Row("Close: more FDIDs", "EIO", t.Exchange(Mid::kClose, Joined({}, "\x02\x00\x01\x00\x00\x00\x00\x00\x00\x00"sv)));
  t.Row("FSync: more FDIDs", "EIO", t.Exchange(Mid::kFSync, Joined({}, "\xff\xff"sv)));
}

void Trailing(Test& t) {
  if (!t.MakeFile("f", "content")) return;
  Fdid file = t.Find("f"), open = t.OpenFile("f", O_RDONLY);
  const std::string tail(100, '\xee');
  std::string_view name = "f";
  Fdid none[] = {9999};
  t.Row("Mount", "ok", t.Exchange(Mid::kMount, Joined({}, "abc")));
  t.Row("FStat", "ok", t.Exchange(Mid::kFStat, Joined(Encoded(FdReq{file}), tail)));
  t.Row("Walk", "ok", t.Exchange(Mid::kWalk, Joined(Encoded(WalkReq{t.dir(), StringArray({&name, 1})}), tail)));
  t.Row("OpenAt", "ok", t.Exchange(Mid::kOpenAt, Joined(Encoded(OpenAtReq{.fd = file}), tail)));
  t.Row("Close", "ok", t.Exchange(Mid::kClose, Joined(Encoded(FdsReq{FdArray(none)}), tail)));
  t.Row("PRead", "ok", t.Exchange(Mid::kPRead, Joined(Encoded(PReadReq{.fd = open, .count = 3}), tail)));
  t.Row("FGetXattr", "ENODATA",
        t.Exchange(Mid::kFGetXattr, Joined(Encoded(FGetXattrReq{.fd = file, .name = "user.a"}), tail)));
}

// Padding is sent as zero and ignored on receipt.
void Padding(Test& t) {
  if (!t.MakeFile("f", "content")) return;
  Bytes open = Encoded(OpenAtReq{.fd = t.Find("f")});
  std::fill(open.begin() + 12, open.end(), std::byte{0xff});
  t.Row("OpenAt", "ok", t.Exchange(Mid::kOpenAt, open));
  Bytes read = Encoded(PReadReq{.fd = t.OpenFile("f", O_RDONLY), .count = 3});
  std::fill(read.begin() + 20, read.end(), std::byte{0xff});
  t.Row("PRead", "ok", t.Exchange(Mid::kPRead, read));
}

void Unannounced(Test& t) {
  std::set<std::string> outcomes;
  auto attempt = [&](uint16_t mid) {
    if (!t.peer().Supports(mid)) outcomes.insert(t.lane().Exchange(mid, {}).ToString());
  };
  for (uint16_t mid = 0; mid < 1024; ++mid) attempt(mid);
  attempt(0x8000);
  attempt(0xffff);
  std::string all;
  for (const std::string& outcome : outcomes) all += (all.empty() ? "" : " ") + outcome;
  t.Row("whatever is not announced", "EOPNOTSUPP", all);
  t.Row("the next request", "ok", t.Stat(t.dir()));
}

void Sizes(Test& t) {
  const uint32_t max = t.peer().max_message();
  Bytes payload = Encoded(FdReq{t.dir()});
  payload.resize(max);
  t.Row("as long as allowed", "ok", t.Exchange(Mid::kFStat, payload));
  payload.resize(max + 1);
  t.Row("one byte more", "EIO", t.Exchange(Mid::kFStat, payload));
  t.Row("the next request", "ok", t.Stat(t.dir()));
}

}  // namespace

void AddEncodingCases(std::vector<Case>& cases) {
  cases.push_back({"Encoding.Truncated", Truncated});
  cases.push_back({"Encoding.LyingLengths", LyingLengths});
  cases.push_back({"Encoding.Trailing", Trailing});
  cases.push_back({"Encoding.Padding", Padding});
  cases.push_back({"Encoding.Unannounced", Unannounced});
  cases.push_back({"Encoding.Sizes", Sizes});
}

}  // namespace lisafs::conformance
