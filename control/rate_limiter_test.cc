#include "control/rate_limiter.h"

#include <gtest/gtest.h>

namespace lisafs {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(RateLimiterTest, AdmitsABurstAndThenTheRate) {
  RateLimiter limiter(4);
  auto now = RateLimiter::Clock::now();
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(limiter.Admit("a", now)) << i;
  EXPECT_FALSE(limiter.Admit("a", now));
  EXPECT_TRUE(limiter.Admit("b", now)) << "each caller has its own";
  now += milliseconds(250);
  EXPECT_TRUE(limiter.Admit("a", now));
  EXPECT_FALSE(limiter.Admit("a", now));
  now += seconds(100);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(limiter.Admit("a", now)) << i;
  EXPECT_FALSE(limiter.Admit("a", now)) << "a pause saves no more than one burst up";
}

TEST(RateLimiterTest, ManyCallersDoNotFillMemoryForEver) {
  RateLimiter limiter(1);
  auto now = RateLimiter::Clock::now();
  for (int i = 0; i < 5000; ++i) {
    now += milliseconds(10);
    EXPECT_TRUE(limiter.Admit(std::to_string(i), now));
  }
  // Those that are remembered are still limited.
  EXPECT_FALSE(limiter.Admit("4999", now));
}

TEST(RateLimiterTest, ZeroIsNoLimit) {
  RateLimiter limiter(0);
  auto now = RateLimiter::Clock::now();
  for (int i = 0; i < 5000; ++i) EXPECT_TRUE(limiter.Admit("a", now));
}

}  // namespace
}  // namespace lisafs
