#include "lisafs/spin.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/clock.h"

namespace lisafs {
namespace {

uint64_t seen;

TEST(Spinner, DoesNotLookWithoutAPolicy) {
  Spinner spinner({});
  EXPECT_FALSE(spinner.Until(true, seen, [] {
    ADD_FAILURE();
    return true;
  }));
}

TEST(Spinner, SaysWhenItSaw) {
  Spinner spinner({.microseconds = 1'000'000});
  const uint64_t before = MonotonicNanoseconds();
  int looks = 0;
  // On a machine so busy that this thread is descheduled, spinning ends by itself.
  if (!spinner.Until(false, seen, [&] { return ++looks == 3; })) GTEST_SKIP() << "descheduled";
  EXPECT_EQ(looks, 3);
  EXPECT_GE(seen, before);
  EXPECT_LE(seen, MonotonicNanoseconds());
}

TEST(Spinner, EndsInTimeAndAfterSpinningInVainLooksNoMore) {
  Spinner spinner({.microseconds = 50});
  bool looked = true;
  int tries = 0;
  for (; looked && tries < 100; ++tries) {
    looked = false;
    EXPECT_FALSE(spinner.Until(false, seen, [&] { return !(looked = true); }));
  }
  EXPECT_LE(tries, 4);
  EXPECT_FALSE(looked);
  // It looks again after a while, and once that was not in vain goes on doing so.
  usleep(6000);
  EXPECT_TRUE(spinner.Until(false, seen, [] { return true; }));
  EXPECT_TRUE(spinner.Until(false, seen, [] { return true; }));
}

TEST(Spinner, LeavesTheCpuToOthersOnceItWasDescheduled) {
  Spinner spinner({.microseconds = 1'000'000});
  EXPECT_FALSE(spinner.Until(false, seen, [] {
    usleep(200);
    return false;
  }));
  EXPECT_FALSE(spinner.Until(false, seen, [] { return true; }));
  usleep(6000);
  EXPECT_TRUE(spinner.Until(false, seen, [] { return true; }));
}

}  // namespace
}  // namespace lisafs
