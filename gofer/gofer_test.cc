#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <set>
#include <thread>
#include <vector>

#include "gofer/gofer_testing.h"

// What concerns all handlers: read-only mounts, several lanes and connections at once, the end.

namespace lisafs {
namespace {

size_t OpenDescriptors() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

TEST_F(GoferTest, ReadOnly) {
  WriteHostFile("f", "hello");
  ASSERT_EQ(symlink("f", Path("link").c_str()), 0);
  Serve({.read_only = true});
  Fdid file = Find(root(), "f").control_fd;
  EXPECT_EQ(ErrnoOf(SetStat({.fd = 99})), EROFS);
  EXPECT_EQ(ErrnoOf(Create(99, "..")), EROFS);
  EXPECT_EQ(ErrnoOf(PWrite(99, 0, "x")), EROFS);
  EXPECT_EQ(ErrnoOf(Mkdir(99, "x")), EROFS);
  EXPECT_EQ(ErrnoOf(Mknod(99, "x", 0)), EROFS);
  EXPECT_EQ(ErrnoOf(MakeNode(99, "x", 0)), EROFS);
  EXPECT_EQ(ErrnoOf(Symlink(99, "x", "y")), EROFS);
  EXPECT_EQ(ErrnoOf(Link(99, 99, "x")), EROFS);
  EXPECT_EQ(ErrnoOf(client().Call<Mid::kFAllocate>({})), EROFS);
  EXPECT_EQ(ErrnoOf(Unlink(99, "x")), EROFS);
  EXPECT_EQ(ErrnoOf(Rename(99, "x", 99, "y")), EROFS);
  EXPECT_EQ(ErrnoOf(Rename2(99, "x", 99, "y", 0x80)), EROFS);
  EXPECT_EQ(ErrnoOf(SetXattr(99, "user.a", "x")), EROFS);
  EXPECT_EQ(ErrnoOf(RemoveXattr(99, "user.a")), EROFS);
  EXPECT_EQ(ErrnoOf(Open(99, O_RDWR)), EROFS);
  EXPECT_EQ(ErrnoOf(Open(99, O_WRONLY)), EROFS);
  EXPECT_EQ(ErrnoOf(Open(99, O_TRUNC)), EROFS);

  Donations donated;
  auto open = Open(file, O_RDONLY | O_APPEND, &donated);
  ASSERT_TRUE(open);
  ASSERT_EQ(donated.size(), 1u);
  EXPECT_EQ(fcntl(donated[0], F_GETFL) & O_ACCMODE, O_RDONLY);
  EXPECT_EQ(PRead(*open, 0, 10).value(), "hello");
  EXPECT_TRUE(client().Call<Mid::kFSync>({FdArray(std::vector<Fdid>{*open})}));
  EXPECT_TRUE(ListXattr(file));
  EXPECT_EQ(ReadLink(Find(root(), "link").control_fd).value(), "f");
}

TEST_F(GoferTest, MessagesThatAreNotServedAreNotAnnounced) {
  Serve();
  // OpenBacking takes a broker.
  const std::set<Mid> not_served = {Mid::kError, Mid::kFlush, Mid::kOpenBacking, Mid::kSubscribe, Mid::kWatch};
  for (Mid mid : kAllMids) EXPECT_EQ(client().Supports(mid), !not_served.contains(mid)) << MessageName(mid);
}

TEST_F(GoferTest, TheEndOfAConnectionFreesEverything) {
  WriteHostFile("f");
  size_t before = OpenDescriptors();
  for (size_t channels : {0, 2}) {
    Serve({}, "", channels);
    for (int i = 0; i < 20; ++i) {
      Fdid file = Find(root(), "f").control_fd;
      ASSERT_TRUE(Open(file, O_RDWR));
      // Failures on the way hold nothing either.
      ASSERT_EQ(ErrnoOf(Create(root(), "f")), EEXIST);
      ASSERT_EQ(ErrnoOf(Walk(root(), {"f", "x"})), ENOTDIR);
    }
    EXPECT_GE(OpenDescriptors(), before + 40);
    HangUp();
    EXPECT_EQ(OpenDescriptors(), before);
    EXPECT_EQ(server().tree.size(), 0u);
  }
}

TEST_F(GoferTest, TheSameFdsAreServedOnEveryLane) {
  WriteHostFile("f", "hello");
  Serve({}, "", kMaxChannels);
  Fdid open = Open(Find(root(), "f").control_fd, O_RDONLY).value();
  std::vector<std::thread> threads;
  std::atomic<int> read = 0;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) read += PRead(open, 0, 10).value() == "hello";
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(read, 8 * 500);
}

// Names come, move and go on several lanes, and two connections, at once. What counts is that everybody gets an answer
// that makes sense, and that nothing is left.
TEST_F(GoferTest, ManyLanesChangeOneTree) {
  ASSERT_EQ(mkdir(Path("a").c_str(), 0755), 0);
  ASSERT_EQ(mkdir(Path("b").c_str(), 0755), 0);
  Serve({}, "", 2);
  std::vector<std::thread> threads;
  std::atomic<int> nonsense = 0;
  auto expect = [&](int error, std::initializer_list<int> sensible) {
    if (std::find(sensible.begin(), sensible.end(), error) == sensible.end()) ++nonsense;
  };
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      Fdid a = Find(root(), "a").control_fd;
      Fdid b = Find(root(), "b").control_fd;
      for (int i = 0; i < 300; ++i) {
        std::string name = "n" + std::to_string(i % 3);
        switch (t) {
          case 0: {
            auto made = Create(a, name);
            expect(ErrnoOf(made), {0, EEXIST});
            if (made) expect(ErrnoOf(Close({made->open_fd, made->child.control_fd})), {0});
            break;
          }
          case 1:
            expect(ErrnoOf(Rename(a, name, b, name)), {0, ENOENT});
            break;
          case 2:
            expect(ErrnoOf(Unlink(b, name)), {0, ENOENT});
            break;
          case 3: {
            auto walked = Walk(root(), {"a", name});
            expect(ErrnoOf(walked), {0});
            for (const Inode& inode : walked->inodes) expect(ErrnoOf(Close({inode.control_fd})), {0});
            expect(ErrnoOf(Rename2(b, name, a, name, RENAME_EXCHANGE)), {0, ENOENT});
            break;
          }
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(nonsense, 0);
  HangUp();
  EXPECT_EQ(server().tree.size(), 0u);
}

TEST_F(GoferTest, ConnectionsToOneServerDoNotShareFds) {
  WriteHostFile("f");
  Serve();
  for (int i = 0; i < 5; ++i) Find(root(), "f");
  Serve();
  EXPECT_EQ(ErrnoOf(Stat(6)), EBADF);
  EXPECT_TRUE(Stat(root()));
}

}  // namespace
}  // namespace lisafs
