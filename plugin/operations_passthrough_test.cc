// Which open files the kernel is told to pass through, and to what.

#include <fcntl.h>
#include <sys/stat.h>

#include "plugin/fuse_init.h"
#include "plugin/operations_testing.h"

namespace lisafs {
namespace {

constexpr uint64_t kLarge = 1000;

class PassthroughTest : public OperationsTest {
 protected:
  void SetUp() override {
    AddLarge("a");
    AddLarge("b");
    passthrough_from = kLarge;
  }
  void AddLarge(const char* name) {
    client.Add(name, S_IFREG | 0644);
    Grow(name);
  }
  void Grow(const char* name) {
    auto file = client.Get(name);
    file->content.resize(kLarge);
    file->stat.size = kLarge;
  }
  fuse_open_out OpenFile(uint64_t node, uint32_t flags) {
    Answer answer = Ask(FUSE_OPEN, node, fuse_open_in{flags, 0});
    EXPECT_EQ(answer.error, 0);
    return answer.As<fuse_open_out>();
  }
  // 0: it is not passed through.
  static uint32_t BackingOf(const fuse_open_out& open) {
    EXPECT_EQ((open.open_flags & kFopenPassthrough) != 0, open.padding != 0);
    // The kernel takes no other flag with it.
    if (open.padding != 0) {
      EXPECT_EQ(open.open_flags, kFopenPassthrough);
    }
    return open.padding;
  }
  void Release(uint64_t node, const fuse_open_out& open) {
    EXPECT_EQ(Ask(FUSE_RELEASE, node, fuse_release_in{.fh = open.fh}).error, 0);
  }
};

TEST_F(PassthroughTest, OneBackingFileWhileAnyIsOpen) {
  EXPECT_TRUE(TakesPassthrough(Init(kFusePassthrough)));
  uint64_t a = LookUp(kRoot, "a");
  auto first = OpenFile(a, O_RDONLY);
  const uint32_t id = BackingOf(first);
  ASSERT_NE(id, 0u);
  auto second = OpenFile(a, O_RDWR);
  EXPECT_EQ(BackingOf(second), id);
  // The open FD that it was made from stays.
  const Fdid fd = client.backing_ids[id];
  Release(a, first);
  EXPECT_TRUE(client.open_fds.contains(fd));
  auto third = OpenFile(a, O_WRONLY);
  EXPECT_EQ(BackingOf(third), id);
  Release(a, second);
  Release(a, third);
  EXPECT_TRUE(client.open_fds.empty());
  EXPECT_NE(BackingOf(OpenFile(a, O_RDONLY)), id);
}

TEST_F(PassthroughTest, SmallFilesAreNot) {
  Init(kFusePassthrough);
  EXPECT_FALSE(client.donates);
  client.Add("small", S_IFREG | 0644)->content = "0123456789";
  uint64_t small = LookUp(kRoot, "small");
  auto open = OpenFile(small, O_RDWR);
  EXPECT_EQ(BackingOf(open), 0u);
  // It has grown since, but is open.
  Grow("small");
  LookUp(kRoot, "small");
  auto second = OpenFile(small, O_RDONLY);
  EXPECT_EQ(BackingOf(second), 0u);
  Release(small, open);
  Release(small, second);
  EXPECT_NE(BackingOf(OpenFile(small, O_RDONLY)), 0u);
}

// The kernel knows the size that it has written itself, and does not ask for it.
TEST_F(PassthroughTest, AFileThatHasBeenWrittenIsAsLargeAsThat) {
  Init(kFusePassthrough);
  client.Add("small", S_IFREG | 0644);
  uint64_t small = LookUp(kRoot, "small");
  auto open = OpenFile(small, O_RDWR);
  EXPECT_EQ(Ask(FUSE_WRITE, small, fuse_write_in{.fh = open.fh, .offset = kLarge - 1, .size = 1}, "x").error, 0);
  Release(small, open);
  EXPECT_NE(BackingOf(OpenFile(small, O_RDONLY)), 0u);
}

TEST_F(PassthroughTest, NorAreNewFiles) {
  Init(kFusePassthrough);
  fuse_create_in in = {.flags = O_RDWR, .mode = S_IFREG | 0644};
  Answer answer = Ask(FUSE_CREATE, kRoot, in, "new");
  ASSERT_EQ(answer.error, 0);
  EXPECT_EQ(BackingOf(answer.As<fuse_open_out>(sizeof(fuse_entry_out))), 0u);
  EXPECT_EQ(answer.As<fuse_entry_out>().attr_valid, kShortLifetime.seconds);
}

TEST_F(PassthroughTest, UnlessFilesOfAnySizeAre) {
  passthrough_from = 0;
  Init(kFusePassthrough);
  fuse_create_in in = {.flags = O_RDWR, .mode = S_IFREG | 0644};
  Answer answer = Ask(FUSE_CREATE, kRoot, in, "new");
  ASSERT_EQ(answer.error, 0);
  EXPECT_NE(BackingOf(answer.As<fuse_open_out>(sizeof(fuse_entry_out))), 0u);
  // It may be mapped and written at any moment.
  EXPECT_EQ(answer.As<fuse_entry_out>().attr_valid, 0u);
}

TEST_F(PassthroughTest, AttributesAreNotKeptWhileAFileMayBeMappedForWriting) {
  Init(kFusePassthrough);
  uint64_t a = LookUp(kRoot, "a");
  auto lifetime = [&] { return Ask(FUSE_GETATTR, a, fuse_getattr_in{}).As<fuse_attr_out>().attr_valid; };
  OpenFile(a, O_RDONLY);
  EXPECT_EQ(reply.changed, 0u);
  EXPECT_EQ(lifetime(), kShortLifetime.seconds);
  auto writer = OpenFile(a, O_RDWR);
  EXPECT_EQ(reply.changed, a);
  EXPECT_EQ(lifetime(), 0u);
  Release(a, writer);
  EXPECT_EQ(lifetime(), kShortLifetime.seconds);
}

TEST_F(PassthroughTest, OnlyWhereTheKernelCan) {
  EXPECT_FALSE(TakesPassthrough(Init(0)));
  EXPECT_EQ(BackingOf(OpenFile(LookUp(kRoot, "a"), O_RDWR)), 0u);
  EXPECT_EQ(client.calls[Mid::kOpenBacking], 0);
}

TEST_F(PassthroughTest, OnlyWhereItIsGranted) {
  passthrough_from.reset();
  EXPECT_FALSE(TakesPassthrough(Init(kFusePassthrough)));
  EXPECT_EQ(BackingOf(OpenFile(LookUp(kRoot, "a"), O_RDWR)), 0u);
  EXPECT_EQ(client.calls[Mid::kOpenBacking], 0);
}

TEST_F(PassthroughTest, OnlyWhereTheServerKnowsIt) {
  client.unsupported.insert(Mid::kOpenBacking);
  EXPECT_FALSE(TakesPassthrough(Init(kFusePassthrough)));
}

TEST_F(PassthroughTest, AFileThatIsOpenOtherwiseStaysSo) {
  Init(kFusePassthrough);
  uint64_t a = LookUp(kRoot, "a");
  client.fail_with[Mid::kOpenBacking] = EMFILE;
  auto first = OpenFile(a, O_RDWR);
  EXPECT_EQ(BackingOf(first), 0u);
  client.fail_with.clear();
  auto second = OpenFile(a, O_RDONLY);
  EXPECT_EQ(BackingOf(second), 0u);
  Release(a, first);
  Release(a, second);
  EXPECT_NE(BackingOf(OpenFile(a, O_RDONLY)), 0u);
}

TEST_F(PassthroughTest, AnOpenThatTheKernelDidNotTakeIsForgotten) {
  Init(kFusePassthrough);
  uint64_t a = LookUp(kRoot, "a");
  OpenFile(a, O_RDWR);
  TakeBack();
  EXPECT_TRUE(client.open_fds.empty());
  EXPECT_NE(BackingOf(OpenFile(a, O_RDWR)), 0u);
  EXPECT_EQ(client.calls[Mid::kOpenBacking], 2);
}

TEST_F(PassthroughTest, DoesNotAskAgainWhenTheBrokerIsGone) {
  Init(kFusePassthrough);
  client.fail_with[Mid::kOpenBacking] = ENOTCONN;
  EXPECT_EQ(BackingOf(OpenFile(LookUp(kRoot, "a"), O_RDWR)), 0u);
  EXPECT_TRUE(client.donates);
  client.fail_with.clear();
  EXPECT_EQ(BackingOf(OpenFile(LookUp(kRoot, "b"), O_RDWR)), 0u);
  EXPECT_EQ(client.calls[Mid::kOpenBacking], 1);
}

TEST_F(PassthroughTest, DoesNotAskAgainForAFileSystemThatIsStackedTooDeep) {
  Init(kFusePassthrough);
  client.Get("b")->stat.dev_minor += 1;
  client.fail_with[Mid::kOpenBacking] = ELOOP;
  uint64_t a = LookUp(kRoot, "a");
  Release(a, OpenFile(a, O_RDWR));
  client.fail_with.clear();
  EXPECT_EQ(BackingOf(OpenFile(a, O_RDWR)), 0u);
  EXPECT_EQ(client.calls[Mid::kOpenBacking], 1);
  EXPECT_NE(BackingOf(OpenFile(LookUp(kRoot, "b"), O_RDWR)), 0u);
}

TEST_F(PassthroughTest, SetIdFilesAreServed) {
  Init(kFusePassthrough);
  client.Get("a")->stat.mode = S_IFREG | 04755;
  EXPECT_EQ(BackingOf(OpenFile(LookUp(kRoot, "a"), O_RDWR)), 0u);
  EXPECT_EQ(client.calls[Mid::kOpenBacking], 0);
}

TEST_F(PassthroughTest, WhatTheKernelHasCachedIsDroppedAfterwards) {
  Init(kFusePassthrough);
  uint64_t a = LookUp(kRoot, "a");
  client.Get("a")->stat.mode = S_IFREG | 04755;
  LookUp(kRoot, "a");
  auto cached = OpenFile(a, O_RDONLY);
  EXPECT_EQ(cached.open_flags, unsigned{FOPEN_KEEP_CACHE});
  Release(a, cached);
  client.Get("a")->stat.mode = S_IFREG | 0755;
  LookUp(kRoot, "a");
  auto passed = OpenFile(a, O_RDWR);
  EXPECT_NE(BackingOf(passed), 0u);
  Release(a, passed);
  client.Get("a")->stat.mode = S_IFREG | 04755;
  LookUp(kRoot, "a");
  cached = OpenFile(a, O_RDONLY);
  EXPECT_EQ(cached.open_flags, 0u);
  Release(a, cached);
  EXPECT_EQ(OpenFile(a, O_RDONLY).open_flags, unsigned{FOPEN_KEEP_CACHE});
}

}  // namespace
}  // namespace lisafs
