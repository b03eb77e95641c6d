// Opening a file that nobody else changes: asked for once.

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/stat.h>

#include "plugin/operations_testing.h"

namespace lisafs {
namespace {

class OpenTest : public OperationsTest {
 protected:
  void SetUp() override {
    exclusive = true;
    client.Add("a", S_IFREG | 0644)->content = "content";
  }
  void OpenAndClose(uint64_t node, uint32_t flags = O_RDONLY) { Release(node, Open(node, flags)); }
  void Release(uint64_t node, uint64_t fh) { EXPECT_EQ(Ask(FUSE_RELEASE, node, fuse_release_in{.fh = fh}).error, 0); }
  std::string Read(uint64_t node, uint64_t fh) {
    return Ask(FUSE_READ, node, fuse_read_in{.fh = fh, .size = 100}).payload;
  }
  int opens() { return client.calls[Mid::kOpenAt]; }
};

TEST_F(OpenTest, AgainAsksNobody) {
  const uint64_t a = LookUp(kRoot, "a");
  OpenAndClose(a);
  EXPECT_EQ(opens(), 1);
  const uint64_t first = Open(a, O_RDONLY), second = Open(a, O_RDONLY);
  EXPECT_EQ(opens(), 1);
  EXPECT_NE(first, second);
  Release(a, first);
  EXPECT_EQ(Read(a, second), "content");
  EXPECT_EQ(Read(a, first), "");
  Release(a, second);
}

TEST_F(OpenTest, WhereOthersChangeFilesEachIsAskedFor) {
  exclusive = false;
  const uint64_t a = LookUp(kRoot, "a");
  OpenAndClose(a);
  EXPECT_TRUE(client.open_fds.empty());
  OpenAndClose(a);
  EXPECT_EQ(opens(), 2);
}

TEST_F(OpenTest, WhereOthersChangeFilesFromNowOnEachIsAskedFor) {
  const uint64_t a = LookUp(kRoot, "a");
  OpenAndClose(a);
  policy.restrictions = kShared;
  OpenAndClose(a);
  OpenAndClose(a);
  EXPECT_EQ(opens(), 3);
}

TEST_F(OpenTest, WhatIsWrittenIsNotKept) {
  const uint64_t a = LookUp(kRoot, "a");
  for (uint32_t flags : {O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_ACCMODE}) {
    OpenAndClose(a);
    EXPECT_EQ(client.open_fds.size(), 1u);
    OpenAndClose(a, flags);
    EXPECT_TRUE(client.open_fds.empty()) << flags;
    client.Add("a", S_IFREG | 0644);
  }
  // Nor what is opened while somebody may write.
  const uint64_t writer = Open(a, O_WRONLY);
  OpenAndClose(a);
  Release(a, writer);
  EXPECT_TRUE(client.open_fds.empty());
}

TEST_F(OpenTest, NorWhatIsTruncated) {
  const uint64_t a = LookUp(kRoot, "a");
  OpenAndClose(a);
  EXPECT_EQ(Ask(FUSE_SETATTR, a, fuse_setattr_in{.valid = FATTR_MODE, .mode = 0600}).error, 0);
  EXPECT_EQ(client.open_fds.size(), 1u);
  EXPECT_EQ(Ask(FUSE_SETATTR, a, fuse_setattr_in{.valid = FATTR_SIZE, .size = 3}).error, 0);
  EXPECT_TRUE(client.open_fds.empty());
}

TEST_F(OpenTest, NorWhatTheKernelForgets) {
  const uint64_t a = LookUp(kRoot, "a");
  LookUp(kRoot, "a");
  OpenAndClose(a);
  Ask(FUSE_FORGET, a, fuse_forget_in{.nlookup = 1});
  EXPECT_EQ(client.open_fds.size(), 1u);
  Ask(FUSE_FORGET, a, fuse_forget_in{.nlookup = 1});
  EXPECT_TRUE(client.open_fds.empty());
}

TEST_F(OpenTest, FewAreKept) {
  constexpr int kFiles = 1000;
  for (int i = 0; i < kFiles; ++i) {
    const std::string name = "file" + std::to_string(i);
    client.Add(name, S_IFREG | 0644);
    OpenAndClose(LookUp(kRoot, name.c_str()));
    OpenAndClose(LookUp(kRoot, "file0"));
  }
  EXPECT_EQ(client.open_fds.size(), 256u);
  // What is used stays, and what was used last.
  EXPECT_EQ(opens(), kFiles);
  OpenAndClose(LookUp(kRoot, "file999"));
  EXPECT_EQ(opens(), kFiles);
  OpenAndClose(LookUp(kRoot, "file1"));
  EXPECT_EQ(opens(), kFiles + 1);
}

TEST_F(OpenTest, NoneWhenTheServerHasNoDescriptors) {
  OpenAndClose(LookUp(kRoot, "a"));
  EXPECT_EQ(client.open_fds.size(), 1u);
  const uint64_t b = (client.Add("b", S_IFREG | 0644), LookUp(kRoot, "b"));
  client.fail_with[Mid::kOpenAt] = EMFILE;
  EXPECT_EQ(Ask(FUSE_OPEN, b, fuse_open_in{}).error, EMFILE);
  EXPECT_TRUE(client.open_fds.empty());
}

TEST_F(OpenTest, RestrictionsShowAtOnce) {
  const uint64_t a = LookUp(kRoot, "a");
  OpenAndClose(a);
  for (uint32_t restrictions : {kRevoked, kLimited}) {
    policy.restrictions = restrictions;
    const int before = opens();
    OpenAndClose(a);
    OpenAndClose(a);
    EXPECT_EQ(opens(), before + 2);
  }
  policy.restrictions = kWithholdPassthrough;
  const int before = opens();
  OpenAndClose(a);
  OpenAndClose(a);
  EXPECT_EQ(opens(), before + 1);
}

// It stays registered: the broker is asked once.
TEST_F(OpenTest, PassedThroughAgain) {
  passthrough_from = 0;
  Init(kFusePassthrough);
  const uint64_t a = LookUp(kRoot, "a");
  uint32_t backing = 0;
  for (int i = 0; i < 3; ++i) {
    auto open = Ask(FUSE_OPEN, a, fuse_open_in{}).As<fuse_open_out>();
    EXPECT_EQ(open.open_flags, kFopenPassthrough);
    EXPECT_EQ(open.padding, i == 0 ? open.padding : backing);
    backing = open.padding;
    Release(a, open.fh);
  }
  EXPECT_EQ(client.calls[Mid::kOpenBacking], 1);
  // Who writes gets one that suits it.
  OpenAndClose(a, O_RDWR);
  EXPECT_EQ(client.calls[Mid::kOpenBacking], 2);
  EXPECT_TRUE(client.open_fds.empty());
}

// Where files are never passed through nor written, the kernel need not ask at all.
class OpensByItselfTest : public OpenTest {
 protected:
  void SetUp() override {
    OpenTest::SetUp();
    read_only = true;
  }
};

TEST_F(OpensByItselfTest, AsksForDataAlone) {
  const uint64_t a = LookUp(kRoot, "a");
  EXPECT_EQ(Ask(FUSE_OPEN, a, fuse_open_in{}).error, ENOSYS);
  EXPECT_EQ(opens(), 0);
  EXPECT_EQ(Read(a, 0), "content");
  EXPECT_EQ(Read(a, 0), "content");
  EXPECT_EQ(opens(), 1);
  EXPECT_EQ(Ask(FUSE_GETATTR, a, fuse_getattr_in{.getattr_flags = FUSE_GETATTR_FH}).error, 0);
  EXPECT_EQ(Ask(FUSE_LSEEK, a, fuse_lseek_in{.offset = 3, .whence = SEEK_DATA}).error, 0);
  EXPECT_EQ(Ask(FUSE_FSYNC, a, fuse_fsync_in{}).error, 0);
}

TEST_F(OpensByItselfTest, FailsWhereOpeningDoes) {
  const uint64_t a = LookUp(kRoot, "a");
  client.fail_with[Mid::kOpenAt] = EACCES;
  EXPECT_EQ(Ask(FUSE_READ, a, fuse_read_in{.size = 1}).error, EACCES);
  EXPECT_EQ(Ask(FUSE_READ, a + 100, fuse_read_in{.size = 1}).error,
            Ask(FUSE_GETATTR, a + 100, fuse_getattr_in{}).error);
}

TEST_F(OpensByItselfTest, OnlyThere) {
  auto asks = [&] {
    const uint64_t a = LookUp(kRoot, "a");
    EXPECT_EQ(Ask(FUSE_OPEN, a, fuse_open_in{}).error, 0);
    EXPECT_EQ(Ask(FUSE_READ, a, fuse_read_in{.size = 1}).error, EBADF);
  };
  passthrough_from = 1000;
  asks();
}

TEST_F(OpensByItselfTest, NotWhereFilesAreWritten) {
  read_only = false;
  const uint64_t a = LookUp(kRoot, "a");
  EXPECT_EQ(Ask(FUSE_OPEN, a, fuse_open_in{}).error, 0);
  EXPECT_EQ(Ask(FUSE_READ, a, fuse_read_in{.size = 1}).error, EBADF);
}

TEST_F(OpensByItselfTest, NotWhereOthersChangeThem) {
  policy.restrictions = kShared;
  EXPECT_EQ(Ask(FUSE_OPEN, LookUp(kRoot, "a"), fuse_open_in{}).error, 0);
}

}  // namespace
}  // namespace lisafs
