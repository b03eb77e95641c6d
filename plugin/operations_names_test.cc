// Names made, removed and changed; directories listed.

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>

#include <set>

#include "plugin/operations_testing.h"

namespace lisafs {
namespace {

TEST_F(OperationsTest, CreationsBelongToTheCaller) {
  EXPECT_EQ(Ask(FUSE_MKDIR, kRoot, fuse_mkdir_in{0755, 0}, "d").error, 0);
  EXPECT_EQ(client.created.uid, 1000u);
  EXPECT_EQ(client.created.gid, 2000u);
  EXPECT_EQ(client.Get("d")->stat.mode, S_IFDIR | 0755);
  // What was made comes with a control FD: nothing has to be walked for.
  EXPECT_EQ(Ask(FUSE_SYMLINK, LookUp(kRoot, "d"), "l", "target").error, 0);
  EXPECT_EQ(client.Get("d/l")->content, "target");
  EXPECT_EQ(client.calls[Mid::kWalk], 0);
}

TEST_F(OperationsTest, ASetGroupIdDirectoryGivesItsGroup) {
  client.Add("g", S_IFDIR | 02775);
  uint64_t g = LookUp(kRoot, "g");
  Ask(FUSE_MKDIR, g, fuse_mkdir_in{0755, 0}, "d");
  EXPECT_EQ(client.created.uid, 1000u);
  EXPECT_EQ(client.created.gid, kNoId);
  Ask(FUSE_CREATE, g, fuse_create_in{O_RDWR, S_IFREG | 0644, 0, 0}, "f");
  EXPECT_EQ(client.created.gid, kNoId);
}

TEST_F(OperationsTest, MakesWhatTheKernelCanServeItself) {
  struct {
    uint32_t mode;
    int error;
    Mid message;
    uint32_t device = 0;
  } cases[] = {{S_IFREG | 0644, 0, Mid::kMknodAt},     {S_IFIFO | 0644, 0, Mid::kMakeNodeAt},
               {S_IFSOCK | 0755, 0, Mid::kMakeNodeAt}, {S_IFCHR | 0600, EPERM, Mid::kError, 0x103},
               {S_IFCHR | 0600, 0, Mid::kMknodAt},     {S_IFBLK | 0600, EPERM, Mid::kError}};
  for (auto [mode, error, message, device] : cases) {
    client.calls.clear();
    fuse_mknod_in request = {.mode = mode, .rdev = device};
    EXPECT_EQ(Ask(FUSE_MKNOD, kRoot, request, std::to_string(mode)).error, error) << mode;
    if (error == 0) {
      EXPECT_EQ(client.calls[message], 1) << mode;
      EXPECT_EQ(client.Get(std::to_string(mode))->stat.mode, mode);
    }
  }
  client.unsupported = {Mid::kMakeNodeAt};
  EXPECT_EQ(Ask(FUSE_MKNOD, kRoot, fuse_mknod_in{.mode = S_IFIFO}, "p").error, EPERM);
}

TEST_F(OperationsTest, LinkGivesTheSameNode) {
  auto file = client.Add("a", S_IFREG);
  uint64_t a = LookUp(kRoot, "a");
  auto entry = Ask(FUSE_LINK, kRoot, fuse_link_in{a}, "b").As<fuse_entry_out>();
  EXPECT_EQ(entry.nodeid, a);
  EXPECT_EQ(entry.attr.nlink, 2u);
  EXPECT_EQ(client.Get("b"), file);
  EXPECT_EQ(client.control_fds.size(), 2u);
}

TEST_F(OperationsTest, ADeletedFileStaysReachable) {
  client.Add("a", S_IFREG)->content = "still here";
  uint64_t a = LookUp(kRoot, "a");
  EXPECT_EQ(Ask(FUSE_UNLINK, kRoot, "a").error, 0);
  EXPECT_EQ(client.Get("a"), nullptr);
  EXPECT_EQ(Ask(FUSE_GETATTR, a, fuse_getattr_in{}).As<fuse_attr_out>().attr.size, 10u);
  EXPECT_EQ(Ask(FUSE_LOOKUP, kRoot, "a").As<fuse_entry_out>().nodeid, 0u);
  EXPECT_EQ(Ask(FUSE_UNLINK, kRoot, "a").error, ENOENT);
}

TEST_F(OperationsTest, WhatWasReplacedByTheHostCanBeRemoved) {
  client.Add("a", S_IFREG);
  uint64_t a = LookUp(kRoot, "a");
  client.Add("a", S_IFREG);
  EXPECT_EQ(Ask(FUSE_UNLINK, kRoot, "a").error, 0);
  EXPECT_EQ(client.Get("a"), nullptr);
  EXPECT_EQ(Ask(FUSE_GETATTR, a, fuse_getattr_in{}).error, ESTALE);
}

TEST_F(OperationsTest, RemovedDirectories) {
  client.Add("d", S_IFDIR | 0755);
  uint64_t d = LookUp(kRoot, "d");
  EXPECT_EQ(Ask(FUSE_RMDIR, kRoot, "d").error, 0);
  EXPECT_EQ(Ask(FUSE_GETATTR, d, fuse_getattr_in{}).error, 0);  // Somebody's working directory.
}

TEST_F(OperationsTest, Renames) {
  client.Add("d", S_IFDIR | 0755);
  auto file = client.Add("a", S_IFREG);
  client.Add("d/b", S_IFREG)->content = "replaced";
  uint64_t d = LookUp(kRoot, "d");
  uint64_t a = LookUp(kRoot, "a");
  uint64_t b = LookUp(d, "b");
  EXPECT_EQ(Ask(FUSE_RENAME, kRoot, fuse_rename_in{d}, "a", "b").error, 0);
  EXPECT_EQ(client.Get("d/b"), file);
  EXPECT_EQ(LookUp(d, "b"), a);
  // What was replaced is as reachable as what was deleted.
  EXPECT_EQ(Ask(FUSE_GETATTR, b, fuse_getattr_in{}).As<fuse_attr_out>().attr.size, 8u);
}

TEST_F(OperationsTest, Rename2Flags) {
  client.Add("a", S_IFREG);
  client.Add("b", S_IFREG);
  uint64_t a = LookUp(kRoot, "a");
  uint64_t b = LookUp(kRoot, "b");
  auto rename2 = [&](uint32_t flags) {
    return Ask(FUSE_RENAME2, kRoot, fuse_rename2_in{.newdir = kRoot, .flags = flags}, "a", "b").error;
  };
  EXPECT_EQ(rename2(RENAME_NOREPLACE), EEXIST);
  EXPECT_EQ(rename2(RENAME_WHITEOUT), EINVAL);
  EXPECT_EQ(rename2(0x80), EINVAL);
  EXPECT_EQ(rename2(RENAME_EXCHANGE), 0);
  EXPECT_EQ(LookUp(kRoot, "a"), b);
  EXPECT_EQ(LookUp(kRoot, "b"), a);
  client.unsupported = {Mid::kRenameAt2};
  EXPECT_EQ(rename2(RENAME_EXCHANGE), EINVAL);
  EXPECT_EQ(rename2(0), 0);
}

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
  EXPECT_EQ(Names(List(FUSE_READDIRPLUS, kRoot, fh, 0)), ". .. d e h ");
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

TEST_F(ListingTest, AListingWithAttributesIsOneRequest) {
  for (const char* name : {"a", "b", "c"}) client.Add(name, S_IFREG);
  uint64_t fh = OpenDir(kRoot);
  client.calls.clear();
  EXPECT_EQ(Names(List(FUSE_READDIRPLUS, kRoot, fh, 0)), ". .. a b c ");
  EXPECT_EQ(Names(List(FUSE_READDIRPLUS, kRoot, fh, 5)), "");
  EXPECT_EQ(client.calls, (std::map<Mid, int>{{Mid::kListStat, 2}}));
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

TEST_F(ListingTest, TheKernelDoesNotCacheListingsThatMayChange) {
  exclusive = true;
  EXPECT_EQ(Ask(FUSE_OPENDIR, kRoot, fuse_open_in{}).As<fuse_open_out>().open_flags, unsigned{FOPEN_KEEP_CACHE});
}

TEST_F(ListingTest, TheKernelCachesListingsWhereNothingChanges) {
  exclusive = true;
  read_only = true;
  EXPECT_EQ(Ask(FUSE_OPENDIR, kRoot, fuse_open_in{}).As<fuse_open_out>().open_flags,
            unsigned{FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR});
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
