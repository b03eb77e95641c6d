#include "sandbox/id_map.h"

#include <gtest/gtest.h>

namespace lisafs {
namespace {

constexpr uint32_t kLast = 0xfffffffe;

TEST(IdMapTest, RangesMustBeOnesThatTheKernelTakes) {
  EXPECT_TRUE(CheckIdRanges(IdentityMap().uids).ok());
  EXPECT_TRUE(CheckIdRanges({{{0, 100000, 65536}}}).ok());
  EXPECT_TRUE(CheckIdRanges({{{0, 1000, 1}, {1, 100000, 999}, {1000, 1001, 1}}}).ok());
  EXPECT_TRUE(CheckIdRanges({{{kLast, 0, 1}}}).ok());
  const struct {
    std::vector<IdRange> ranges;
    const char* why;
  } cases[] = {
      {{}, "no ids"},
      {{{0, 0, 0}}, "a range without ids"},
      {{{kLast, 0, 2}}, "a range beyond the last id"},
      {{{0, kLast, 2}}, "a range beyond the last id"},
      {{{1, 0, 0xffffffff}}, "a range beyond the last id"},
      {{{0, 1000, 10}, {9, 2000, 10}}, "ranges that share ids"},
      {{{0, 1000, 10}, {20, 1009, 10}}, "ranges that share ids"},
      {{{0, 1000, 1}, {0, 2000, 1}}, "ranges that share ids"},
      {std::vector<IdRange>(kMaxIdRanges + 1, {0, 0, 1}), "more than 340 ranges of ids"},
  };
  for (const auto& c : cases) EXPECT_EQ(CheckIdRanges(c.ranges).message(), c.why);
}

TEST(IdMapTest, OutsideIdsAreThemselves) {
  EXPECT_EQ(OutsideOf({{{0, 100000, 10}, {10, 5, 1}}, {{0, 7, 1}}}),
            (IdMap{{{100000, 100000, 10}, {5, 5, 1}}, {{7, 7, 1}}}));
}

TEST(IdMapTest, FirstIdIsTheLowestInside) {
  EXPECT_EQ(FirstId({{{5, 100, 10}, {0, 300, 5}, {15, 50, 1}}}), 300u);
}

TEST(IdMapTest, FindsAnIdThatAllHave) {
  using All = std::vector<std::vector<IdRange>>;
  EXPECT_EQ(CommonOutsideId(All{}, 7), 7u);
  EXPECT_EQ(CommonOutsideId(All{{{0, 100, 10}}}, 105), 105u);
  EXPECT_EQ(CommonOutsideId(All{{{0, 100, 10}}}, 110), 100u);
  EXPECT_EQ(CommonOutsideId(All{{{0, 100, 10}}, {{0, 5, 1}, {1, 108, 10}}}, 0), 108u);
  EXPECT_EQ(CommonOutsideId(All{{{0, 100, 10}}, {{0, 110, 10}}}, 100), std::nullopt);
}

}  // namespace
}  // namespace lisafs
