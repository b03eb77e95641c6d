#include "lisafs/fd_table.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace lisafs {
namespace {

class TestControl : public ControlFd {
 public:
  TestControl(FdBudget::Share share, NodeRef node) : ControlFd(std::move(share), std::move(node), S_IFREG) {}
};

class TestOpen : public OpenFd {
 public:
  TestOpen(FdBudget::Share share, std::shared_ptr<ControlFd> control) : OpenFd(std::move(share), std::move(control)) {}
};

class FdTableTest : public testing::Test {
 protected:
  std::shared_ptr<TestControl> Control() { return std::make_shared<TestControl>(*budget_.Take(), tree_.MakeRoot()); }

  NodeTree tree_;
  FdBudget budget_{3};
  std::unique_ptr<MountCounters> counters_ = std::make_unique<MountCounters>();
  FdTable table_{counters_.get()};
};

TEST_F(FdTableTest, NumbersAreNeverZeroAndNeverUsedAgain) {
  Fdid first = table_.Insert(Control());
  table_.Close(first);
  Fdid second = table_.Insert(Control());
  EXPECT_NE(first, kInvalidFdid);
  EXPECT_GT(second, first);
}

TEST_F(FdTableTest, LookUpByKind) {
  Fdid control = table_.Insert(Control());
  Fdid open = table_.Insert(std::make_shared<TestOpen>(*budget_.Take(), *table_.Get<TestControl>(control)));
  EXPECT_TRUE(table_.Get<TestControl>(control));
  EXPECT_TRUE(table_.Get<TestOpen>(open));
  EXPECT_EQ(table_.Get<TestOpen>(control).error(), Errno(EINVAL));
  EXPECT_EQ(table_.Get<TestControl>(open).error(), Errno(EINVAL));
  EXPECT_EQ(table_.Get<TestControl>(0).error(), Errno(EBADF));
  EXPECT_EQ(table_.Get<TestOpen>(99).error(), Errno(EBADF));
  EXPECT_EQ(table_.Find(99), nullptr);
  table_.Close(control);
  table_.Close(control);
  table_.Close(0);
  EXPECT_EQ(table_.Get<TestControl>(control).error(), Errno(EBADF));
}

TEST_F(FdTableTest, AnOpenFdKeepsItsControlFdAliveAndPaidFor) {
  Fdid control = table_.Insert(Control());
  Fdid open = table_.Insert(std::make_shared<TestOpen>(*budget_.Take(), *table_.Get<TestControl>(control)));
  table_.Close(control);
  EXPECT_EQ(tree_.size(), 1u);
  {
    auto third = budget_.Take();
    EXPECT_TRUE(third);
    EXPECT_EQ(budget_.Take().error(), Errno(EMFILE));
  }
  table_.Close(open);
  EXPECT_EQ(tree_.size(), 0u);
  auto a = budget_.Take(), b = budget_.Take(), c = budget_.Take();
  EXPECT_TRUE(a && b && c);
}

TEST(FdBudgetTest, OpenFilesLeaveSomeForWhoPassesBy) {
  FdBudget budget(80);
  std::vector<FdBudget::Share> open;
  while (auto share = budget.TakeForOpenFile()) open.push_back(*std::move(share));
  EXPECT_EQ(open.size(), 70u);
  EXPECT_EQ(budget.TakeForOpenFile().error(), Errno(EMFILE));
  {
    std::vector<FdBudget::Share> passing;
    while (auto share = budget.Take()) passing.push_back(*std::move(share));
    EXPECT_EQ(passing.size(), 10u);
  }
  open.pop_back();
  EXPECT_TRUE(budget.TakeForOpenFile());
}

TEST_F(FdTableTest, AUserKeepsAClosedObject) {
  Fdid control = table_.Insert(Control());
  auto used = table_.Get<TestControl>(control);
  table_.Close(control);
  EXPECT_FALSE((*used)->node().deleted());
  EXPECT_EQ(tree_.size(), 1u);
}

TEST_F(FdTableTest, CountsWhatIsHeld) {
  Fdid control = table_.Insert(Control());
  table_.Insert(std::make_shared<TestOpen>(*budget_.Take(), *table_.Get<TestControl>(control)));
  EXPECT_EQ(counters_->summary.control_fds, 1u);
  EXPECT_EQ(counters_->summary.open_fds, 1u);
  table_.Close(control);
  EXPECT_EQ(counters_->summary.control_fds, 0u);
  table_.Clear();
  EXPECT_EQ(counters_->summary.open_fds, 0u);
  EXPECT_EQ(table_.size(), 0u);
}

}  // namespace
}  // namespace lisafs
