#include "sandbox/oci/id_map_option.h"

#include <gtest/gtest.h>

namespace lisafs {
namespace {

const IdMap kContainer = {{{0, 100000, 10}, {10, 5000, 1}}, {{0, 200000, 10}}};

TEST(IdMapOption, ReadsRanges) {
  auto map = ParseIdMapOption("uids=0-1-10#10-11-10;gids=0-100-10", nullptr);
  ASSERT_TRUE(map.ok()) << map.status();
  EXPECT_EQ(*map, (IdMap{{{0, 1, 10}, {10, 11, 10}}, {{0, 100, 10}}}));
  EXPECT_EQ(*ParseIdMapOption("gids=7-8-1;uids=1-2-3", nullptr), (IdMap{{{1, 2, 3}}, {{7, 8, 1}}}));
}

TEST(IdMapOption, CountsFromTheContainersIds) {
  auto map = ParseIdMapOption("uids=@0-1-9#50-10-1;gids=@2000-0-10", &kContainer);
  ASSERT_TRUE(map.ok()) << map.status();
  EXPECT_EQ(*map, (IdMap{{{0, 100001, 9}, {50, 10, 1}}, {{2000, 200000, 10}}}));
}

TEST(IdMapOption, SaysWhatIsWrong) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "not uids=… and gids=…"},
      {"uids=0-1-1", "not uids=… and gids=…"},
      {"uids=0-1-1;uids=0-1-1", "not uids=… and gids=…"},
      {"uids=0-1-1;gids=0-1-1;", "not uids=… and gids=…"},
      {"uids=0-1;gids=0-1-1", "not of the form FROM-TO-COUNT"},
      {"uids=0-1--1;gids=0-1-1", "not of the form FROM-TO-COUNT"},
      {"uids=0-x-1;gids=0-1-1", "not ids"},
      {"uids=0-4294967296-1;gids=0-1-1", "not ids"},
      {"uids=0-1-0;gids=0-1-1", "a range without ids"},
      {"uids=0-1-2#1-9-1;gids=0-1-1", "ranges that share ids"},
      {"uids=@0-9-2;gids=0-1-1", "ids that the container does not have"},
      {"uids=@0-11-1;gids=0-1-1", "ids that the container does not have"},
  };
  for (const auto& [text, why] : cases) EXPECT_EQ(ParseIdMapOption(text, &kContainer).status().message(), why) << text;
  EXPECT_EQ(ParseIdMapOption("uids=@0-0-1;gids=0-0-1", nullptr).status().message(),
            "@ is for a container with a new user namespace");
}

}  // namespace
}  // namespace lisafs
