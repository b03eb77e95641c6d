#include "plugin/fuse_init.h"

#include <gtest/gtest.h>

namespace lisafs {
namespace {

constexpr uint32_t kEverything = UINT32_MAX;

TEST(FuseInit, TakesOfTheOfferWhatItWants) {
  auto answer =
      Negotiate({.major = 7, .minor = 45, .max_readahead = 131072, .flags = kEverything, .flags2 = kEverything});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->major, 7u);
  EXPECT_EQ(answer->minor, unsigned{FUSE_KERNEL_MINOR_VERSION});
  EXPECT_EQ(answer->max_readahead, 131072u);
  EXPECT_EQ(answer->max_write, 1u << 20);
  EXPECT_EQ(answer->max_pages, 256u);
  EXPECT_EQ(answer->time_gran, 1u);
  for (uint32_t wanted : {FUSE_ATOMIC_O_TRUNC, FUSE_DO_READDIRPLUS, FUSE_HANDLE_KILLPRIV_V2, FUSE_POSIX_ACL,
                          FUSE_DONT_MASK, FUSE_AUTO_INVAL_DATA}) {
    EXPECT_TRUE(answer->flags & wanted) << wanted;
  }
  for (uint32_t unwanted : {FUSE_WRITEBACK_CACHE, FUSE_POSIX_LOCKS, FUSE_FLOCK_LOCKS, FUSE_NO_OPEN_SUPPORT,
                            FUSE_NO_OPENDIR_SUPPORT, FUSE_SETXATTR_EXT, FUSE_EXPORT_SUPPORT}) {
    EXPECT_FALSE(answer->flags & unwanted) << unwanted;
  }
  EXPECT_EQ(answer->flags2, 0u);
}

TEST(FuseInit, TakesPassthroughIfAskedTo) {
  fuse_init_in offer = {.major = 7, .minor = 45, .flags = kEverything, .flags2 = kEverything};
  auto answer = Negotiate(offer, 2);
  ASSERT_TRUE(answer);
  EXPECT_TRUE(TakesPassthrough(*answer));
  EXPECT_EQ(MaxStackDepth(*answer), 2u);
  EXPECT_FALSE(TakesPassthrough(*Negotiate(offer, 0)));
  offer.flags2 = 0;
  answer = Negotiate(offer, 2);
  ASSERT_TRUE(answer);
  EXPECT_FALSE(TakesPassthrough(*answer));
  EXPECT_EQ(MaxStackDepth(*answer), 0u);
}

TEST(FuseInit, TakesNothingThatIsNotOffered) {
  auto answer = Negotiate({.major = 7, .minor = 33, .flags = FUSE_BIG_WRITES});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->minor, 33u);
  EXPECT_EQ(answer->flags, unsigned{FUSE_BIG_WRITES});
}

TEST(FuseInit, TakesIoUringIfItIsOffered) {
  const fuse_init_in offer = {.major = 7, .minor = 45, .flags = kEverything, .flags2 = kEverything};
  fuse_init_out answer = *Negotiate(offer);
  EXPECT_TRUE(TakeIoUring(offer, answer));
  EXPECT_EQ(answer.flags2, uint32_t{1} << 9);
  const fuse_init_in without = {.major = 7, .minor = 45, .flags = kEverything, .flags2 = 0};
  answer = *Negotiate(without);
  EXPECT_FALSE(TakeIoUring(without, answer));
  EXPECT_EQ(answer.flags2, 0u);
  const fuse_init_in old = {.major = 7, .minor = 35, .flags = FUSE_BIG_WRITES, .flags2 = kEverything};
  answer = *Negotiate(old);
  EXPECT_FALSE(TakeIoUring(old, answer));
}

TEST(FuseInit, OtherVersions) {
  auto newer = Negotiate({.major = 8, .minor = 0, .flags = kEverything});
  ASSERT_TRUE(newer);
  EXPECT_EQ(newer->major, 7u);
  EXPECT_EQ(newer->flags, 0u);
  EXPECT_EQ(Negotiate({.major = 7, .minor = 32}).error(), Errno(EPROTO));
  EXPECT_EQ(Negotiate({.major = 6, .minor = 40}).error(), Errno(EPROTO));
}

}  // namespace
}  // namespace lisafs
