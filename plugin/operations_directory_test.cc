// Listing directories.

#include <fcntl.h>
#include <sys/stat.h>

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "plugin/operations_testing.h"

namespace lisafs {
namespace {

class ListingTest : public OperationsTest {
 protected:
  struct Listed {
    std::string name;
    uint64_t next;
    uint64_t ino;
    uint64_t nodeid;
  };
  uint64_t OpenDir(uint64_t node) { return Ask(FUSE_OPENDIR, node, fuse_open_in{}).As<fuse_open_out>().fh; }
  std::vector<Listed> List(uint32_t opcode, uint64_t node, uint64_t fh, uint64_t offset, uint32_t size = 4096) {
    auto answer = Ask(opcode, node, fuse_read_in{.fh = fh, .offset = offset, .size = size});
    EXPECT_EQ(answer.error, 0);
    EXPECT_LE(answer.payload.size(), size);
    std::vector<Listed> listed;
    for (size_t at = 0; at < answer.payload.size();) {
      uint64_t nodeid = 0;
      if (opcode == FUSE_READDIRPLUS) {
        nodeid = answer.As<fuse_entry_out>(at).nodeid;
        at += sizeof(fuse_entry_out);
      }
      auto dirent = answer.As<fuse_dirent>(at);
      listed.push_back({answer.payload.substr(at + FUSE_NAME_OFFSET, dirent.namelen), dirent.off, dirent.ino, nodeid});
      at += FUSE_DIRENT_SIZE(&dirent);
    }
    return listed;
  }
  static std::string Names(const std::vector<Listed>& listed) {
    std::string names;
    for (const Listed& entry : listed) names += entry.name + " ";
    return names;
  }
};

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
    uint64_t fh = OpenDir(kRoot);
    std::string all;
    for (uint64_t offset = 0;;) {
      auto piece = List(FUSE_READDIRPLUS, kRoot, fh, offset, size);
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
  uint64_t fh = OpenDir(kRoot);
  auto first = List(FUSE_READDIRPLUS, kRoot, fh, 0);
  ASSERT_EQ(Names(first), ". .. b d f h ");
  client.tree->children.erase("b");
  client.tree->children.erase("f");
  client.Add("e", S_IFREG);
  auto again = List(FUSE_READDIRPLUS, kRoot, fh, first[1].next);
  ASSERT_EQ(Names(again), "b d f h ");
  EXPECT_EQ(again[0].nodeid, 0u);
  EXPECT_NE(again[1].nodeid, 0u);
  EXPECT_EQ(again[2].nodeid, 0u);
  EXPECT_NE(again[3].nodeid, 0u);
  // rewinddir shows what is there now.
  EXPECT_EQ(Names(List(FUSE_READDIRPLUS, kRoot, fh, 0)), ". .. d h e ");
  EXPECT_EQ(Names(List(FUSE_READDIRPLUS, kRoot, fh, 1000)), "");
}

TEST_P(ListingWithStatTest, ListingsOfBothKindsMix) {
  for (const char* name : {"a", "b", "c", "d", "e", "f", "g"}) client.Add(name, S_IFREG);
  uint64_t fh = OpenDir(kRoot);
  EXPECT_EQ(Names(List(FUSE_READDIR, kRoot, fh, 2, 70)), "a b ");  // Two more are known by now.
  EXPECT_EQ(Names(List(FUSE_READDIRPLUS, kRoot, fh, 3, 170)), "b ");
  EXPECT_EQ(Names(List(FUSE_READDIR, kRoot, fh, 4)), "c d e f g ");
  EXPECT_EQ(Names(List(FUSE_READDIRPLUS, kRoot, fh, 4)), "c d e f g ");
  EXPECT_EQ(Names(List(FUSE_READDIR, kRoot, fh, 0)), ". .. a b c d e f g ");
}

TEST_F(ListingTest, AListingWithAttributesIsOneRequestAndOneForTheEnd) {
  for (const char* name : {"a", "b", "c"}) client.Add(name, S_IFREG);
  uint64_t fh = OpenDir(kRoot);
  EXPECT_EQ(client.calls.size(), 0u);
  EXPECT_EQ(Names(List(FUSE_READDIRPLUS, kRoot, fh, 0)), ". .. a b c ");
  EXPECT_EQ(Names(List(FUSE_READDIRPLUS, kRoot, fh, 5)), "");
  EXPECT_EQ(client.calls, (std::map<Mid, int>{{Mid::kOpenAt, 1}, {Mid::kListStat, 1}, {Mid::kGetdents64, 1}}));
  EXPECT_TRUE(client.open_fds.empty());
}

TEST_F(ListingTest, ListsInPieces) {
  for (const char* name : {"a", "b", "c", "d", "e"}) client.Add(name, S_IFREG);
  uint64_t fh = OpenDir(kRoot);
  EXPECT_EQ(Names(List(FUSE_READDIR, kRoot, fh, 0)), ". .. a b c d e ");
  std::string all;
  for (uint64_t offset = 0;;) {
    auto piece = List(FUSE_READDIR, kRoot, fh, offset, 70);  // Two entries.
    if (piece.empty()) break;
    EXPECT_LE(piece.size(), 2u);
    all += Names(piece);
    offset = piece.back().next;
  }
  EXPECT_EQ(all, ". .. a b c d e ");
  EXPECT_EQ(Ask(FUSE_RELEASEDIR, kRoot, fuse_release_in{.fh = fh}).error, 0);
  EXPECT_TRUE(client.open_fds.empty());
}

TEST_F(ListingTest, PositionsStayGoodWhileTheDirectoryChanges) {
  for (const char* name : {"a", "b", "c", "d"}) client.Add(name, S_IFREG);
  uint64_t fh = OpenDir(kRoot);
  auto first = List(FUSE_READDIR, kRoot, fh, 0);
  client.tree->children.erase("a");
  client.tree->children.erase("b");
  EXPECT_EQ(Names(List(FUSE_READDIR, kRoot, fh, first[2].next)), "b c d ");
  EXPECT_EQ(Names(List(FUSE_READDIR, kRoot, fh, first[4].next)), "d ");
  // rewinddir shows what is there now.
  EXPECT_EQ(Names(List(FUSE_READDIR, kRoot, fh, 0)), ". .. c d ");
  // Positions that were never given.
  EXPECT_EQ(Names(List(FUSE_READDIR, kRoot, fh, 1000)), "");
  EXPECT_EQ(Names(List(FUSE_READDIR, kRoot, fh, UINT64_MAX)), "");
}

TEST_F(ListingTest, WhatOthersMayChangeIsNotCached) {
  Init(FUSE_NO_OPENDIR_SUPPORT);
  EXPECT_EQ(Ask(FUSE_OPENDIR, kRoot, fuse_open_in{}).As<fuse_open_out>().open_flags, unsigned{FOPEN_KEEP_CACHE});
}

TEST_F(ListingTest, SharedListingsAreReadAgainAndGivenUp) {
  client.Add("a", S_IFREG);
  uint64_t fh = OpenDir(kRoot);
  auto first = List(FUSE_READDIR, kRoot, fh, 0);
  client.Add("b", S_IFREG);
  EXPECT_EQ(Names(List(FUSE_READDIR, kRoot, fh, 0)), ". .. a b ");
  // Who had the beginning goes on in what he has begun.
  EXPECT_EQ(Names(List(FUSE_READDIR, kRoot, fh, first[1].next)), "a ");
  Ask(FUSE_RELEASEDIR, kRoot, fuse_release_in{.fh = fh});
  auto anew = List(FUSE_READDIR, kRoot, OpenDir(kRoot), 0);
  EXPECT_EQ(Names(anew), ". .. a b ");
  EXPECT_EQ(anew.back().next, 4u);
}

// Listings that the kernel caches, of directories that it opens by itself.
class CachedListingTest : public ListingTest {
 protected:
  static constexpr uint64_t kNoHandle = 0;

  void SetUp() override {
    exclusive = true;
    for (const char* name : {"a", "b", "c"}) client.Add(name, S_IFREG);
    Init(FUSE_NO_OPENDIR_SUPPORT);
    EXPECT_EQ(Ask(FUSE_OPENDIR, kRoot, fuse_open_in{}).error, ENOSYS);
    client.calls.clear();
  }
  std::vector<Listed> ListFrom(uint64_t offset, uint32_t size = 4096) {
    return List(FUSE_READDIR, kRoot, kNoHandle, offset, size);
  }
  void Make(const char* name) { EXPECT_EQ(Ask(FUSE_MKNOD, kRoot, fuse_mknod_in{S_IFREG | 0644}, name).error, 0); }
  int Looks() { return client.calls[Mid::kOpenAt]; }
};

TEST_F(CachedListingTest, OnlyIfTheKernelCan) {
  Init(0);
  EXPECT_EQ(Ask(FUSE_OPENDIR, kRoot, fuse_open_in{}).As<fuse_open_out>().open_flags, unsigned{FOPEN_KEEP_CACHE});
}

TEST_F(CachedListingTest, AsksTheServerWhenSomethingChanged) {
  auto first = ListFrom(0);
  EXPECT_EQ(Names(first), ". .. a b c ");
  EXPECT_EQ(Names(ListFrom(0)), ". .. a b c ");
  EXPECT_EQ(Looks(), 1);
  EXPECT_TRUE(client.open_fds.empty());

  const uint64_t a = LookUp(kRoot, "a");
  const std::pair<const char*, std::function<int()>> changes[] = {
      {"node", [&] { return Ask(FUSE_MKNOD, kRoot, fuse_mknod_in{S_IFREG | 0644}, "node").error; }},
      {"directory",
       [&] {
         return Ask(FUSE_MKDIR, kRoot, fuse_mkdir_in{0755, 0}, "d").error;
       }},
      {"symlink", [&] { return Ask(FUSE_SYMLINK, kRoot, "s", "target").error; }},
      {"link", [&] { return Ask(FUSE_LINK, kRoot, fuse_link_in{a}, "l").error; }},
      {"file",
       [&] {
         return Ask(FUSE_CREATE, kRoot, fuse_create_in{O_RDWR, S_IFREG | 0644, 0, 0}, "f").error;
       }},
      {"unlink", [&] { return Ask(FUSE_UNLINK, kRoot, "s").error; }},
      {"rmdir", [&] { return Ask(FUSE_RMDIR, kRoot, "d").error; }},
      {"rename", [&] { return Ask(FUSE_RENAME, kRoot, fuse_rename_in{kRoot}, "f", "r").error; }},
  };
  std::string names = Names(ListFrom(0));
  for (auto& [what, change] : changes) {
    EXPECT_EQ(change(), 0) << what;
    const int before = Looks();
    const std::string now = Names(ListFrom(0));
    EXPECT_NE(std::exchange(names, now), now) << what;
    EXPECT_EQ(Names(ListFrom(0)), now) << what;
    EXPECT_EQ(Looks(), before + 1) << what;
  }
  EXPECT_EQ(names, ". .. a b c node l r ");
}

TEST_F(CachedListingTest, ARenameChangesBothDirectories) {
  client.Add("d", S_IFDIR | 0755);
  uint64_t d = LookUp(kRoot, "d");
  EXPECT_EQ(Names(List(FUSE_READDIR, d, kNoHandle, 0)), ". .. ");
  ListFrom(0);
  EXPECT_EQ(Ask(FUSE_RENAME, kRoot, fuse_rename_in{d}, "a", "a").error, 0);
  EXPECT_EQ(Names(List(FUSE_READDIR, d, kNoHandle, 0)), ". .. a ");
  EXPECT_EQ(Names(ListFrom(0)), ". .. b c d ");
}

TEST_F(CachedListingTest, WhatChangesNothingBeginsNoGeneration) {
  auto first = ListFrom(0);
  EXPECT_EQ(Ask(FUSE_MKDIR, kRoot, fuse_mkdir_in{0755, 0}, "a").error, EEXIST);
  auto second = ListFrom(0);
  EXPECT_EQ(Looks(), 2);
  EXPECT_EQ(second.back().next, first.back().next);
  // A file that takes another's place has another number.
  client.Add("b", S_IFREG);
  EXPECT_EQ(Ask(FUSE_MKDIR, kRoot, fuse_mkdir_in{0755, 0}, "a").error, EEXIST);
  auto third = ListFrom(0);
  EXPECT_EQ(Names(third), Names(first));
  EXPECT_NE(third[1].next, first[1].next);
}

TEST_F(CachedListingTest, ChangesWhileTheServerIsAskedCount) {
  client.on_call = [&](Mid mid) {
    if (mid == Mid::kGetdents64) operations().nodes().Find(kRoot).value()->NamesChanged();
  };
  ListFrom(0);
  client.on_call = nullptr;
  ListFrom(0);
  EXPECT_EQ(Looks(), 2);
}

TEST_F(CachedListingTest, ReadersOfSeveralGenerationsFindWhatStays) {
  auto first = ListFrom(0);
  Make("aa");
  EXPECT_EQ(Ask(FUSE_UNLINK, kRoot, "b").error, 0);
  // Where names stood is where they stay; what is new comes last, wherever the server has it.
  auto second = ListFrom(0);
  EXPECT_EQ(Names(second), ". .. a c aa ");
  EXPECT_EQ(Names(ListFrom(first[2].next)), "c ");
  EXPECT_EQ(Names(ListFrom(second[2].next)), "c aa ");
  // One that comes back is new.
  Make("b");
  EXPECT_EQ(Names(ListFrom(0)), ". .. a c aa b ");
  EXPECT_EQ(Names(ListFrom(first[2].next)), "c ");
  EXPECT_EQ(Names(ListFrom(second[3].next)), "aa ");
}

TEST_F(CachedListingTest, ANameThatTheServerGivesTwiceIsThereOnce) {
  ListFrom(0);
  Make("d");
  // Pushes "b", which was given, to where the server has not been yet.
  int calls = 0;
  client.on_call = [&](Mid mid) {
    if (mid == Mid::kGetdents64 && ++calls == 2) client.Add("0", S_IFREG);
  };
  EXPECT_EQ(Names(ListFrom(0)), ". .. a b c d ");
  EXPECT_GT(calls, 2);
}

TEST_F(CachedListingTest, TheNextGenerationEndsWhereAnOldOneWasLeft) {
  // All of it is in the kernel's cache, but nobody asked for more.
  const uint64_t left = ListFrom(0).back().next;
  Make("d");
  auto all = ListFrom(0, 100);
  while (true) {
    auto more = ListFrom(all.back().next, 100);
    if (more.empty()) break;
    all.insert(all.end(), more.begin(), more.end());
  }
  EXPECT_EQ(Names(all), ". .. a b c d ");
  EXPECT_EQ(all.back().next, left);
  // From then on it ends where it does.
  const uint64_t left_again = ListFrom(0).back().next;
  EXPECT_NE(left_again, left);
  // So it is where there are no names.
  for (const char* name : {"a", "b", "c", "d"}) EXPECT_EQ(Ask(FUSE_UNLINK, kRoot, name).error, 0);
  auto empty = ListFrom(0);
  ASSERT_EQ(Names(empty), ". .. ");
  EXPECT_EQ(empty.back().next, left_again);
  EXPECT_EQ(Names(ListFrom(empty.back().next)), "");
}

TEST_F(CachedListingTest, IsOfNoUseOnceOthersChangeTheDirectory) {
  auto first = ListFrom(0);
  policy.restrictions = kShared;
  ++policy.changes;
  client.Add("d", S_IFREG);
  auto shared = ListFrom(0);
  EXPECT_EQ(Names(shared), ". .. a b c d ");
  EXPECT_EQ(reply.outdated_listing, 0u);
  // What the kernel has cached is full now.
  EXPECT_EQ(Names(ListFrom(shared.back().next)), "");
  EXPECT_EQ(reply.outdated_listing, kRoot);
  ListFrom(0);
  EXPECT_EQ(Looks(), 3);

  // What they changed shows when they are to change nothing any more.
  client.Add("e", S_IFREG);
  policy.restrictions = 0;
  ++policy.changes;
  EXPECT_EQ(Names(ListFrom(0)), ". .. a b c d e ");
  EXPECT_EQ(Names(ListFrom(0)), ". .. a b c d e ");
  EXPECT_EQ(Looks(), 4);
}

TEST_F(CachedListingTest, ARevokedMountsServerIsAsked) {
  auto first = ListFrom(0);
  policy.restrictions = kRevoked;
  client.fail_with[Mid::kOpenAt] = EACCES;
  for (uint64_t position : {uint64_t{0}, first[1].next}) {
    EXPECT_EQ(Ask(FUSE_READDIR, kRoot, fuse_read_in{.offset = position, .size = 4096}).error, EACCES);
  }
}

TEST_F(CachedListingTest, IsWrittenToDisk) {
  EXPECT_EQ(Ask(FUSE_FSYNCDIR, kRoot, fuse_fsync_in{}).error, 0);
  EXPECT_EQ(client.calls[Mid::kFSync], 1);
  EXPECT_TRUE(client.open_fds.empty());
}

TEST_F(CachedListingTest, AttributesOfWhatFollowsAreAskedForByTheSameDescriptor) {
  for (const char* name : {"d", "e", "f"}) client.Add(name, S_IFREG);
  auto first = List(FUSE_READDIRPLUS, kRoot, kNoHandle, 0, 700);
  EXPECT_EQ(Names(first), ". .. a b ");
  auto second = List(FUSE_READDIRPLUS, kRoot, kNoHandle, first.back().next, 700);
  EXPECT_EQ(Names(second), "c d e f ");
  for (const Listed& entry : second) EXPECT_NE(entry.nodeid, 0u) << entry.name;
  EXPECT_EQ(Names(List(FUSE_READDIRPLUS, kRoot, kNoHandle, second.back().next, 700)), "");
  EXPECT_EQ(Looks(), 1);
  EXPECT_TRUE(client.open_fds.empty());
}

TEST_F(ListingTest, EntriesSayTheirNumbers) {
  client.Add("d", S_IFDIR | 0755);
  auto file = client.Add("d/f", S_IFREG);
  uint64_t d = LookUp(kRoot, "d");
  auto listed = List(FUSE_READDIR, d, OpenDir(d), 0);
  ASSERT_EQ(listed.size(), 3u);
  EXPECT_EQ(listed[0].ino, client.Get("d")->stat.ino);
  EXPECT_EQ(listed[1].ino, client.tree->stat.ino);
  EXPECT_EQ(listed[2].ino, file->stat.ino);
}

TEST_P(ListingWithStatTest, AttributesCountAsLookups) {
  client.Add("a", S_IFREG);
  client.Add("b", S_IFREG);
  uint64_t a = LookUp(kRoot, "a");
  auto listed = List(FUSE_READDIRPLUS, kRoot, OpenDir(kRoot), 0);
  ASSERT_EQ(Names(listed), ". .. a b ");
  EXPECT_EQ(listed[0].nodeid, 0u);
  EXPECT_EQ(listed[1].nodeid, 0u);
  EXPECT_EQ(listed[2].nodeid, a);
  Ask(FUSE_FORGET, a, fuse_forget_in{1});
  EXPECT_EQ(Ask(FUSE_GETATTR, a, fuse_getattr_in{}).error, 0);
  // What does not fit is not counted.
  uint64_t b = listed[3].nodeid;
  EXPECT_EQ(Names(List(FUSE_READDIRPLUS, kRoot, OpenDir(kRoot), 2, 200)), "a ");
  Ask(FUSE_FORGET, b, fuse_forget_in{1});
  EXPECT_EQ(Ask(FUSE_GETATTR, b, fuse_getattr_in{}).error, ESTALE);
}

TEST_F(ListingTest, AnEntryThatVanishedHasNoAttributes) {
  client.Add("a", S_IFREG);
  client.Add("b", S_IFREG);
  uint64_t fh = OpenDir(kRoot);
  client.unsupported = {Mid::kListStat};
  client.on_call = [&](Mid mid) {
    if (mid == Mid::kWalkStat) client.tree->children.erase("a");
  };
  auto listed = List(FUSE_READDIRPLUS, kRoot, fh, 0);
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
