// Listing directories.

#include <fcntl.h>
#include <sys/stat.h>

#include <map>
#include <string>

#include "plugin/operations_testing.h"

namespace lisafs {
namespace {

// With attributes in the listing, and with a server that has them only one by one.
class ListingWithStatTest : public ListingTest, public testing::WithParamInterface<bool> {
 protected:
  void SetUp() override {
    if (!GetParam()) client.unsupported = {Mid::kListStat};
  }
};
INSTANTIATE_TEST_SUITE_P(Servers, ListingWithStatTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "Ours" : "Stock"; });

TEST_P(ListingWithStatTest, ListsInPieces) {
  for (const char* name : {"a", "b", "c", "d", "e"}) client.Add(name, S_IFREG);
  for (uint32_t size : {160u, 400u, 4096u}) {
    std::string all;
    for (uint64_t offset = 0;;) {
      auto piece = List(FUSE_READDIRPLUS, kRoot, offset, size);
      if (piece.empty()) break;
      all += Names(piece);
      offset = piece.back().next;
    }
    EXPECT_EQ(all, ". .. a b c d e ") << size;
  }
  EXPECT_EQ(client.calls[Mid::kWalkStat] == 0, GetParam());
}

TEST_P(ListingWithStatTest, PositionsStayGoodWhileTheDirectoryChanges) {
  for (const char* name : {"b", "d", "f", "h"}) client.Add(name, S_IFREG);
  auto first = List(FUSE_READDIRPLUS, kRoot, 0);
  ASSERT_EQ(Names(first), ". .. b d f h ");
  client.tree->children.erase("b");
  client.tree->children.erase("f");
  client.Add("e", S_IFREG);
  auto again = List(FUSE_READDIRPLUS, kRoot, first[1].next);
  ASSERT_EQ(Names(again), "b d f h ");
  EXPECT_EQ(again[0].nodeid, 0u);
  EXPECT_NE(again[1].nodeid, 0u);
  EXPECT_EQ(again[2].nodeid, 0u);
  EXPECT_NE(again[3].nodeid, 0u);
  // rewinddir shows what is there now.
  EXPECT_EQ(Names(List(FUSE_READDIRPLUS, kRoot, 0)), ". .. d h e ");
  EXPECT_EQ(Names(List(FUSE_READDIRPLUS, kRoot, 1000)), "");
}

TEST_P(ListingWithStatTest, ListingsOfBothKindsMix) {
  for (const char* name : {"a", "b", "c", "d", "e", "f", "g"}) client.Add(name, S_IFREG);
  EXPECT_EQ(Names(List(FUSE_READDIR, kRoot, 2, 70)), "a b ");  // Two more are known by now.
  EXPECT_EQ(Names(List(FUSE_READDIRPLUS, kRoot, 3, 170)), "b ");
  EXPECT_EQ(Names(List(FUSE_READDIR, kRoot, 4)), "c d e f g ");
  EXPECT_EQ(Names(List(FUSE_READDIRPLUS, kRoot, 4)), "c d e f g ");
  EXPECT_EQ(Names(List(FUSE_READDIR, kRoot, 0)), ". .. a b c d e f g ");
}

TEST_F(ListingTest, AListingWithAttributesIsOneRequestAndOneForTheEnd) {
  for (const char* name : {"a", "b", "c"}) client.Add(name, S_IFREG);
  EXPECT_EQ(client.calls.size(), 0u);
  EXPECT_EQ(Names(List(FUSE_READDIRPLUS, kRoot, 0)), ". .. a b c ");
  EXPECT_EQ(Names(List(FUSE_READDIRPLUS, kRoot, 5)), "");
  EXPECT_EQ(client.calls, (std::map<Mid, int>{{Mid::kOpenAt, 1}, {Mid::kListStat, 1}, {Mid::kGetdents64, 1}}));
  EXPECT_TRUE(client.open_fds.empty());
}

TEST_F(ListingTest, ListsInPieces) {
  for (const char* name : {"a", "b", "c", "d", "e"}) client.Add(name, S_IFREG);
  EXPECT_EQ(Names(List(FUSE_READDIR, kRoot, 0)), ". .. a b c d e ");
  std::string all;
  for (uint64_t offset = 0;;) {
    auto piece = List(FUSE_READDIR, kRoot, offset, 70);  // Two entries.
    if (piece.empty()) break;
    EXPECT_LE(piece.size(), 2u);
    all += Names(piece);
    offset = piece.back().next;
  }
  EXPECT_EQ(all, ". .. a b c d e ");
  EXPECT_TRUE(client.open_fds.empty());
}

TEST_F(ListingTest, PositionsStayGoodWhileTheDirectoryChanges) {
  for (const char* name : {"a", "b", "c", "d"}) client.Add(name, S_IFREG);
  auto first = List(FUSE_READDIR, kRoot, 0);
  client.tree->children.erase("a");
  client.tree->children.erase("b");
  EXPECT_EQ(Names(List(FUSE_READDIR, kRoot, first[2].next)), "b c d ");
  EXPECT_EQ(Names(List(FUSE_READDIR, kRoot, first[4].next)), "d ");
  // rewinddir shows what is there now.
  EXPECT_EQ(Names(List(FUSE_READDIR, kRoot, 0)), ". .. c d ");
  // Positions that were never given.
  EXPECT_EQ(Names(List(FUSE_READDIR, kRoot, 1000)), "");
  EXPECT_EQ(Names(List(FUSE_READDIR, kRoot, UINT64_MAX)), "");
}

TEST_F(ListingTest, TheKernelOpensDirectoriesByItself) {
  EXPECT_EQ(Ask(FUSE_OPENDIR, kRoot, fuse_open_in{}).error, ENOSYS);
}

// Where others change names unseen.
TEST_F(ListingTest, UnwatchedListingsAreReadAgainAndNotCached) {
  client.Add("a", S_IFREG);
  auto first = List(FUSE_READDIR, kRoot, 0);
  client.Add("b", S_IFREG);
  auto second = List(FUSE_READDIR, kRoot, 0);
  EXPECT_EQ(Names(second), ". .. a b ");
  // Who had the beginning goes on in what he has begun.
  EXPECT_EQ(Names(List(FUSE_READDIR, kRoot, first[1].next)), "a ");
  EXPECT_EQ(reply.outdated_listing, 0u);
  EXPECT_EQ(Names(List(FUSE_READDIR, kRoot, second.back().next)), "");
  EXPECT_EQ(reply.outdated_listing, kRoot);
}

TEST_F(ListingTest, EntriesSayTheirNumbers) {
  client.Add("d", S_IFDIR | 0755);
  auto file = client.Add("d/f", S_IFREG);
  uint64_t d = LookUp(kRoot, "d");
  auto listed = List(FUSE_READDIR, d, 0);
  ASSERT_EQ(listed.size(), 3u);
  EXPECT_EQ(listed[0].ino, client.Get("d")->stat.ino);
  EXPECT_EQ(listed[1].ino, client.tree->stat.ino);
  EXPECT_EQ(listed[2].ino, file->stat.ino);
}

TEST_P(ListingWithStatTest, AttributesCountAsLookups) {
  client.Add("a", S_IFREG);
  client.Add("b", S_IFREG);
  uint64_t a = LookUp(kRoot, "a");
  auto listed = List(FUSE_READDIRPLUS, kRoot, 0);
  ASSERT_EQ(Names(listed), ". .. a b ");
  EXPECT_EQ(listed[0].nodeid, 0u);
  EXPECT_EQ(listed[1].nodeid, 0u);
  EXPECT_EQ(listed[2].nodeid, a);
  Ask(FUSE_FORGET, a, fuse_forget_in{1});
  EXPECT_EQ(Ask(FUSE_GETATTR, a, fuse_getattr_in{}).error, 0);
  // What does not fit is not counted.
  uint64_t b = listed[3].nodeid;
  EXPECT_EQ(Names(List(FUSE_READDIRPLUS, kRoot, 2, 200)), "a ");
  Ask(FUSE_FORGET, b, fuse_forget_in{1});
  EXPECT_EQ(Ask(FUSE_GETATTR, b, fuse_getattr_in{}).error, ESTALE);
}

TEST_F(ListingTest, AnEntryThatVanishedHasNoAttributes) {
  client.Add("a", S_IFREG);
  client.Add("b", S_IFREG);
  client.unsupported = {Mid::kListStat};
  client.on_call = [&](Mid mid) {
    if (mid == Mid::kWalkStat) client.tree->children.erase("a");
  };
  auto listed = List(FUSE_READDIRPLUS, kRoot, 0);
  ASSERT_EQ(Names(listed), ". .. a b ");
  EXPECT_EQ(listed[2].nodeid, 0u);
  EXPECT_NE(listed[3].nodeid, 0u);
}

TEST_F(ListingTest, AFileIsNotListed) {
  client.Add("a", S_IFREG);
  uint64_t a = LookUp(kRoot, "a");
  uint64_t fh = Open(a, O_RDONLY);
  EXPECT_EQ(Ask(FUSE_READDIR, a, fuse_read_in{.fh = fh, .size = 4096}).error, ENOTDIR);
}

}  // namespace
}  // namespace lisafs
