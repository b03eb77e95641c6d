#include "sandbox/runsc_gofer_arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lisafs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

tl::expected<RunscGoferArguments, std::string> Parse(std::vector<const char*> argv) {
  return ParseRunscGoferArguments(argv);
}

TEST(RunscGoferArguments, Newer) {
  auto parsed = Parse({"runsc-gofer", "--root=/r", "--platform=systrap", "--log-fd=3", "gofer", "--bundle", "/b",
                       "--gofer-mount-confs=lisafs:self,lisafs:none:size=1,none:memory", "--io-fds=8", "--io-fds=9",
                       "--spec-fd=4", "--mounts-fd=5", "--rpc-fd=6", "--pin-ring-fd=7", "--sync-chroot-fd=10", "id"});
  ASSERT_TRUE(parsed) << parsed.error();
  EXPECT_EQ(parsed->bundle, "/b");
  EXPECT_EQ(parsed->spec_fd, 4);
  EXPECT_EQ(parsed->mounts_fd, 5);
  EXPECT_EQ(parsed->pin_ring_fd, 7);
  EXPECT_THAT(parsed->connections, ElementsAre(8, 9));
  ASSERT_EQ(parsed->mounts.size(), 3u);
  EXPECT_TRUE(parsed->mounts[0].served && parsed->mounts[0].overlaid);
  EXPECT_TRUE(parsed->mounts[1].served && !parsed->mounts[1].overlaid);
  EXPECT_FALSE(parsed->mounts[2].served);
  EXPECT_TRUE(parsed->directfs);
  EXPECT_EQ(parsed->unsupported, "");
}

std::vector<const char*> With(std::vector<const char*> globals) {
  globals.insert(globals.begin(), "runsc-gofer");
  globals.insert(globals.end(), {"gofer", "--bundle", "/b", "--spec-fd=4", "--mounts-fd=5", "--io-fds=6,7"});
  return globals;
}

TEST(RunscGoferArguments, Older) {
  auto parsed = Parse(With({"--platform=ptrace"}));
  ASSERT_TRUE(parsed) << parsed.error();
  EXPECT_TRUE(parsed->mounts.empty());
  EXPECT_THAT(parsed->connections, ElementsAre(6, 7));
  EXPECT_FALSE(parsed->directfs);
  EXPECT_FALSE(parsed->older_root.overlaid || parsed->older_mount.overlaid);

  parsed = Parse(With({"--overlay=true"}));
  EXPECT_TRUE(parsed->older_root.overlaid && parsed->older_mount.overlaid);
  parsed = Parse(With({"--overlay2=root:memory"}));
  EXPECT_TRUE(parsed->older_root.overlaid && !parsed->older_mount.overlaid);
  parsed = Parse(With({"--overlay2=all:/tmp"}));
  EXPECT_TRUE(parsed->older_root.overlaid && parsed->older_mount.overlaid);
}

TEST(RunscGoferArguments, DirectfsAsTold) {
  for (bool wanted : {false, true}) {
    std::vector<const char*> argv = With({wanted ? "--directfs=true" : "--directfs=false"});
    argv.push_back("--gofer-mount-confs=lisafs:none");
    auto parsed = Parse(argv);
    ASSERT_TRUE(parsed) << parsed.error();
    EXPECT_EQ(parsed->directfs, wanted);
  }
}

TEST(RunscGoferArguments, SocketsAndFifos) {
  auto parsed = Parse(With({"--host-uds=none", "--host-fifo=none", "--fsgofer-host-uds=false"}));
  EXPECT_FALSE(parsed->open_sockets || parsed->create_sockets || parsed->open_fifos);
  parsed = Parse(With({"--host-uds=open", "--host-fifo=open"}));
  EXPECT_TRUE(parsed->open_sockets && !parsed->create_sockets && parsed->open_fifos);
  parsed = Parse(With({"--host-uds=all"}));
  EXPECT_TRUE(parsed->open_sockets && parsed->create_sockets);
  EXPECT_TRUE(Parse(With({"--fsgofer-host-uds=true"}))->open_sockets);
}

TEST(RunscGoferArguments, WhatIsNotSupported) {
  for (const char* flag : {"--dev-io-fd=9", "--sync-userns-fd=9"}) {
    std::vector<const char*> argv = With({});
    argv.push_back(flag);
    auto parsed = Parse(argv);
    ASSERT_TRUE(parsed) << parsed.error();
    EXPECT_NE(parsed->unsupported, "") << flag;
  }
}

TEST(RunscGoferArguments, SaysWhatIsWrong) {
  const std::pair<std::vector<const char*>, const char*> kCases[] = {
      {{"runsc-gofer", "boot"}, "boot"},
      {{"runsc-gofer", "gofer", "--spec-fd=1", "--mounts-fd=2"}, "--bundle"},
      {{"runsc-gofer", "gofer", "--bundle=/b", "--mounts-fd=2"}, "--spec-fd"},
      {{"runsc-gofer", "gofer", "--bundle=/b", "--spec-fd=1"}, "--mounts-fd"},
      {{"runsc-gofer", "gofer", "--io-fds=1,x"}, "--io-fds=1,x"},
      {{"runsc-gofer", "gofer", "--spec-fd=-3"}, "--spec-fd=-3"},
      {{"runsc-gofer", "gofer", "--gofer-mount-confs=lisafs"}, "--gofer-mount-confs=lisafs"},
  };
  for (const auto& [argv, what] : kCases) {
    auto parsed = Parse(argv);
    ASSERT_FALSE(parsed) << what;
    EXPECT_THAT(parsed.error(), HasSubstr(what));
  }
}

}  // namespace
}  // namespace lisafs
