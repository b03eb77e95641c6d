#include "sandbox/trusted_directory.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <functional>
#include <string>

#include "tests/support/files.h"

namespace lisafs {
namespace {

constexpr uid_t kStranger = 65534;

class TrustedDirectoryTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "directories of others are made by root";
    tests::MakeDirectory(directory_ / "above");
    tests::MakeDirectory(directory_ / "above/here");
  }
  std::string here() const { return directory_ / "above/here"; }
  std::string above() const { return directory_ / "above"; }

  tests::TempDir directory_;
};

TEST_F(TrustedDirectoryTest, OfOneOwner) {
  EXPECT_TRUE(CheckTrustedDirectory(here()).ok()) << CheckTrustedDirectory(here());
  EXPECT_TRUE(CheckTrustedDirectory("/").ok());
  EXPECT_TRUE(CheckTrustedDirectory(here() + "/../here/.").ok());
  EXPECT_TRUE(absl::IsNotFound(CheckTrustedDirectory(here() + "/none")));
}

TEST_F(TrustedDirectoryTest, WhatOthersCanChangeIsNamed) {
  struct {
    const char* name;
    std::function<void()> prepare;
    std::string says;
  } cases[] = {
      {"others write", [&] { chmod(here().c_str(), 0707); }, here() + ": is writable for others"},
      {"a group writes", [&] { chmod(here().c_str(), 0770); }, here() + ": is writable for others"},
      {"others write, and only owners remove", [&] { chmod(here().c_str(), 01777); },
       here() + ": is writable for others"},
      {"another's", [&] { EXPECT_EQ(chown(here().c_str(), kStranger, 0), 0); }, here() + ": belongs to user 65534"},
      {"others write above", [&] { chmod(above().c_str(), 0777); }, above() + ": is writable for others"},
      {"another's above", [&] { EXPECT_EQ(chown(above().c_str(), kStranger, 0), 0); },
       above() + ": belongs to user 65534"},
      {"a file",
       [&] {
         rmdir(here().c_str());
         tests::WriteFile(here(), "");
       },
       here() + ": is no directory"},
  };
  for (const auto& c : cases) {
    unlink(here().c_str());
    tests::MakeDirectory(here());
    ASSERT_EQ(chown(above().c_str(), 0, 0) + chown(here().c_str(), 0, 0), 0);
    ASSERT_EQ(chmod(above().c_str(), 0755) + chmod(here().c_str(), 0755), 0);
    ASSERT_TRUE(CheckTrustedDirectory(here()).ok());
    c.prepare();
    absl::Status status = CheckTrustedDirectory(here());
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << c.name;
    EXPECT_EQ(status.message(), c.says) << c.name;
  }
}

TEST_F(TrustedDirectoryTest, BelowADirectoryLikeTmp) {
  ASSERT_EQ(chmod(above().c_str(), 01777), 0);
  EXPECT_TRUE(CheckTrustedDirectory(here()).ok());
}

TEST_F(TrustedDirectoryTest, LinksAreFollowedIfTheyAreTrustedThemselves) {
  const std::string link = directory_ / "link";
  for (const std::string& target : {here(), std::string("above/here"), std::string("./above/../above/here")}) {
    ASSERT_EQ(symlink(target.c_str(), link.c_str()), 0);
    EXPECT_TRUE(CheckTrustedDirectory(link).ok()) << target;
    // Planted by somebody else.
    ASSERT_EQ(lchown(link.c_str(), kStranger, 0), 0);
    EXPECT_EQ(CheckTrustedDirectory(link).message(), link + ": belongs to user 65534");
    ASSERT_EQ(unlink(link.c_str()), 0);
  }
  ASSERT_EQ(symlink("link", link.c_str()), 0);
  EXPECT_FALSE(CheckTrustedDirectory(link).ok());
}

}  // namespace
}  // namespace lisafs
