#include "lisafs/node.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace lisafs {
namespace {

TEST(NodeTree, OnePositionOneNode) {
  NodeTree tree;
  NodeRef root = tree.MakeRoot();
  NodeRef a = tree.Child(*root, "a");
  NodeRef again = tree.Child(*root, "a");
  NodeRef b = tree.Child(*root, "b");
  EXPECT_EQ(a.get(), again.get());
  EXPECT_NE(a.get(), b.get());
  EXPECT_EQ(tree.size(), 3u);
}

TEST(NodeTree, KnowsWhatItHas) {
  NodeTree tree;
  NodeRef root = tree.MakeRoot();
  NodeRef a = tree.Child(*root, "a");
  EXPECT_TRUE(tree.Has(*root, "a"));
  EXPECT_FALSE(tree.Has(*root, "b"));
  tree.Remove(*root, "a");
  EXPECT_FALSE(tree.Has(*root, "a"));
}

TEST(NodeTree, RootsAreStrangers) {
  NodeTree tree;
  NodeRef one = tree.MakeRoot();
  NodeRef other = tree.MakeRoot();
  EXPECT_NE(tree.Child(*one, "a").get(), tree.Child(*other, "a").get());
}

TEST(NodeTree, ANodeGoesWithItsLastReferenceAndKeepsItsParent) {
  NodeTree tree;
  NodeRef root = tree.MakeRoot();
  {
    NodeRef child = tree.Child(*tree.Child(*root, "a"), "b");
    EXPECT_EQ(tree.size(), 3u);
  }
  EXPECT_EQ(tree.size(), 1u);
}

TEST(NodeTree, DeepTreesDieWithoutRecursion) {
  NodeTree tree;
  NodeRef root = tree.MakeRoot();
  NodeRef top = tree.Child(*root, "top");
  NodeRef deepest = tree.Copy(*top);
  for (int i = 0; i < 200'000; ++i) deepest = tree.Child(*deepest, "d");
  tree.Remove(*root, "top");
  EXPECT_TRUE(deepest->deleted());
  deepest = NodeRef();
  EXPECT_EQ(tree.size(), 2u);
}

TEST(NodeTree, RemovalIsForGoodAndForAllBelow) {
  NodeTree tree;
  NodeRef root = tree.MakeRoot();
  NodeRef dir = tree.Child(*root, "d");
  NodeRef file = tree.Child(*dir, "f");
  tree.Remove(*root, "missing");
  tree.Remove(*root, "d");
  EXPECT_TRUE(dir->deleted());
  EXPECT_TRUE(file->deleted());
  EXPECT_FALSE(root->deleted());
  EXPECT_TRUE(tree.Child(*dir, "new")->deleted());
}

// Stock servers remove by name: the old node's death takes the new node out of the table.
TEST(NodeTree, ADeletedNodeLeavesItsSuccessorAlone) {
  NodeTree tree;
  NodeRef root = tree.MakeRoot();
  NodeRef old = tree.Child(*root, "x");
  tree.Remove(*root, "x");
  NodeRef successor = tree.Child(*root, "x");
  EXPECT_NE(old.get(), successor.get());
  old = NodeRef();
  EXPECT_EQ(tree.Child(*root, "x").get(), successor.get());
  EXPECT_FALSE(successor->deleted());
}

TEST(NodeTree, MoveTakesTheSubtreeAndDeletesWhatItReplaces) {
  NodeTree tree;
  NodeRef root = tree.MakeRoot();
  NodeRef from = tree.Child(*root, "from");
  NodeRef to = tree.Child(*root, "to");
  NodeRef moved = tree.Child(*from, "x");
  NodeRef below = tree.Child(*moved, "below");
  NodeRef replaced = tree.Child(*to, "y");
  tree.Move(*from, "x", *to, "y");
  EXPECT_TRUE(replaced->deleted());
  EXPECT_FALSE(moved->deleted());
  EXPECT_EQ(tree.Child(*to, "y").get(), moved.get());
  EXPECT_EQ(tree.Child(*moved, "below").get(), below.get());
  EXPECT_NE(tree.Child(*from, "x").get(), moved.get());
  from = NodeRef();
  EXPECT_EQ(tree.Child(*to, "y").get(), moved.get());
}

TEST(NodeTree, MoveOfAnUntrackedFileStillReplaces) {
  NodeTree tree;
  NodeRef root = tree.MakeRoot();
  NodeRef replaced = tree.Child(*root, "y");
  tree.Move(*root, "x", *root, "y");
  EXPECT_TRUE(replaced->deleted());
}

TEST(NodeTree, ExchangeDeletesNone) {
  NodeTree tree;
  NodeRef root = tree.MakeRoot();
  NodeRef dir = tree.Child(*root, "d");
  NodeRef a = tree.Child(*root, "a");
  NodeRef b = tree.Child(*dir, "b");
  tree.Exchange(*root, "a", *dir, "b");
  EXPECT_EQ(tree.Child(*dir, "b").get(), a.get());
  EXPECT_EQ(tree.Child(*root, "a").get(), b.get());
  EXPECT_FALSE(a->deleted());
  EXPECT_FALSE(b->deleted());
}

// Other processes on the host put something else where a directory was, and the client moves that into the directory.
TEST(NodeTree, NothingComesToStandBelowItself) {
  NodeTree tree;
  {
    NodeRef root = tree.MakeRoot();
    NodeRef dir = tree.Child(*root, "d");
    NodeRef below = tree.Child(*dir, "b");
    NodeRef file = tree.Child(*root, "f");
    tree.Move(*root, "d", *dir, "x");
    EXPECT_FALSE(dir->deleted());
    EXPECT_EQ(tree.Child(*dir, "b").get(), below.get());
    NodeRef successor = tree.Child(*root, "d");
    EXPECT_NE(successor.get(), dir.get());
    tree.Exchange(*dir, "b", *below, "x");
    tree.Exchange(*root, "f", *root, "d");
    EXPECT_EQ(tree.Child(*root, "d").get(), file.get());
  }
  EXPECT_EQ(tree.size(), 0u);
}

TEST(NodeTree, ManyThreads) {
  NodeTree tree;
  NodeRef root = tree.MakeRoot();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 5'000; ++i) {
        NodeRef dir = tree.Child(*root, "d" + std::to_string(i % 7));
        NodeRef file = tree.Child(*dir, std::to_string(i % 11));
        if (t == 0) tree.Move(*dir, std::to_string(i % 11), *root, "moved");
        if (t == 1) tree.Remove(*root, "moved");
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(tree.size(), 1u);
}

}  // namespace
}  // namespace lisafs
