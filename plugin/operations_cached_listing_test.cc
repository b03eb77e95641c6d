// Listings that the kernel caches.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "plugin/operations_testing.h"

namespace lisafs {
namespace {

// Where others do, and we are told.
TEST_F(ListingTest, WatchedListingsAreCached) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  Fd other(ends[1]);
  client.donate = Fd(ends[0]);
  ASSERT_TRUE(operations().Subscribe());
  client.Add("a", S_IFREG);
  auto present = List(FUSE_READDIR, kRoot, 0);
  EXPECT_EQ(client.calls[Mid::kWatch], 1);
  EXPECT_EQ(Names(List(FUSE_READDIR, kRoot, present.back().next)), "");
  EXPECT_EQ(reply.outdated_listing, 0u);
  List(FUSE_READDIR, kRoot, 0);
  EXPECT_EQ(client.calls[Mid::kOpenAt], 1);

  // Told of a change.
  client.Add("b", S_IFREG);
  NodeRef root = *operations().nodes().Find(kRoot);
  root->NamesChanged();
  EXPECT_EQ(Names(List(FUSE_READDIR, kRoot, present.back().next)), "");
  EXPECT_EQ(reply.outdated_listing, kRoot);
  auto changed = List(FUSE_READDIR, kRoot, 0);
  EXPECT_EQ(Names(changed), ". .. a b ");
  // Somebody has looked since, but who read the old listing has not read this one.
  EXPECT_EQ(Names(List(FUSE_READDIR, kRoot, present.back().next)), "");
  EXPECT_EQ(reply.outdated_listing, kRoot);
  EXPECT_EQ(Names(List(FUSE_READDIR, kRoot, changed.back().next)), "");
  EXPECT_EQ(reply.outdated_listing, 0u);

  // What was seen before the watch was lost is not trusted once there is another.
  operations().watches().Lose();
  EXPECT_EQ(Names(List(FUSE_READDIR, kRoot, changed.back().next)), "");
  EXPECT_EQ(reply.outdated_listing, kRoot);
  operations().watches().Watch(client, *operations().nodes().Pin(kRoot));
  EXPECT_EQ(Names(List(FUSE_READDIR, kRoot, changed.back().next)), "");
  EXPECT_EQ(reply.outdated_listing, kRoot);
  List(FUSE_READDIR, kRoot, 0);
  EXPECT_EQ(Names(List(FUSE_READDIR, kRoot, changed.back().next)), "");
  EXPECT_EQ(reply.outdated_listing, 0u);
}

// Where nobody else changes any.
class CachedListingTest : public ListingTest {
 protected:
  void SetUp() override {
    exclusive = true;
    for (const char* name : {"a", "b", "c"}) client.Add(name, S_IFREG);
  }
  std::vector<Listed> ListFrom(uint64_t offset, uint32_t size = 4096) {
    return List(FUSE_READDIR, kRoot, offset, size);
  }
  void Make(const char* name) { EXPECT_EQ(Ask(FUSE_MKNOD, kRoot, fuse_mknod_in{S_IFREG | 0644}, name).error, 0); }
  int Looks() { return client.calls[Mid::kOpenAt]; }
};

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

// What would be the end for all who have begun earlier.
TEST_F(CachedListingTest, TheKernelDoesNotKeepFullPages) {
  const size_t page = static_cast<size_t>(getpagesize());
  // 32 bytes each for ".", ".." and the three that are there; now the page is all but full.
  const size_t room = (page - 5 * 32) / 32 - 1;
  for (size_t i = 0; i < room; ++i) client.Add(std::to_string(i), S_IFREG);
  auto end_of = [&] {
    uint64_t next = 0;
    for (auto listed = ListFrom(0); !listed.empty(); listed = ListFrom(next)) next = listed.back().next;
    return next;
  };
  const uint64_t first = end_of();
  EXPECT_EQ(reply.outdated_listing, 0u);
  Make("full");
  end_of();
  EXPECT_EQ(reply.outdated_listing, kRoot);
  Make("more");
  end_of();
  EXPECT_EQ(reply.outdated_listing, 0u);
  // An older one that is full, or is not.
  ListFrom(first);
  EXPECT_EQ(reply.outdated_listing, kRoot);
}

TEST_F(CachedListingTest, ARenameChangesBothDirectories) {
  client.Add("d", S_IFDIR | 0755);
  uint64_t d = LookUp(kRoot, "d");
  EXPECT_EQ(Names(List(FUSE_READDIR, d, 0)), ". .. ");
  ListFrom(0);
  EXPECT_EQ(Ask(FUSE_RENAME, kRoot, fuse_rename_in{d}, "a", "a").error, 0);
  EXPECT_EQ(Names(List(FUSE_READDIR, d, 0)), ". .. a ");
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
  auto first = List(FUSE_READDIRPLUS, kRoot, 0, 700);
  EXPECT_EQ(Names(first), ". .. a b ");
  auto second = List(FUSE_READDIRPLUS, kRoot, first.back().next, 700);
  EXPECT_EQ(Names(second), "c d e f ");
  for (const Listed& entry : second) EXPECT_NE(entry.nodeid, 0u) << entry.name;
  EXPECT_EQ(Names(List(FUSE_READDIRPLUS, kRoot, second.back().next, 700)), "");
  EXPECT_EQ(Looks(), 1);
  EXPECT_TRUE(client.open_fds.empty());
}

}  // namespace
}  // namespace lisafs
