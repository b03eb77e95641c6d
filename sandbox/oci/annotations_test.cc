#include "sandbox/oci/annotations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lisafs {
namespace {

using Cache = OciMountPolicy::Cache;
using testing::HasSubstr;

TEST(OciAnnotations, OthersKeysAreNotLookedAt) {
  auto parsed = OciAnnotations::Parse({{"org.opencontainers.image.title", "x"}, {"dev.lisafs", "y"}});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->Of("/").cache, Cache::kDefault);
  EXPECT_FALSE(parsed->Of("/").withhold_descriptors);
}

TEST(OciAnnotations, ForAllMountsAndForSingleOnes) {
  auto parsed = OciAnnotations::Parse({{"dev.lisafs.cache", "/da=ta/../data/=exclusive,shared"},
                                       {"dev.lisafs.descriptors", "withhold"},
                                       {"dev.lisafs.passthrough", "/=withhold,/data=allow"}});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->Of("/").cache, Cache::kShared);
  EXPECT_EQ(parsed->Of("/data").cache, Cache::kExclusive);
  EXPECT_TRUE(parsed->Of("/data").withhold_descriptors);
  EXPECT_TRUE(parsed->Of("/").withhold_passthrough);
  EXPECT_FALSE(parsed->Of("/data").withhold_passthrough);
  EXPECT_FALSE(parsed->Of("/other").withhold_passthrough);
  EXPECT_TRUE(parsed->CheckTargets([](const std::string&) { return true; }).ok());
  absl::Status missing = parsed->CheckTargets([](const std::string& target) { return target == "/"; });
  EXPECT_EQ(missing.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(missing.message(), HasSubstr("annotation dev.lisafs.cache: no file system is bound to /data"));
}

TEST(OciAnnotations, RefusedByName) {
  struct Case {
    const char* key;
    const char* value;
    const char* message;
  };
  for (const Case& c : {
           Case{"dev.lisafs.cahce", "shared", "annotation dev.lisafs.cahce: is not known"},
           Case{"dev.lisafs.", "shared", "annotation dev.lisafs.: is not known"},
           Case{"dev.lisafs.cache", "", "\"\" is neither exclusive nor shared"},
           Case{"dev.lisafs.cache", "Shared", "\"Shared\" is neither"},
           Case{"dev.lisafs.cache", "shared,", "\"\" is neither"},
           Case{"dev.lisafs.cache", "/a=", "\"/a=\" is neither"},
           Case{"dev.lisafs.cache", "a=shared", "\"a=shared\": not an absolute path"},
           Case{"dev.lisafs.cache", "shared,exclusive", "says twice"},
           Case{"dev.lisafs.cache", "/a=shared,/a/=shared", "speaks twice of mount /a"},
           Case{"dev.lisafs.descriptors", "exclusive", "neither withhold nor allow"},
       }) {
    auto parsed = OciAnnotations::Parse({{c.key, c.value}});
    EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument) << c.value;
    EXPECT_THAT(parsed.status().message(), HasSubstr(c.message));
  }
}

}  // namespace
}  // namespace lisafs
