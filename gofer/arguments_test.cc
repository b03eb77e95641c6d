#include "gofer/arguments.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <tuple>
#include <vector>

namespace lisafs {
namespace {

// Numbers that are open, and inherited.
constexpr int kOpen[] = {100, 101, 102, 103, 104, 105, 106, 107};

tl::expected<GoferArguments, UsageError> Parse(std::vector<const char*> arguments) {
  for (int fd : kOpen) EXPECT_EQ(dup2(STDERR_FILENO, fd), fd);
  arguments.insert(arguments.begin(), "lisafs-gofer");
  return ParseGoferArguments(static_cast<int>(arguments.size()), arguments.data());
}

class ArgumentsTest : public testing::Test {
 protected:
  ~ArgumentsTest() override {
    for (int fd : kOpen) close(fd);
  }
};

TEST_F(ArgumentsTest, Serve) {
  auto parsed = Parse({"--serve", "100=/some:where=else:ro", "--serve", "101=relative"});
  ASSERT_TRUE(parsed) << parsed.error().why;
  ASSERT_EQ(parsed->mounts.size(), 2u);
  EXPECT_EQ(parsed->mounts[0].connection, 100);
  EXPECT_EQ(parsed->mounts[0].directory, "/some:where=else");
  EXPECT_TRUE(parsed->mounts[0].read_only);
  EXPECT_TRUE(parsed->mounts[0].donate);
  EXPECT_EQ(parsed->mounts[0].tree, -1);
  EXPECT_EQ(parsed->mounts[1].directory, "relative");
  EXPECT_FALSE(parsed->mounts[1].read_only);
}

TEST_F(ArgumentsTest, Mount) {
  auto parsed = Parse({"--mount", "100:101:ro:nodonate:watch:alone", "--mount=102:103", "--ready-fd", "104",
                       "--mount=105:106:mountpoint", "--lifeline-fd=107"});
  ASSERT_TRUE(parsed) << parsed.error().why;
  ASSERT_EQ(parsed->mounts.size(), 3u);
  EXPECT_EQ(parsed->mounts[0].connection, 100);
  EXPECT_EQ(parsed->mounts[0].tree, 101);
  EXPECT_TRUE(parsed->mounts[0].read_only);
  EXPECT_FALSE(parsed->mounts[0].donate);
  EXPECT_TRUE(parsed->mounts[0].watch);
  EXPECT_TRUE(parsed->mounts[0].alone);
  EXPECT_EQ(parsed->mounts[1].tree, 103);
  EXPECT_FALSE(parsed->mounts[1].alone);
  EXPECT_TRUE(parsed->mounts[1].donate);
  EXPECT_FALSE(parsed->mounts[1].donate_mount_point);
  EXPECT_EQ(parsed->mounts[2].tree, 106);
  EXPECT_TRUE(parsed->mounts[2].donate_mount_point);
  EXPECT_EQ(parsed->lifeline_fd, 107);
  EXPECT_EQ(parsed->ready_fd, 104);
  EXPECT_EQ(parsed->counters_fd, -1);
}

TEST_F(ArgumentsTest, UserNamespace) {
  auto parsed = Parse({"--mount", "100:101", "--user-namespace", "102", "--files-as", "100000:200000"});
  ASSERT_TRUE(parsed) << parsed.error().why;
  EXPECT_EQ(parsed->user_namespace_fd, 102);
  EXPECT_EQ(parsed->file_uid, 100000u);
  EXPECT_EQ(parsed->file_gid, 200000u);
  parsed = Parse({"--mount", "100:101"});
  ASSERT_TRUE(parsed) << parsed.error().why;
  EXPECT_EQ(parsed->user_namespace_fd, -1);
  EXPECT_EQ(parsed->file_uid, 0u);
  EXPECT_EQ(parsed->file_gid, 0u);
}

TEST_F(ArgumentsTest, Options) {
  auto parsed = Parse({"--mount", "100:101:fifo:nodonate:uds-create", "--serve=102=/a:b:ro:uds-open"});
  EXPECT_FALSE(parsed);  // --serve and --mount exclude each other.
  parsed = Parse({"--mount", "100:101:fifo:nodonate:uds-create", "--mount", "102:103:uds-open:ro"});
  ASSERT_TRUE(parsed) << parsed.error().why;
  const auto& [first, second] = std::tie(parsed->mounts[0], parsed->mounts[1]);
  EXPECT_TRUE(first.fifo && first.uds_create && !first.donate && !first.uds_open && !first.read_only);
  EXPECT_TRUE(second.uds_open && second.read_only && second.donate && !second.uds_create && !second.fifo);
  parsed = Parse({"--serve", "102=/a:b:fifo:uds-open"});
  ASSERT_TRUE(parsed) << parsed.error().why;
  EXPECT_EQ(parsed->mounts[0].directory, "/a:b");
  EXPECT_TRUE(parsed->mounts[0].fifo && parsed->mounts[0].uds_open);
}

TEST_F(ArgumentsTest, SaysWhatIsWrong) {
  const std::pair<std::vector<const char*>, const char*> kCases[] = {
      {{}, "nothing to serve"},
      {{"--serve"}, "--serve"},
      {{"--serve", "100"}, "FD=DIR"},
      {{"--serve", "100="}, "FD=DIR"},
      {{"--serve", "x=/"}, "not a descriptor"},
      {{"--serve", "-1=/"}, "not a descriptor"},
      {{"--serve", "99999999999=/"}, "not a descriptor"},
      {{"--serve", "900=/"}, "900 is not open"},
      {{"--serve", "100=/", "--serve", "100=/tmp"}, "100 is named twice"},
      {{"--serve", "100=/", "--mount", "101:102"}, "exclude"},
      {{"--mount", "100"}, "CONN:TREE"},
      {{"--mount", "100:101", "--files-as", "5"}, "UID:GID"},
      {{"--mount", "100:101", "--files-as", "5:6:"}, "UID:GID"},
      {{"--mount", "100:101", "--files-as", "-1:0"}, "UID:GID"},
      {{"--mount", "100:101", "--files-as", "0:4294967296"}, "UID:GID"},
      {{"--mount", "100:x"}, "not a descriptor"},
      {{"--mount", "100:101:rw"}, "not a descriptor"},
      {{"--mount", "100:101:ro:uds-create"}, "exclude"},
      {{"--mount", "100:101", "--counters", "x"}, "not a descriptor"},
      {{"--mount", "100:101", "--ready-fd", "101"}, "101 is named twice"},
      {{"--unknown"}, "--unknown"},
      {{"--serve", "100=/", "stray"}, "stray"},
  };
  for (const auto& [arguments, why] : kCases) {
    auto parsed = Parse(arguments);
    ASSERT_FALSE(parsed) << testing::PrintToString(arguments);
    EXPECT_NE((parsed.error().what + ": " + parsed.error().why).find(why), std::string::npos)
        << parsed.error().what << ": " << parsed.error().why;
  }
}

TEST_F(ArgumentsTest, TooManyMounts) {
  std::vector<std::string> texts;
  for (int i = 0; i < 65; ++i) texts.push_back(std::to_string(200 + i) + "=/");
  std::vector<const char*> arguments;
  for (const std::string& text : texts) arguments.insert(arguments.end(), {"--serve", text.c_str()});
  auto parsed = Parse(arguments);
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().why, "more than 64 mounts");
}

TEST_F(ArgumentsTest, HelpAndVersion) {
  EXPECT_EQ(Parse({"--version"})->only_print, "lisafs-gofer 0.1.0\n");
  std::string help = Parse({"--help"})->only_print;
  for (const char* option : {"--serve", "--mount", "--counters", "--ready-fd", "--version"}) {
    EXPECT_NE(help.find(option), std::string::npos) << option;
  }
}

}  // namespace
}  // namespace lisafs
