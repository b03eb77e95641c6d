#include "sandbox/user_namespace.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

namespace lisafs {
namespace {

class UserNamespaceTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "only root gives out ids";
    auto made = MakeUserNamespace({{{0, 1000, 1}}, {{0, 1000, 1}}});
    if (!made.ok()) GTEST_SKIP() << "no user namespaces here: " << made.status();
  }
};

std::string Link(const Fd& fd) { return "/proc/self/fd/" + std::to_string(fd.get()); }

TEST_F(UserNamespaceTest, HasItsIds) {
  for (const IdMap& map : {IdMap{{{0, 100000, 65536}}, {{0, 200000, 10}, {10, 5, 1}}}, IdentityMap(),
                           IdMap{{{100000, 100000, 65536}}, {{100000, 100000, 65536}}}}) {
    auto made = MakeUserNamespace(map);
    ASSERT_TRUE(made.ok()) << made.status();
    auto read = ReadIdMapOfNamespace(Link(*made));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(*read, map);
  }
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "a process is left";
}

TEST_F(UserNamespaceTest, OfAProcess) {
  auto own = ReadIdMap(getpid());
  ASSERT_TRUE(own.ok()) << own.status();
  EXPECT_FALSE(own->uids.empty());
  EXPECT_TRUE(absl::IsNotFound(ReadIdMap(999999999).status()));
}

TEST_F(UserNamespaceTest, WhatIsNoneIsSaidByName) {
  EXPECT_EQ(ReadIdMapOfNamespace("/proc/self/ns/mnt").status().message(),
            "/proc/self/ns/mnt: not another user namespace: Invalid argument");
  EXPECT_TRUE(absl::IsNotFound(ReadIdMapOfNamespace("/nowhere").status()));
}

}  // namespace
}  // namespace lisafs
