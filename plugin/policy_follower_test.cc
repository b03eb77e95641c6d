#include "plugin/policy_follower.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <string>

#include "base/fd.h"
#include "plugin/fake_client.h"
#include "plugin/recording_kernel.h"

namespace lisafs {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

// The page as it is: one writes it, the follower's mapping can only be read.
class PolicyFollowerTest : public testing::Test {
 protected:
  void SetUp() override {
    Fd file(memfd_create("policy", MFD_CLOEXEC));
    const LivePolicyPage empty;
    ASSERT_EQ(write(file.get(), &empty, sizeof empty), static_cast<ssize_t>(sizeof empty));
    void* page = mmap(nullptr, sizeof empty, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    ASSERT_NE(page, MAP_FAILED);
    policy_ = &static_cast<LivePolicyPage*>(page)->mounts[1];
    auto mapped = MapLivePolicy(file);
    ASSERT_TRUE(mapped);
    client_.Add("d", S_IFDIR | 0755);
    auto root = nodes_.Find(1);
    file_ = std::to_string(nodes_.Intern(**root, "d", client_.Add("d/f", S_IFREG | 0644)->stat));
    follower_.emplace((*mapped)->mounts[1], nodes_, absent_, kernel_,
                      PolicyFollower::OthersChange{.before_drop = [this] { ++others_change_; },
                                                   .after_drop = [this] { ++dropped_; }});
    follower_->Start();
  }
  void TearDown() override {
    follower_.reset();
    munmap(policy_, sizeof(LivePolicyPage));
  }
  void Publish(uint32_t restrictions) {
    policy_->restrictions = restrictions;
    ++policy_->changes;
    WakeOnPolicyChange(*policy_);
  }
  std::vector<std::string> Told(size_t count) {
    kernel_.WaitFor(count);
    return kernel_.Take();
  }

  FakeClient client_;
  InodeTable nodes_{client_};
  AbsentNames absent_;
  RecordingKernel kernel_;
  LivePolicy* policy_ = nullptr;
  std::string file_;
  std::atomic<int> others_change_ = 0;
  std::atomic<int> dropped_ = 0;
  std::optional<PolicyFollower> follower_;
};

TEST_F(PolicyFollowerTest, ARevokedMountsFilesAreForgottenAndNotItsNames) {
  Publish(kRevoked);
  EXPECT_THAT(Told(4), UnorderedElementsAre("attributes 1", "attributes " + file_, "content 1", "content " + file_));
  // Whether or not the follower gets to see that there was something to cache in between.
  Publish(0);
  Publish(kRevoked);
  EXPECT_THAT(Told(4), UnorderedElementsAre("attributes 1", "attributes " + file_, "content 1", "content " + file_));
  EXPECT_EQ(others_change_, 0);
}

TEST_F(PolicyFollowerTest, AllIsForgottenWhenOthersBeginOrCeaseToChangeIt) {
  EXPECT_TRUE(absent_.Add(1, "none"));
  EXPECT_TRUE(absent_.Add(1, "made"));
  absent_.Remove(1, "made");
  auto all = UnorderedElementsAre("name d in 1", "name none in 1", "content 1", "content " + file_);
  Publish(kShared);
  EXPECT_THAT(Told(4), all);
  EXPECT_EQ(others_change_, 1);
  while (dropped_ == 0) std::this_thread::yield();
  Publish(0);
  EXPECT_THAT(Told(4), all);
  EXPECT_EQ(others_change_, 1);
}

TEST_F(PolicyFollowerTest, NamesWaitUntilTheMountIsThereAgain) {
  Publish(kRevoked | kShared);
  EXPECT_THAT(Told(4), testing::Not(testing::Contains("name d in 1")));
  Publish(kShared);
  EXPECT_THAT(Told(1), ElementsAre("name d in 1"));
}

TEST_F(PolicyFollowerTest, WhatWasAnsweredLateIsDroppedAgain) {
  Publish(kShared);
  Told(3);
  for (int i = 0; i < 300; ++i) {
    if (i % 5 == 0) usleep(static_cast<useconds_t>(i));
    follower_->Repeat();
    EXPECT_THAT(Told(3), UnorderedElementsAre("name d in 1", "content 1", "content " + file_));
  }
  Publish(kRevoked);
  Told(4);
  follower_->Repeat();
  EXPECT_THAT(Told(4), UnorderedElementsAre("attributes 1", "attributes " + file_, "content 1", "content " + file_));
}

TEST(AbsentNames, AreBounded) {
  AbsentNames absent;
  for (size_t i = 0; i < AbsentNames::kMost; ++i) ASSERT_TRUE(absent.Add(1, std::to_string(i)));
  EXPECT_FALSE(absent.Add(1, "more"));
  EXPECT_TRUE(absent.Add(1, "7"));
  absent.Remove(1, "7");
  EXPECT_TRUE(absent.Add(2, "more"));
  EXPECT_EQ(absent.All().size(), AbsentNames::kMost);
}

TEST_F(PolicyFollowerTest, NothingIsDroppedForWhatTheServerSeesTo) {
  Publish(kForbidChanges | kLimited | kWithholdDescriptors | kWithholdPassthrough);
  usleep(20'000);
  EXPECT_THAT(kernel_.Take(), IsEmpty());
}

// Many times, since it may be anywhere between a look at the page and its sleep.
TEST_F(PolicyFollowerTest, EndsAtAnyMoment) {
  for (int i = 0; i < 300; ++i) {
    follower_.emplace(*policy_, nodes_, absent_, kernel_, PolicyFollower::OthersChange{[] {}, [] {}});
    follower_->Start();
    if (i % 3 == 0) Publish(i % 2 == 0 ? kRevoked : 0);
    if (i % 5 == 0) usleep(static_cast<useconds_t>(i));
    follower_.reset();
  }
}

}  // namespace
}  // namespace lisafs
