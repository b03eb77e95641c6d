#include "control/caller.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

namespace lisafs {
namespace {

TEST(CallerTest, ThisProcessIsAnAdmin) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  Fd one(ends[0]), other(ends[1]);
  auto caller = CallerOfSocket(one.get(), {});
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ(caller->role, Role::kAdmin);
  EXPECT_EQ(caller->identity, "user " + std::to_string(geteuid()));
  EXPECT_EQ(caller->name, caller->identity + ", process " + std::to_string(getpid()));
}

TEST(CallerTest, ASocketWithoutAPeerIsNobody) {
  Fd pipe_end(STDIN_FILENO + 1000);
  EXPECT_FALSE(CallerOfSocket(pipe_end.get(), {}).ok());
  pipe_end.release();
}

TEST(CallerTest, RolesHaveNamesAndAnOrder) {
  EXPECT_STREQ(RoleName(Role::kReader), "reader");
  EXPECT_STREQ(RoleName(Role::kAdmin), "admin");
  EXPECT_STREQ(RoleName(Role::kNone), "none");
  EXPECT_LT(Role::kNone, Role::kReader);
  EXPECT_LT(Role::kReader, Role::kAdmin);
}

}  // namespace
}  // namespace lisafs
