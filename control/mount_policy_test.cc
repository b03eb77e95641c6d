#include "control/mount_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <functional>

#include "lisafs/live_policy.h"

namespace lisafs {
namespace {

using absl::StatusCode;
using control::v1::Mount;
using control::v1::MountSpec;
using control::v1::UpdateMountRequest;
using testing::HasSubstr;

Mount Made(const std::function<void(control::v1::MountSpec&)>& how = [](auto&) {}) {
  Mount mount;
  how(*mount.mutable_spec());
  *mount.mutable_policy() = InitialPolicy(mount.spec());
  return mount;
}

TEST(MountPolicy, AnUpdateTakesOverWhatItsMaskNames) {
  Mount mount = Made();
  UpdateMountRequest update;
  update.mutable_policy()->set_read_only(true);
  update.mutable_policy()->set_revoked(true);
  update.mutable_policy()->mutable_limits()->set_operations_per_second(7);
  update.mutable_update_mask()->add_paths("read_only");
  update.mutable_update_mask()->add_paths("limits.operations_per_second");
  auto policy = UpdatedPolicy(mount, update);
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_TRUE(policy->read_only());
  EXPECT_FALSE(policy->revoked());
  EXPECT_EQ(policy->limits().operations_per_second(), 7u);

  *mount.mutable_policy() = *policy;
  update.clear_policy();
  policy = UpdatedPolicy(mount, update);
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_FALSE(policy->read_only());
  EXPECT_EQ(policy->limits().operations_per_second(), 0u);

  update.clear_update_mask();
  update.mutable_policy()->set_revoked(true);
  policy = UpdatedPolicy(mount, update);
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_TRUE(policy->revoked());
  EXPECT_FALSE(policy->read_only());
}

TEST(MountPolicy, CachingChangesAndUnspecifiedIsWhatItWasMadeWith) {
  Mount mount = Made([](auto& spec) { spec.set_cache(MountSpec::CACHE_EXCLUSIVE); });
  EXPECT_EQ(mount.policy().cache(), MountSpec::CACHE_EXCLUSIVE);
  UpdateMountRequest update;
  update.mutable_policy()->set_cache(MountSpec::CACHE_SHARED);
  update.mutable_update_mask()->add_paths("cache");
  auto policy = UpdatedPolicy(mount, update);
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_EQ(policy->cache(), MountSpec::CACHE_SHARED);

  *mount.mutable_policy() = *policy;
  for (bool masked : {true, false}) {
    update.Clear();
    if (masked) update.mutable_update_mask()->add_paths("cache");
    policy = UpdatedPolicy(mount, update);
    ASSERT_TRUE(policy.ok()) << policy.status();
    EXPECT_EQ(policy->cache(), MountSpec::CACHE_EXCLUSIVE);
  }
  update.mutable_update_mask()->add_paths("revoked");
  policy = UpdatedPolicy(mount, update);
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_EQ(policy->cache(), MountSpec::CACHE_SHARED) << "it is not named";
}

TEST(MountPolicy, OneSharedMountMakesAllHear) {
  control::v1::CreateSandboxRequest request;
  request.add_mounts()->set_cache(MountSpec::CACHE_EXCLUSIVE);
  EXPECT_FALSE(HearsChanges(request));
  request.add_mounts()->set_cache(MountSpec::CACHE_SHARED);
  EXPECT_TRUE(HearsChanges(request));
}

TEST(MountPolicy, WhatCannotBeHasItsError) {
  struct Bad {
    StatusCode code;
    std::string message;
    std::function<void(control::v1::MountSpec&)> how;
    std::function<void(UpdateMountRequest&)> change;
  };
  auto any = [](auto&) {};
  const Bad cases[] = {
      {StatusCode::kInvalidArgument, "no such field: colour", any,
       [](auto& u) { u.mutable_update_mask()->add_paths("colour"); }},
      {StatusCode::kInvalidArgument, "bytes_per_second: less than 65536", any,
       [](auto& u) { u.mutable_policy()->mutable_limits()->set_bytes_per_second(1000); }},
      {StatusCode::kInvalidArgument, "operations: a burst without a rate", any,
       [](auto& u) { u.mutable_policy()->mutable_limits()->set_operations_burst(10); }},
      {StatusCode::kInvalidArgument, "operations: more than", any,
       [](auto& u) { u.mutable_policy()->mutable_limits()->set_operations_per_second(uint64_t{1} << 41); }},
      {StatusCode::kInvalidArgument, "cache: not a value", any,
       [](auto& u) { u.mutable_policy()->set_cache(static_cast<MountSpec::Cache>(9)); }},
      {StatusCode::kFailedPrecondition, "does its own caching", any,
       [](auto& u) { u.mutable_policy()->set_cache(MountSpec::CACHE_SHARED); }},
      {StatusCode::kFailedPrecondition, "made read-only", [](auto& s) { s.set_read_only(true); }, any},
      {StatusCode::kFailedPrecondition, "descriptors withheld", [](auto& s) { s.set_withhold_descriptors(true); }, any},
      {StatusCode::kFailedPrecondition, "without passthrough", [](auto& s) { s.set_withhold_passthrough(true); }, any},
      {StatusCode::kFailedPrecondition, "by itself", [](auto& s) { s.set_donate_mount_point(true); },
       [](auto& u) { u.mutable_policy()->set_read_only(true); }},
  };
  for (const Bad& bad : cases) {
    UpdateMountRequest update;
    bad.change(update);
    auto policy = UpdatedPolicy(Made(bad.how), update);
    EXPECT_EQ(policy.status().code(), bad.code) << bad.message;
    EXPECT_THAT(std::string(policy.status().message()), HasSubstr(bad.message));
  }
}

TEST(MountPolicy, IsPublishedInOnePage) {
  Fd file(memfd_create("policy", MFD_CLOEXEC));
  EXPECT_EQ(PublishPolicy(file, 1, {}).code(), StatusCode::kDataLoss);
  const LivePolicyPage empty;
  ASSERT_EQ(pwrite(file.get(), &empty, sizeof empty, 0), static_cast<ssize_t>(sizeof empty));
  auto page = MapLivePolicy(file);
  ASSERT_TRUE(page);
  Mount mount = Made([](auto& spec) {
    spec.set_read_only(true);
    spec.mutable_limits()->set_bytes_per_second(1 << 20);
  });
  ASSERT_TRUE(PublishPolicy(file, 1, mount.policy()).ok());
  const LivePolicy& live = (*page)->mounts[1];
  EXPECT_EQ(live.Restrictions(), kForbidChanges | kLimited);
  EXPECT_EQ(live.bytes.per_second, uint64_t{1} << 20);
  EXPECT_EQ(live.bytes.burst, uint64_t{1} << 20) << "what comes in a second";
  EXPECT_EQ(live.operations.per_second, 0u);
  EXPECT_EQ((*page)->mounts[0].Restrictions(), 0u);
  EXPECT_EQ((*page)->mounts[0].changes, 0u);
  EXPECT_EQ(live.changes, 1u);
  control::v1::MountPolicy shared;
  shared.set_cache(MountSpec::CACHE_SHARED);
  ASSERT_TRUE(PublishPolicy(file, 1, shared).ok());
  EXPECT_EQ(live.Restrictions(), kShared);
  EXPECT_EQ(live.changes, 2u);
  ASSERT_TRUE(PublishPolicy(file, 1, {}).ok());
  EXPECT_EQ(live.Restrictions(), 0u);
}

}  // namespace
}  // namespace lisafs
