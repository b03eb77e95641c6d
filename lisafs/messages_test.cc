#include "lisafs/messages.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

namespace lisafs {
namespace {

// "0700 0000" with spaces wherever they help.
std::vector<std::byte> Bytes(std::string_view hex) {
  std::vector<std::byte> bytes;
  int digits = 0;
  unsigned value = 0;
  for (char c : hex) {
    if (c == ' ') continue;
    value = value * 16 + static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10);
    if (++digits % 2 == 0) bytes.push_back(static_cast<std::byte>(std::exchange(value, 0)));
  }
  return bytes;
}

template <typename Body>
std::vector<std::byte> Encoded(const Body& body) {
  std::vector<std::byte> buffer(4096);
  Writer writer(buffer);
  Encode(writer, body);
  EXPECT_TRUE(writer.ok());
  buffer.resize(writer.size());
  return buffer;
}

// The bytes are gVisor's: its marshaller made them from these values.
template <typename Body>
void ExpectWire(const Body& body, std::string_view hex) {
  const std::vector<std::byte> bytes = Bytes(hex);
  EXPECT_EQ(Encoded(body), bytes) << hex;
  // What was decoded encodes to the same bytes again, so nothing was lost or moved.
  Body decoded;
  ASSERT_TRUE(Decode(bytes, decoded)) << hex;
  EXPECT_EQ(Encoded(decoded), bytes) << hex;
  // A body that is one byte short is refused, unless that byte is of data that may have any length.
  for (size_t size = 0; size < bytes.size(); ++size) {
    Body truncated;
    bool ok = Decode(std::span(bytes).first(size), truncated);
    if constexpr (
        requires { body.data; } || requires { body.dirents; }) {
      if (ok) continue;
    }
    EXPECT_FALSE(ok) << hex << " cut to " << size;
  }
}

const std::string kStat =
    "ff170000 00100000 0807060504030201 02000000 03000000 04000000 a481 0000"
    "0500000000000000 0600000000000000 0700000000000000 0800000000000000"
    "0900000000000000 0a000000 00000000 0b00000000000000 0c000000 00000000"
    "0d00000000000000 0e000000 00000000 0f00000000000000 10000000 00000000"
    "11000000 12000000 13000000 14000000";
const std::string kInode = "2211000000000000" + kStat;

Statx GoldenStat() {
  return {.mask = 0x17ff,
          .blksize = 0x1000,
          .attributes = 0x0102030405060708,
          .nlink = 2,
          .uid = 3,
          .gid = 4,
          .mode = 0x81a4,
          .ino = 5,
          .size = 6,
          .blocks = 7,
          .attributes_mask = 8,
          .atime = {9, 10},
          .btime = {11, 12},
          .ctime = {13, 14},
          .mtime = {15, 16},
          .rdev_major = 17,
          .rdev_minor = 18,
          .dev_major = 19,
          .dev_minor = 20};
}
Inode GoldenInode() { return {0x1122, GoldenStat()}; }
CreateCommon In(Fdid dir, uint32_t uid, uint32_t gid, uint16_t mode) { return {dir, uid, gid, mode}; }
Rest Data(std::string_view text) { return {std::as_bytes(std::span(text))}; }

TEST(GoldenBytes, MountAndTransport) {
  const uint16_t mids[] = {1, 2, 3};
  ExpectWire(MountResp{GoldenInode(), 2093056, MidArray(mids)}, kInode + "00f01f00 0300 0100 0200 0300");
  ExpectWire(ErrorResp{ENOENT}, "02000000");
  ExpectWire(ChannelResp{0x200000, 0x200000}, "0000200000000000 0000200000000000");
  ExpectWire(Empty{}, "");
  const Fdid fds[] = {3, 4};
  ExpectWire(FdsReq{FdArray(fds)}, "0200 0300000000000000 0400000000000000");
}

TEST(GoldenBytes, Attributes) {
  ExpectWire(FdReq{7}, "0700000000000000");
  ExpectWire(StatResp{GoldenStat()}, kStat);
  ExpectWire(SetStatReq{7, 0x202, 0644, 1, 2, 3, {4, 5}, {6, 7}},
             "0700000000000000 02020000 a4010000 01000000 02000000 0300000000000000"
             "0400000000000000 0500000000000000 0600000000000000 0700000000000000");
  ExpectWire(SetStatResp{2, EPERM}, "02000000 01000000");
  ExpectWire(StatFs{1, 2, 3, 4, 5, 6, 7, 8},
             "0100000000000000 0200000000000000 0300000000000000 0400000000000000"
             "0500000000000000 0600000000000000 0700000000000000 0800000000000000");
}

TEST(GoldenBytes, Walk) {
  const std::string_view names[] = {"a", "bc"}, with_empty[] = {"", "bc"};
  ExpectWire(WalkReq{1, StringArray(names)}, "0100000000000000 0200 0100 61 0200 6263");
  ExpectWire(WalkReq{1, StringArray(with_empty)}, "0100000000000000 0200 0000 0200 6263");
  const Inode inodes[] = {GoldenInode()};
  ExpectWire(WalkResp{WalkStatus::kComponentDoesNotExist, {}}, "01 0000");
  ExpectWire(WalkResp{WalkStatus::kComponentDoesNotExist, PackedArray<Inode>(inodes)}, "01 0100" + kInode);
  const Statx stats[] = {GoldenStat()};
  ExpectWire(WalkStatResp{PackedArray<Statx>(stats)}, "0100" + kStat);
}

TEST(GoldenBytes, OpenReadWrite) {
  ExpectWire(OpenAtReq{7, O_RDWR, {}}, "0700000000000000 02000000 00000000");
  ExpectWire(OpenAtResp{9}, "0900000000000000");
  ExpectWire(OpenCreateAtReq{In(1, 0x10, 0x20, 0644), O_RDWR, "f"},
             "0100000000000000 10000000 20000000 a401 000000000000 02000000 0100 66");
  ExpectWire(OpenCreateAtResp{GoldenInode(), 9}, kInode + "0900000000000000");
  ExpectWire(PReadReq{1, 2, 3, {}}, "0100000000000000 0200000000000000 03000000 00000000");
  ExpectWire(PReadResp{3, Data("abc")}, "0300000000000000 616263");
  ExpectWire(PWriteReq{1, 2, 3, Data("abc")}, "0100000000000000 0200000000000000 03000000 616263");
  ExpectWire(PWriteResp{3}, "0300000000000000");
  ExpectWire(FAllocateReq{1, 2, 3, 4}, "0100000000000000 0200000000000000 0300000000000000 0400000000000000");
}

TEST(GoldenBytes, OurOwn) {
  ExpectWire(ListStatReq{7, 8, 9, {}}, "0700000000000000 0800000000000000 09000000 00000000");
  ExpectWire(StatDirent{7, GoldenStat(), "f"}, "0700000000000000" + kStat + "0100 66");
  EXPECT_EQ(Encoded(StatDirent{}).size(), kStatDirentSize);
  ExpectWire(SeekReq{7, 8, 3, {}}, "0700000000000000 0800000000000000 03000000 00000000");
  ExpectWire(SeekResp{9}, "0900000000000000");
  ExpectWire(CopyFileRangeReq{1, 2, 3, 4, 5},
             "0100000000000000 0200000000000000 0300000000000000 0400000000000000 0500000000000000");
  ExpectWire(OpenUnnamedReq{In(1, 0x10, 0x20, 0644), O_RDWR, {}},
             "0100000000000000 10000000 20000000 a401 000000000000 02000000 00000000");
}

TEST(GoldenBytes, Names) {
  ExpectWire(MkdirAtReq{In(1, kNoId, kNoId, 0755), "d"},
             "0100000000000000 ffffffff ffffffff ed01 000000000000 0100 64");
  ExpectWire(MknodAtReq{In(1, 2, 3, 0100644), 5, 6, "n"},
             "0100000000000000 02000000 03000000 a481 000000000000 05000000 06000000 0100 6e");
  ExpectWire(InodeResp{GoldenInode()}, kInode);
  ExpectWire(SymlinkAtReq{1, 2, 3, "l", "/t"}, "0100000000000000 02000000 03000000 0100 6c 0200 2f74");
  ExpectWire(LinkAtReq{1, 2, "h"}, "0100000000000000 0200000000000000 0100 68");
  ExpectWire(StringResp{"/t"}, "0200 2f74");
  ExpectWire(UnlinkAtReq{1, AT_REMOVEDIR, "d"}, "0100000000000000 00020000 0100 64");
  ExpectWire(RenameAtReq{1, 2, "a", "bc"}, "0100000000000000 0200000000000000 0100 61 0200 6263");
  ExpectWire(RenameAt2Req{1, 2, "a", "bc", 1}, "0100000000000000 0200000000000000 0100 61 0200 6263 01000000");
  ExpectWire(Getdents64Req{1, -65536, {}}, "0100000000000000 0000ffff 00000000");
  const std::vector<std::byte> dirent = Encoded(Dirent{1, 2, 3, 4, 8, "f"});
  ExpectWire(Dirent{1, 2, 3, 4, 8, "f"}, "0100000000000000 02000000 03000000 0400000000000000 08 0100 66");
  ExpectWire(Getdents64Resp{1, Rest{dirent}}, "0100 0100000000000000 02000000 03000000 0400000000000000 08 0100 66");
}

TEST(GoldenBytes, XattrsAndSockets) {
  ExpectWire(FGetXattrReq{1, 2, "user.a"}, "0100000000000000 02000000 0600 757365722e61");
  ExpectWire(StringResp{"v"}, "0100 76");
  ExpectWire(FSetXattrReq{1, 2, "user.a", "v"}, "0100000000000000 02000000 0600 757365722e61 0100 76");
  ExpectWire(FListXattrReq{1, 2}, "0100000000000000 0200000000000000");
  const std::string_view names[] = {"user.a", "user.b"};
  ExpectWire(FListXattrResp{StringArray(names)}, "0200 0600 757365722e61 0600 757365722e62");
  ExpectWire(FRemoveXattrReq{1, "user.a"}, "0100000000000000 0600 757365722e61");
  ExpectWire(ConnectReq{1, 1, {}}, "0100000000000000 01000000 00000000");
  ExpectWire(ConnectWithCredsReq{1, 1, {}, 2, 3}, "0100000000000000 01000000 00000000 02000000 03000000");
  ExpectWire(BindAtReq{In(1, 2, 3, 0777), 1, "s"},
             "0100000000000000 02000000 03000000 ff01 000000000000 01000000 0100 73");
  ExpectWire(BindAtResp{GoldenInode(), 9}, kInode + "0900000000000000");
  ExpectWire(ListenReq{1, -1, {}}, "0100000000000000 ffffffff 00000000");
  ExpectWire(StringResp{""}, "0000");
}

// ----------------------------------------------------------------------------------------------------------------
// every body of every message

// Values for the fields of any body, with something in each array and string.
struct Filler {
  std::array<std::string_view, 2> strings = {"name", ""};
  std::array<Fdid, 2> fds = {1, 2};
  std::array<uint16_t, 2> mids = {1, 300};
  std::array<Inode, 2> inodes = {};
  std::array<Statx, 2> stats = {};
  std::byte data[5] = {};

  template <typename T>
  void Fill(T&) {}
  template <size_t N>
  void Fill(Pad<N>&) {}
  void Fill(std::string_view& field) { field = "text"; }
  void Fill(StringArray& field) { field = StringArray(strings); }
  void Fill(PackedArray<Fdid>& field) { field = FdArray(fds); }
  void Fill(PackedArray<uint16_t>& field) { field = MidArray(mids); }
  void Fill(PackedArray<Inode>& field) { field = PackedArray<Inode>(inodes); }
  void Fill(PackedArray<Statx>& field) { field = PackedArray<Statx>(stats); }
  void Fill(Rest& field) { field.bytes = data; }
};

template <typename Field>
constexpr bool kIsVariable = !WireScalar<Field> && !std::is_same_v<Field, Rest>;
template <size_t N>
constexpr bool kIsVariable<Pad<N>> = false;

// Where in the encoding of `body` each u16 count or length of a field begins, and how large the body is without data
// that may have any length.
template <typename Body>
void Measure(const Body& body, std::vector<size_t>& lengths, size_t& fixed) {
  std::byte scratch[4096];
  Writer writer(scratch);
  std::apply(
      [&](const auto&... field) {
        (
            [&] {
              using Field = std::remove_cvref_t<decltype(field)>;
              if (kIsVariable<Field>) lengths.push_back(writer.size());
              writer.Write(field);
              if (!std::is_same_v<Field, Rest>) fixed = writer.size();
            }(),
            ...);
      },
      body.Tie());
}

template <typename Body>
void RefusesWhatItMust(std::string_view name) {
  SCOPED_TRACE(name);
  Filler filler;
  Body body;
  std::apply([&](auto&... field) { (filler.Fill(field), ...); }, std::tuple(body.Tie()));
  const std::vector<std::byte> bytes = Encoded(body);
  std::vector<size_t> lengths;
  size_t fixed = 0;
  Measure(body, lengths, fixed);

  for (size_t size = 0; size < fixed; ++size) {
    // A heap copy of exactly this size, so that the address sanitizer sees a read beyond it.
    std::vector<std::byte> cut(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size));
    Body decoded;
    EXPECT_FALSE(Decode(cut, decoded)) << "cut to " << size;
  }
  Body whole;
  EXPECT_TRUE(Decode(bytes, whole));
  std::vector<std::byte> longer = bytes;
  longer.resize(longer.size() + 3);
  EXPECT_TRUE(Decode(longer, whole)) << "what follows a body is ignored";
  for (size_t at : lengths) {
    std::vector<std::byte> lying = bytes;
    lying[at] = lying[at + 1] = std::byte{0xff};
    EXPECT_FALSE(Decode(lying, whole)) << "65535 announced at " << at;
  }
  for (size_t room = 0; room < bytes.size(); ++room) {
    std::vector<std::byte> small(room);
    Writer writer(small);
    Encode(writer, body);
    EXPECT_FALSE(writer.ok()) << "into " << room;
    EXPECT_LE(writer.size(), room);
  }
}

TEST(EveryMessage, RefusesTruncationAndLyingLengths) {
#define X(number, name, request, response, fds, purpose) \
  RefusesWhatItMust<request>(#name " request");          \
  RefusesWhatItMust<response>(#name " response");
  LISAFS_MESSAGES(X)
#undef X
  RefusesWhatItMust<Dirent>("Dirent");
  RefusesWhatItMust<StatDirent>("StatDirent");
}

TEST(EveryMessage, HasANameANumberAndAnIndex) {
  EXPECT_EQ(kMessageCount, 45u);
  std::set<std::string_view> names;
  std::set<int> indices;
  for (Mid mid : kAllMids) {
    names.insert(MessageName(mid));
    indices.insert(MessageIndex(mid));
  }
  EXPECT_EQ(names.size(), kMessageCount);
  EXPECT_EQ(indices.size(), kMessageCount);
  EXPECT_EQ(*indices.begin(), 0);
  EXPECT_EQ(*indices.rbegin(), static_cast<int>(kMessageCount) - 1);

  const std::pair<uint16_t, std::string_view> some[] = {
      {0, "Error"},       {1, "Mount"},        {12, "PRead"},       {20, "Flush"},      {24, "Getdents64"},
      {33, "RenameAt2"},  {256, "SleepFlags"}, {257, "MakeNodeAt"}, {262, "FDataSync"}, {263, "OpenBacking"},
      {264, "Subscribe"}, {265, "Watch"},      {266, "SetDonation"}};
  for (auto [number, name] : some) EXPECT_EQ(MessageName(static_cast<Mid>(number)), name);
  for (uint16_t number : {34, 35, 255, 267, 65535}) {
    EXPECT_EQ(MessageIndex(number), -1) << number;
    EXPECT_EQ(MessageName(static_cast<Mid>(number)), "") << number;
  }
}

TEST(Arrays, AreViewsOfWhatWasDecoded) {
  const std::string_view names[] = {"a", "", "ccc"};
  const std::vector<std::byte> bytes = Encoded(WalkReq{1, StringArray(names)});
  WalkReq request;
  ASSERT_TRUE(Decode(bytes, request));
  EXPECT_EQ(request.path.size(), 3);
  std::vector<std::string_view> got;
  for (std::string_view name : request.path) got.push_back(name);
  EXPECT_EQ(got, (std::vector<std::string_view>{"a", "", "ccc"}));

  const Fdid fds[] = {3, UINT64_MAX};
  const std::vector<std::byte> encoded = Encoded(FdsReq{FdArray(fds)});
  FdsReq close;
  ASSERT_TRUE(Decode(encoded, close));
  ASSERT_EQ(close.fds.size(), 2);
  EXPECT_EQ(close.fds[0], 3u);
  EXPECT_EQ(close.fds[1], UINT64_MAX);
}

TEST(Writer, RefusesAStringThatItsLengthCannotSay) {
  std::vector<std::byte> buffer(1 << 20);
  std::string longest(65535, 'x'), too_long(65536, 'x');
  Writer fits(buffer);
  Encode(fits, StringResp{longest});
  EXPECT_TRUE(fits.ok());
  Writer refuses(buffer);
  Encode(refuses, StringResp{too_long});
  EXPECT_FALSE(refuses.ok());
}

}  // namespace
}  // namespace lisafs
