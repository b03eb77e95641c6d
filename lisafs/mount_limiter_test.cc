#include "lisafs/mount_limiter.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace lisafs {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kStart = 1000 * kSecond;

void Set(LiveRate& rate, uint64_t per_second, uint64_t burst) {
  rate.per_second = per_second;
  rate.burst = burst;
}

TEST(TokenBucket, LetsABurstThroughAndThenTheRate) {
  LiveRate rate;
  Set(rate, 10, 3);
  TokenBucket bucket(rate);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(bucket.Take(1, kStart), kStart) << i;
  EXPECT_EQ(bucket.Take(1, kStart), kStart + kSecond / 10);
  EXPECT_EQ(bucket.Take(1, kStart), kStart + 2 * kSecond / 10);
  // It fills up to the burst and no further.
  const uint64_t later = kStart + 100 * kSecond;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(bucket.Take(1, later), later) << i;
  EXPECT_EQ(bucket.Take(1, later), later + kSecond / 10);
}

TEST(TokenBucket, ATakeBeyondTheBurstIsServedAndPaidBack) {
  LiveRate rate;
  Set(rate, 1000, 100);
  TokenBucket bucket(rate);
  EXPECT_EQ(bucket.Take(500, kStart), kStart);
  EXPECT_EQ(bucket.Take(100, kStart), kStart + kSecond / 2);
  EXPECT_EQ(bucket.Take(0, kStart), kStart + kSecond / 2);
}

TEST(TokenBucket, WithoutARateNobodyWaits) {
  LiveRate rate;
  TokenBucket bucket(rate);
  EXPECT_EQ(bucket.Take(uint64_t{1} << 40, kStart), kStart);
  EXPECT_EQ(bucket.Take(1, kStart), kStart);
}

TEST(TokenBucket, AnotherRateBeginsWithAFullBucket) {
  LiveRate rate;
  Set(rate, 1, 1);
  TokenBucket bucket(rate);
  bucket.Take(1000, kStart);
  Set(rate, 2, 1);
  EXPECT_EQ(bucket.Take(1, kStart), kStart);
  EXPECT_EQ(bucket.Take(1, kStart), kStart + kSecond / 2);
}

TEST(MountLimiter, AWaitEndsWhenItsReasonDoes) {
  for (bool close : {false, true}) {
    LivePolicy policy;
    Set(policy.bytes, 1, 1);
    policy.restrictions = kLimited;
    MountLimiter limiter(policy);
    std::atomic<bool> closing = false;
    limiter.Charge(600);  // To be waited for by the next one, for ten minutes.
    auto start = std::chrono::steady_clock::now();
    std::thread release([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      if (close) {
        closing = true;
      } else {
        policy.restrictions = 0;
      }
    });
    limiter.Await(0, closing);
    auto waited = std::chrono::steady_clock::now() - start;
    release.join();
    EXPECT_GE(waited, std::chrono::milliseconds(50));
    EXPECT_LT(waited, std::chrono::minutes(1));
  }
}

TEST(MountLimiter, WhatWasMovedIsWaitedForByTheNext) {
  LivePolicy policy;
  Set(policy.bytes, 1 << 20, 1 << 10);
  policy.restrictions = kLimited;
  MountLimiter limiter(policy);
  std::atomic<bool> closing = false;
  limiter.Charge(100 << 10);
  auto start = std::chrono::steady_clock::now();
  limiter.Await(0, closing);
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(90));
}

}  // namespace
}  // namespace lisafs
