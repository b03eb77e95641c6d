#include "control/gofer_user.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/user_namespace.h"

namespace lisafs {
namespace {

using control::v1::CreateSandboxRequest;

void Add(control::v1::IdMap& map, uint32_t inside, uint32_t outside, uint32_t count) {
  for (auto* ranges : {map.mutable_uids(), map.mutable_gids()}) {
    control::v1::IdRange& range = *ranges->Add();
    range.set_inside(inside);
    range.set_outside(outside);
    range.set_count(count);
  }
}

IdMap MapOf(const GoferUser& user) {
  auto map = ReadIdMapOfNamespace("/proc/self/fd/" + std::to_string(user.user_namespace.get()));
  EXPECT_TRUE(map.ok()) << map.status();
  return map.ok() ? *map : IdMap();
}

class GoferUserTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "only root gives out ids";
    if (!MakeUserNamespace(IdentityMap()).ok()) GTEST_SKIP() << "no user namespaces here";
  }
  CreateSandboxRequest request_;
};

TEST_F(GoferUserTest, OfAnyIdsOnlyIfNothingIsWritable) {
  request_.add_mounts()->set_read_only(true);
  auto user = ChooseGoferUser(request_);
  ASSERT_TRUE(user.ok()) << user.status();
  EXPECT_EQ(user->file_uid, 0u);
  EXPECT_EQ(user->file_gid, 0u);
  EXPECT_EQ(MapOf(*user), IdentityMap());
  request_.add_mounts();
  user = ChooseGoferUser(request_);
  ASSERT_TRUE(user.ok()) << user.status();
  EXPECT_FALSE(user->user_namespace.valid());
}

TEST_F(GoferUserTest, HasTheContainersIds) {
  Add(*request_.mutable_user_namespace(), 1, 5000, 1);
  Add(*request_.mutable_user_namespace(), 0, 100000, 1);
  Add(*request_.add_mounts()->mutable_id_map(), 0, 100000, 10);
  auto user = ChooseGoferUser(request_);
  ASSERT_TRUE(user.ok()) << user.status();
  EXPECT_EQ(user->file_uid, 100000u);
  EXPECT_EQ(user->file_gid, 100000u);
  const std::vector<IdRange> own = {{5000, 5000, 1}, {100000, 100000, 1}};
  EXPECT_EQ(MapOf(*user), (IdMap{own, own}));
}

TEST_F(GoferUserTest, MakesFilesAsSomebodyWhomAllMountsKnow) {
  request_.add_mounts();
  Add(*request_.add_mounts()->mutable_id_map(), 0, 1000, 10);
  Add(*request_.add_mounts()->mutable_id_map(), 0, 1005, 10);
  auto user = ChooseGoferUser(request_);
  ASSERT_TRUE(user.ok()) << user.status();
  EXPECT_EQ(user->file_uid, 1005u);
  Add(*request_.add_mounts()->mutable_id_map(), 0, 2000, 10);
  EXPECT_EQ(ChooseGoferUser(request_).status(),
            absl::InvalidArgumentError("the id maps of the mounts and the container have no id in common"));
}

TEST_F(GoferUserTest, MapsMustBeOnesThatTheKernelTakes) {
  control::v1::IdMap map;
  EXPECT_EQ(ValidateIdMap(map).message(), "uids: no ids");
  Add(map, 0, 1000, 1);
  EXPECT_TRUE(ValidateIdMap(map).ok());
  map.mutable_gids(0)->set_count(0);
  EXPECT_EQ(ValidateIdMap(map).message(), "gids: a range without ids");
}

}  // namespace
}  // namespace lisafs
