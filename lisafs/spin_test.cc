#include "lisafs/spin.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <thread>

#include "base/clock.h"

// <sched.h> has this, too.
#define sched_param sched_param_of_linux
#include <linux/sched/types.h>
#undef sched_param

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

TEST(Spinner, EndsInTimeAndSeldomLooksAfterSpinningInVain) {
  Spinner spinner({.microseconds = 50});
  const uint64_t begin = MonotonicNanoseconds();
  uint64_t spins = 0, tries = 0, elapsed = 0;
  // Longer on a machine so busy that this thread comes to nothing.
  while ((elapsed = MonotonicNanoseconds() - begin) < 50'000'000 || spins < 2 || tries <= spins) {
    bool looked = false;
    EXPECT_FALSE(spinner.Until(false, seen, [&] { return !(looked = true); }));
    spins += looked;
    ++tries;
    usleep(10);
    ASSERT_LT(elapsed, 60'000'000'000u);
  }
  // At 0, 0.1, 0.3, 0.7, 1.5, 3.1, 6.3 and then every 5 ms.
  EXPECT_LE(spins, 8 + elapsed / 5'000'000);
  // It looks again after a while, and once that was not in vain goes on doing so.
  usleep(6000);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(spinner.Until(false, seen, [] { return true; }));
  // Then one failure is soon forgotten.
  EXPECT_FALSE(spinner.Until(false, seen, [] { return false; }));
  usleep(150);
  EXPECT_TRUE(spinner.Until(false, seen, [] { return true; }));
}

TEST(Spinner, WaitsLongerForWhoHasToWakeUp) {
  auto spin = [](bool was_woken) {
    Spinner spinner({.microseconds = 50});
    const uint64_t begin = MonotonicNanoseconds();
    EXPECT_FALSE(spinner.Until(was_woken, seen, [] { return false; }));
    return MonotonicNanoseconds() - begin;
  };
  // On a machine so busy that this thread is descheduled, spinning ends by itself.
  uint64_t longest = 0;
  for (int i = 0; i < 10; ++i) longest = std::max(longest, spin(false));
  EXPECT_GE(longest, 50'000u);
  longest = 0;
  for (int i = 0; i < 10; ++i) longest = std::max(longest, spin(true));
  EXPECT_GE(longest, 150'000u);
}

TEST(Spinner, LeavesTheCpuToOthersOnceItWasDescheduled) {
  Spinner spinner({.microseconds = 1'000'000});
  // For 0.1 ms, 0.2 ms, 0.4 ms, …, for which a busy machine may not come back to this thread.
  bool left = false;
  for (int i = 0; i < 20 && !left; ++i) {
    EXPECT_FALSE(spinner.Until(false, seen, [] {
      usleep(200);
      return false;
    }));
    left = !spinner.Until(false, seen, [] { return true; });
    usleep(6000);
  }
  EXPECT_TRUE(left);
  EXPECT_TRUE(spinner.Until(false, seen, [] { return true; }));
}

TEST(LetWakersRunFirst, AsksForALongSliceAndNothingElse) {
  auto attributes = [] {
    sched_attr attributes = {};
    EXPECT_EQ(syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0), 0);
    return attributes;
  };
  ASSERT_NE(nice(3), -1);
  const sched_attr before = attributes();
  std::thread([&] {
    LetWakersRunFirst();
    std::thread([&] {
      const sched_attr after = attributes();
      EXPECT_EQ(after.sched_nice, before.sched_nice);
      EXPECT_EQ(after.sched_policy, before.sched_policy);
      if (before.sched_runtime == 0) GTEST_SKIP() << "time slices cannot be asked for before Linux 6.12";
      EXPECT_GT(after.sched_runtime, before.sched_runtime);
    }).join();
  }).join();
  EXPECT_EQ(attributes().sched_runtime, before.sched_runtime);
}

}  // namespace
}  // namespace lisafs
