#include "plugin/slot_table.h"

#include <gtest/gtest.h>

#include <string>

namespace lisafs {
namespace {

TEST(SlotTable, FindsWhatWasAdded) {
  SlotTable<std::string> table;
  EXPECT_EQ(table.Add("a"), 1u);
  uint64_t b = table.Add("b");
  EXPECT_EQ(*table.Find(1), "a");
  EXPECT_EQ(*table.Find(b), "b");
  EXPECT_EQ(table.size(), 2u);
  for (uint64_t unknown : {uint64_t{0}, b + 1, uint64_t{1} << 32, UINT64_MAX}) EXPECT_EQ(table.Find(unknown), nullptr);
}

TEST(SlotTable, AReusedSlotHasAnotherNumber) {
  SlotTable<std::string> table;
  uint64_t first = table.Add("first");
  EXPECT_EQ(table.Remove(first), "first");
  uint64_t second = table.Add("second");
  EXPECT_NE(first, second);
  EXPECT_EQ(table.Find(first), nullptr);
  EXPECT_EQ(table.Remove(first), "");
  EXPECT_EQ(*table.Find(second), "second");
  EXPECT_EQ(table.size(), 1u);
}

}  // namespace
}  // namespace lisafs
