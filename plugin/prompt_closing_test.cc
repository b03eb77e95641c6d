#include "plugin/prompt_closing.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>

#include "plugin/fake_client.h"

namespace lisafs {
namespace {

// Counts, and can be slow.
class CountingClient : public FakeClient {
 public:
  void FlushClosed() override {
    if (slow) usleep(50'000);
    ++flushed;
  }
  std::atomic<int> flushed = 0;
  std::atomic<bool> slow = false;
};

class PromptClosingTest : public testing::Test {
 protected:
  void WaitFor(int flushed) {
    while (client_.flushed < flushed) usleep(1000);
  }
  CountingClient client_;
  std::unique_ptr<PromptClosing> closing_ = std::make_unique<PromptClosing>(client_);
};

TEST_F(PromptClosingTest, ManyAreOneRequest) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 1000; ++i) closing_->Closed();
  WaitFor(1);
  EXPECT_GE(std::chrono::steady_clock::now() - start, PromptClosing::kGather);
  usleep(100'000);
  EXPECT_LE(client_.flushed, 2);
}

TEST_F(PromptClosingTest, WhatIsClosedDuringARequestGetsItsOwn) {
  client_.slow = true;
  closing_->Closed();
  usleep(40'000);  // Under way.
  closing_->Closed();
  WaitFor(2);
}

TEST_F(PromptClosingTest, IdleItAsksNothing) {
  usleep(100'000);
  EXPECT_EQ(client_.flushed, 0);
}

TEST_F(PromptClosingTest, EndsAtAnyMoment) {
  for (int i = 0; i < 200; ++i) {
    if (i % 2 == 0) closing_->Closed();
    if (i % 5 == 0) usleep(static_cast<useconds_t>(i * 200));
    closing_ = std::make_unique<PromptClosing>(client_);
  }
}

}  // namespace
}  // namespace lisafs
