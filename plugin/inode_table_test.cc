#include "plugin/inode_table.h"

#include <gtest/gtest.h>

#include "plugin/fake_client.h"

namespace lisafs {
namespace {

class InodeTableTest : public testing::Test {
 protected:
  static constexpr uint64_t kRoot = 1;

  InodeTable& Table(size_t budget = 100) {
    if (!table_) table_.emplace(client, budget);
    return *table_;
  }
  NodeRef Node(uint64_t id) { return std::move(*Table().Find(id)); }
  // As a LOOKUP would.
  uint64_t Intern(uint64_t parent, const std::string& parent_path, const std::string& name) {
    auto file = client.Get(parent_path.empty() ? name : parent_path + "/" + name);
    return Table().Intern(*Node(parent), name, file->stat);
  }
  FakeClient::FilePtr Pinned(uint64_t id) {
    auto pinned = Table().Pin(id);
    return pinned ? client.control_fds[pinned->fd()] : nullptr;
  }

  FakeClient client;
  std::optional<InodeTable> table_;
};

TEST_F(InodeTableTest, TheRootIsThereFromTheStart) {
  auto pinned = Table().Pin(kRoot);
  ASSERT_TRUE(pinned);
  EXPECT_EQ(pinned->fd(), client.root().control_fd);
  EXPECT_EQ(client.calls.size(), 0u);
  EXPECT_EQ(Table().Find(2).error(), Errno(ESTALE));
  Table().Forget(kRoot, 1000);
  EXPECT_TRUE(Table().Find(kRoot));
}

TEST_F(InodeTableTest, HardLinksShareANode) {
  auto file = client.Add("a", S_IFREG | 0644);
  client.tree->children["b"] = file;
  client.Add("c", S_IFREG | 0644);
  uint64_t a = Intern(kRoot, "", "a");
  EXPECT_EQ(Intern(kRoot, "", "b"), a);
  EXPECT_NE(Intern(kRoot, "", "c"), a);
  EXPECT_EQ(Table().node_count(), 3u);
  Table().Forget(a, 1);
  EXPECT_EQ(Table().node_count(), 3u);
  Table().Forget(a, 1);
  EXPECT_EQ(Table().node_count(), 2u);
  EXPECT_EQ(Table().Find(a).error(), Errno(ESTALE));
}

TEST_F(InodeTableTest, AReusedInodeNumberIsAnotherFile) {
  auto old = client.Add("a", S_IFREG | 0644);
  uint64_t first = Intern(kRoot, "", "a");
  auto reborn = client.Add("a", S_IFREG | 0644);
  reborn->stat.ino = old->stat.ino;
  reborn->stat.btime.sec += 1;
  EXPECT_NE(Intern(kRoot, "", "a"), first);
  auto directory = client.Add("a", S_IFDIR | 0755);
  directory->stat.ino = old->stat.ino;
  EXPECT_NE(Intern(kRoot, "", "a"), first);
}

TEST_F(InodeTableTest, AControlFdIsWalkedForWhenNeeded) {
  client.Add("d", S_IFDIR | 0755);
  client.Add("d/e", S_IFDIR | 0755);
  auto file = client.Add("d/e/f", S_IFREG | 0644);
  uint64_t d = Intern(kRoot, "", "d");
  uint64_t e = Intern(d, "d", "e");
  uint64_t f = Intern(e, "d/e", "f");
  EXPECT_EQ(client.calls[Mid::kWalk], 0);
  EXPECT_EQ(Pinned(f), file);
  EXPECT_EQ(client.calls[Mid::kWalk], 1);
  // The directories on the way got theirs with it.
  EXPECT_EQ(Pinned(d), client.Get("d"));
  EXPECT_EQ(Pinned(f), file);
  EXPECT_EQ(client.calls[Mid::kWalk], 1);
}

TEST_F(InodeTableTest, LongPathsTakeSeveralWalks) {
  std::string path;
  uint64_t at = kRoot;
  for (int i = 0; i < 100; ++i) {
    std::string parent = path;
    path += path.empty() ? "d" : "/d";
    client.Add(path, S_IFDIR | 0755);
    at = Intern(at, parent, "d");
  }
  EXPECT_EQ(Pinned(at), client.Get(path));
  EXPECT_EQ(client.calls[Mid::kWalk], 4);
}

TEST_F(InodeTableTest, TheBudgetIsKept) {
  Table(10);
  std::vector<uint64_t> files;
  for (int i = 0; i < 50; ++i) {
    std::string name = "f" + std::to_string(i);
    client.Add(name, S_IFREG | 0644);
    files.push_back(Intern(kRoot, "", name));
  }
  for (size_t i = 0; i < files.size(); ++i) {
    EXPECT_EQ(Pinned(files[i]), client.Get("f" + std::to_string(i)));
    EXPECT_LE(client.control_fds.size(), 10u);
  }
  // The one used last is still there; the one used first has to be walked for.
  int walks = client.calls[Mid::kWalk];
  EXPECT_NE(Pinned(files.back()), nullptr);
  EXPECT_EQ(client.calls[Mid::kWalk], walks);
  EXPECT_EQ(Pinned(files.front()), client.Get("f0"));
  EXPECT_EQ(client.calls[Mid::kWalk], walks + 1);
}

TEST_F(InodeTableTest, WhatIsPinnedIsNotGivenUp) {
  Table(2);
  client.Add("a", S_IFREG | 0644);
  client.Add("b", S_IFREG | 0644);
  uint64_t a = Intern(kRoot, "", "a");
  auto pinned_a = Table().Pin(a);
  auto pinned_b = Table().Pin(Intern(kRoot, "", "b"));
  ASSERT_TRUE(pinned_a && pinned_b);
  EXPECT_EQ(client.control_fds.size(), 3u);  // Over the budget for as long as both are in use.
  *pinned_b = {};
  EXPECT_EQ(client.control_fds.size(), 2u);
  EXPECT_TRUE(client.control_fds.contains(pinned_a->fd()));
}

TEST_F(InodeTableTest, TheBudgetGivesWay) {
  std::vector<uint64_t> files;
  for (int i = 0; i < 99; ++i) {
    std::string name = "f" + std::to_string(i);
    client.Add(name, S_IFREG | 0644);
    files.push_back(Intern(kRoot, "", name));
    EXPECT_NE(Pinned(files.back()), nullptr);
  }
  EXPECT_EQ(client.control_fds.size(), 100u);
  EXPECT_TRUE(Table().ReduceBudget());
  EXPECT_EQ(client.control_fds.size(), 64u);
  EXPECT_EQ(client.flushes, 1);
  for (uint64_t file : files) EXPECT_NE(Pinned(file), nullptr);
  EXPECT_EQ(client.control_fds.size(), 64u);
  EXPECT_FALSE(Table().ReduceBudget());
}

TEST_F(InodeTableTest, AStrangerUnderTheNameIsNotTheFile) {
  client.Add("a", S_IFREG | 0644);
  uint64_t a = Intern(kRoot, "", "a");
  client.Add("a", S_IFREG | 0644);
  EXPECT_EQ(Table().Pin(a).error(), Errno(ESTALE));
  EXPECT_EQ(client.control_fds.size(), 1u);
  client.tree->children.clear();
  EXPECT_EQ(Table().Pin(a).error(), Errno(ESTALE));
}

TEST_F(InodeTableTest, AnotherNameWillDo) {
  auto file = client.Add("a", S_IFREG | 0644);
  client.tree->children["b"] = file;
  uint64_t a = Intern(kRoot, "", "a");
  Intern(kRoot, "", "b");
  client.tree->children.erase("b");  // The one learned last, and tried first.
  EXPECT_EQ(Pinned(a), file);
}

TEST_F(InodeTableTest, ADirectoryOnTheWayThatTurnsIntoAFile) {
  client.Add("d", S_IFDIR | 0755);
  client.Add("d/e", S_IFDIR | 0755);
  client.Add("d/e/f", S_IFREG | 0644);
  uint64_t d = Intern(kRoot, "", "d");
  uint64_t e = Intern(d, "d", "e");
  uint64_t f = Intern(e, "d/e", "f");
  client.Add("d", S_IFREG | 0644);
  EXPECT_EQ(Table().Pin(f).error(), Errno(ESTALE));
  EXPECT_EQ(client.control_fds.size(), 1u);
}

TEST_F(InodeTableTest, AnErrorOfTheServersIsNotStaleness) {
  client.Add("a", S_IFREG | 0644);
  uint64_t a = Intern(kRoot, "", "a");
  client.fail_with[Mid::kWalk] = EMFILE;
  EXPECT_EQ(Table().Pin(a).error(), Errno(EMFILE));
  client.fail_with.clear();
  EXPECT_EQ(Pinned(a), client.Get("a"));
}

TEST_F(InodeTableTest, ADeletedFileKeepsItsFdUntilItIsForgotten) {
  Table(2);
  auto file = client.Add("a", S_IFREG | 0644);
  client.Add("b", S_IFREG | 0644);
  uint64_t a = Intern(kRoot, "", "a");
  ASSERT_EQ(Pinned(a), file);
  client.tree->children.erase("a");
  Table().Unlinked(*Node(kRoot), "a");
  EXPECT_NE(Pinned(Intern(kRoot, "", "b")), nullptr);
  EXPECT_EQ(Pinned(a), file);
  EXPECT_EQ(client.flushes, 0);
  Table().Forget(a, 1);
  EXPECT_EQ(client.flushes, 1);
  for (auto& [fd, held] : client.control_fds) EXPECT_NE(held, file);
}

TEST_F(InodeTableTest, AFileThatLosesOneOfItsNamesIsReachedByTheOther) {
  auto file = client.Add("a", S_IFREG | 0644);
  client.tree->children["b"] = file;
  uint64_t a = Intern(kRoot, "", "b");
  Intern(kRoot, "", "a");
  {
    auto pinned = Table().Pin(a);
    ASSERT_TRUE(pinned);
    client.tree->children.erase("a");
    Table().Unlinked(*Node(kRoot), "a");
  }
  EXPECT_EQ(client.control_fds.size(), 1u);  // The FD stood for the position that is gone.
  EXPECT_EQ(Pinned(a), file);
  EXPECT_EQ(client.calls[Mid::kWalk], 2);
}

TEST_F(InodeTableTest, RenamesAreFollowed) {
  client.Add("d", S_IFDIR | 0755);
  auto file = client.Add("a", S_IFREG | 0644);
  client.Add("d/victim", S_IFREG | 0644);
  uint64_t d = Intern(kRoot, "", "d");
  uint64_t a = Intern(kRoot, "", "a");
  uint64_t victim = Intern(d, "d", "victim");
  client.Get("d")->children["victim"] = file;
  client.tree->children.erase("a");
  Table().Renamed(*Node(kRoot), "a", *Node(d), "victim");
  EXPECT_EQ(Pinned(a), file);
  EXPECT_FALSE(Table().FindChild(*Node(kRoot), "a"));
  EXPECT_EQ(Table().FindChild(*Node(d), "victim")->id(), a);
  EXPECT_EQ(Table().Pin(victim).error(), Errno(ESTALE));
}

TEST_F(InodeTableTest, ExchangesAreFollowed) {
  client.Add("d", S_IFDIR | 0755);
  auto one = client.Add("d/one", S_IFDIR | 0755);
  auto inner = client.Add("d/one/inner", S_IFREG | 0644);
  auto two = client.Add("two", S_IFREG | 0644);
  uint64_t d = Intern(kRoot, "", "d");
  uint64_t one_id = Intern(d, "d", "one");
  uint64_t inner_id = Intern(one_id, "d/one", "inner");
  uint64_t two_id = Intern(kRoot, "", "two");
  client.tree->children["two"] = one;
  client.Get("d")->children["one"] = two;
  Table().Exchanged(*Node(d), "one", *Node(kRoot), "two");
  EXPECT_EQ(Pinned(inner_id), inner);
  EXPECT_EQ(Pinned(two_id), two);
}

TEST_F(InodeTableTest, AForgottenParentIsKeptForItsChildren) {
  client.Add("d", S_IFDIR | 0755);
  auto file = client.Add("d/f", S_IFREG | 0644);
  uint64_t d = Intern(kRoot, "", "d");
  uint64_t f = Intern(d, "d", "f");
  Table().Forget(d, 1);
  EXPECT_EQ(Pinned(f), file);
  EXPECT_EQ(Intern(kRoot, "", "d"), d);
  Table().Forget(d, 1);
  Table().Forget(f, 1);
  EXPECT_EQ(Table().node_count(), 1u);
  EXPECT_EQ(client.control_fds.size(), 1u);
}

TEST_F(InodeTableTest, TheHostTurnsParentAndChildAround) {
  auto a = client.Add("a", S_IFDIR | 0755);
  auto b = client.Add("a/b", S_IFDIR | 0755);
  uint64_t a_id = Intern(kRoot, "", "a");
  uint64_t b_id = Intern(a_id, "a", "b");
  client.tree->children = {{"b", b}};
  a->children.clear();
  b->children = {{"a", a}};
  // Seen through a descriptor on b, before b's own new place is.
  Table().Intern(*Node(b_id), "a", a->stat);
  EXPECT_EQ(Table().Pin(a_id).error(), Errno(ESTALE));
  EXPECT_EQ(Intern(kRoot, "", "b"), b_id);
  EXPECT_EQ(Intern(b_id, "b", "a"), a_id);
  EXPECT_EQ(Pinned(a_id), a);
}

TEST_F(InodeTableTest, ReachLooksFromTheParent) {
  client.Add("d", S_IFDIR | 0755);
  client.Add("d/f", S_IFREG | 0644);
  uint64_t d = Intern(kRoot, "", "d");
  uint64_t f = Intern(d, "d", "f");
  EXPECT_FALSE(Table().Reach(f)->parent);  // The parent has no FD either.
  Pinned(d);
  auto place = Table().Reach(f);
  ASSERT_TRUE(place && place->parent);
  EXPECT_EQ(place->parent.node().id(), d);
  EXPECT_EQ(place->name, "f");
  Pinned(f);
  EXPECT_FALSE(Table().Reach(f)->parent);
}

}  // namespace
}  // namespace lisafs
