#include "control/latency.h"

#include <gtest/gtest.h>

namespace lisafs {
namespace {

TEST(LatencyAt, FindsTheBucketAndTheShareOfIt) {
  EXPECT_EQ(LatencyAt(0.5, {}), std::nullopt);
  const uint64_t none[] = {0, 0};
  EXPECT_EQ(LatencyAt(0.5, none), std::nullopt);
  const uint64_t first[] = {4};
  EXPECT_EQ(LatencyAt(0.5, first), 1u);
  // 90 calls of 1024 to 2047 ns, 10 of 4096 to 8191.
  uint64_t two[13] = {};
  two[10] = 90;
  two[12] = 10;
  EXPECT_EQ(LatencyAt(0.5, two), 1024u + 1024 * 50 / 90);
  EXPECT_EQ(LatencyAt(0.9, two), 2048u);
  EXPECT_EQ(LatencyAt(0.99, two), 4096u + 4096 * 9 / 10);
  EXPECT_EQ(LatencyAt(1, two), 8192u);
}

}  // namespace
}  // namespace lisafs
