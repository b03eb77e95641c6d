#include "control/mount_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lisafs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(MountOptions, IdsAreMapped) {
  control::v1::MountSpec spec;
  ASSERT_TRUE(ParseMountOptions("ro,ridmap=uids=0-1000-1#5-2000-10;gids=0-100-2,rec", spec).ok());
  EXPECT_TRUE(spec.read_only() && spec.recursive() && spec.id_map_recursive());
  ASSERT_EQ(spec.id_map().uids_size(), 2);
  EXPECT_EQ(spec.id_map().uids(1).inside(), 5u);
  EXPECT_EQ(spec.id_map().uids(1).outside(), 2000u);
  EXPECT_EQ(spec.id_map().uids(1).count(), 10u);
  EXPECT_EQ(spec.id_map().gids(0).outside(), 100u);
  ASSERT_TRUE(ParseMountOptions("idmap=uids=0-1-1;gids=0-1-1", spec).ok());
  EXPECT_FALSE(spec.id_map_recursive());
  for (const char* bad : {"idmap", "idmap=", "idmap=uids=0-1", "idmap=uids=0-1-1", "idmap=uids=@0-1-1;gids=0-1-1",
                          "idmap=uids=0-0-4294967296;gids=0-0-1"}) {
    EXPECT_EQ(ParseMountOptions(bad, spec).code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

TEST(ParsePolicy, NamesWhatIsSet) {
  control::v1::UpdateMountRequest update;
  absl::Status parsed = ParsePolicy(
      {"read-only=on", "descriptors=off", "revoked=off", "bytes=10M/1M", "ops=off", "cache=shared"}, update);
  ASSERT_TRUE(parsed.ok()) << parsed;
  EXPECT_TRUE(update.policy().read_only());
  EXPECT_TRUE(update.policy().withhold_descriptors());
  EXPECT_FALSE(update.policy().revoked());
  EXPECT_EQ(update.policy().cache(), control::v1::MountSpec::CACHE_SHARED);
  EXPECT_EQ(update.policy().limits().bytes_per_second(), uint64_t{10} << 20);
  EXPECT_EQ(update.policy().limits().bytes_burst(), uint64_t{1} << 20);
  EXPECT_THAT(update.update_mask().paths(),
              ElementsAre("read_only", "withhold_descriptors", "revoked", "limits.bytes_per_second",
                          "limits.bytes_burst", "limits.operations_per_second", "limits.operations_burst", "cache"));
}

TEST(ParsePolicy, RefusesByWord) {
  const std::pair<std::vector<std::string>, std::string> cases[] = {
      {{"read-only"}, "read-only: not KEY=VALUE"},     {{"read-only=yes"}, "read-only=yes: neither on nor off"},
      {{"colour=red"}, "colour=red: not a key"},       {{"ops=0"}, "ops=0: neither RATE"},
      {{"ops=5/x"}, "ops=5/x: neither RATE"},          {{"bytes=9999999G"}, "bytes=9999999G: neither RATE"},
      {{"bytes=-1"}, "bytes=-1: neither RATE"},        {{"ops=1", "ops=2"}, "ops=2: given twice"},
      {{"cache=off"}, "cache=off: neither exclusive"},
  };
  for (const auto& [words, message] : cases) {
    control::v1::UpdateMountRequest update;
    absl::Status parsed = ParsePolicy(words, update);
    EXPECT_EQ(parsed.code(), absl::StatusCode::kInvalidArgument) << message;
    EXPECT_THAT(std::string(parsed.message()), HasSubstr(message));
  }
}

TEST(ParseMountOptions, SetsWhatIsNamed) {
  control::v1::MountSpec spec;
  absl::Status parsed = ParseMountOptions("ro,nosuid,nodev,noexec,rec,withhold,nopassthrough,ops=100/20", spec);
  ASSERT_TRUE(parsed.ok()) << parsed;
  EXPECT_TRUE(spec.read_only() && spec.nosuid() && spec.nodev() && spec.noexec() && spec.recursive());
  EXPECT_TRUE(spec.withhold_descriptors() && spec.withhold_passthrough());
  EXPECT_EQ(spec.limits().operations_per_second(), 100u);
  EXPECT_EQ(spec.limits().operations_burst(), 20u);
  EXPECT_TRUE(ParseMountOptions("", spec).ok());
  for (const char* bad : {"read-only", "ops", "ops=x", "size=5"}) {
    EXPECT_EQ(ParseMountOptions(bad, spec).code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

}  // namespace
}  // namespace lisafs
