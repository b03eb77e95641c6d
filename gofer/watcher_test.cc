#include "gofer/watcher.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "lisafs/host_changes.h"

namespace lisafs {
namespace {

using testing::ElementsAre;

class WatcherTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    char directory[] = "/tmp/lisafs-watcher-XXXXXX";
    ASSERT_NE(mkdtemp(directory), nullptr);
    directory_ = directory;
    auto self = SelfFds::Make(Fd(open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
    ASSERT_TRUE(self);
    self_.emplace(std::move(*self));
    Start(Watcher::kMaxWatches);
  }
  void TearDown() override {
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }
  void Start(size_t max_watches) {
    a_.reset();
    b_.reset();
    watcher_.reset();
    auto watcher = Watcher::Create(*self_, max_watches);
    ASSERT_TRUE(watcher) << watcher.error().what << ": " << watcher.error().error.ToString();
    watcher_ = std::move(*watcher);
    watcher_->Start();
    a_.emplace(*watcher_);
    b_.emplace(*watcher_);
  }

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  void Make(const std::string& name) const { ASSERT_EQ(mknod(Path(name).c_str(), S_IFREG | 0644, 0), 0) << name; }
  Status Watch(Watcher::Client& client, const std::string& name, uint64_t id) const {
    Fd fd(open(Path(name).c_str(), O_PATH | O_CLOEXEC));
    EXPECT_TRUE(fd) << name;
    struct stat stat;
    EXPECT_EQ(fstat(fd.get(), &stat), 0);
    return client.Watch(fd.get(), S_ISDIR(stat.st_mode), id);
  }

  static std::string Text(const HostChange& change) {
    constexpr std::pair<uint16_t, const char*> kNames[] = {
        {HostChange::kCreated, "created"},   {HostChange::kDeleted, "deleted"},
        {HostChange::kMovedFrom, "from"},    {HostChange::kMovedTo, "to"},
        {HostChange::kModified, "modified"}, {HostChange::kAttributes, "attributes"},
        {HostChange::kIsDirectory, "dir"},   {HostChange::kPaired, "paired"},
        {HostChange::kLost, "lost"},         {HostChange::kUnwatched, "unwatched"},
        {HostChange::kClosed, "closed"},     {HostChange::kByOthers, "others"},
    };
    std::string text = std::to_string(change.id) + " " + std::string(change.name);
    for (auto [bit, name] : kNames) {
      if (change.what & bit) text += std::string(" ") + name;
    }
    return text;
  }
  static bool IsQuiet(const Fd& socket) {
    pollfd readable = {.fd = socket.get(), .events = POLLIN};
    return poll(&readable, 1, 300) == 0;
  }
  // What comes, from the first on, which a busy machine may have be long in coming, until nothing has come for a while.
  static std::vector<std::string> Read(const Fd& socket) {
    std::vector<std::string> all;
    std::vector<std::byte> buffer(kMaxHostChangesSize);
    pollfd readable = {.fd = socket.get(), .events = POLLIN};
    while (poll(&readable, 1, all.empty() ? 60'000 : 300) == 1) {
      ssize_t size = recv(socket.get(), buffer.data(), buffer.size(), 0);
      if (size <= 0) {
        all.push_back("end");
        break;
      }
      size_t at = 0;
      while (at < static_cast<size_t>(size)) {
        HostChange change;
        if (!Decode(std::span(buffer).subspan(at, size - at), change)) {
          ADD_FAILURE() << "cut short";
          break;
        }
        at += 12 + change.name.size();
        all.push_back(Text(change));
      }
    }
    return all;
  }

  std::string directory_;
  std::optional<SelfFds> self_;
  std::unique_ptr<Watcher> watcher_;
  std::optional<Watcher::Client> a_, b_;
};

TEST_F(WatcherTest, SaysWhatChanges) {
  auto socket = a_->Subscribe();
  ASSERT_TRUE(socket);
  ASSERT_EQ(mkdir(Path("d").c_str(), 0755), 0);
  ASSERT_EQ(mkdir(Path("e").c_str(), 0755), 0);
  ASSERT_TRUE(Watch(*a_, "d", 7));
  ASSERT_TRUE(Watch(*a_, "e", 8));

  ASSERT_EQ(mknod(Path("d/f").c_str(), S_IFREG | 0644, 0), 0);
  EXPECT_THAT(Read(*socket), ElementsAre("7 f created"));
  Fd file(open(Path("d/f").c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(write(file.get(), "text", 4), 4);
  EXPECT_THAT(Read(*socket), ElementsAre("7 f modified"));
  file.reset();
  EXPECT_THAT(Read(*socket), ElementsAre("7 f closed"));
  ASSERT_EQ(chmod(Path("d/f").c_str(), 0600), 0);
  EXPECT_THAT(Read(*socket), ElementsAre("7 f attributes"));
  ASSERT_EQ(chmod(Path("d").c_str(), 0700), 0);
  EXPECT_THAT(Read(*socket), ElementsAre("7  attributes dir"));
  ASSERT_EQ(rename(Path("d/f").c_str(), Path("e/g").c_str()), 0);
  EXPECT_THAT(Read(*socket), ElementsAre("7 f from paired", "8 g to"));
  ASSERT_EQ(rename(Path("e/g").c_str(), Path("g").c_str()), 0);
  EXPECT_THAT(Read(*socket), ElementsAre("8 g from"));
  ASSERT_EQ(rename(Path("g").c_str(), Path("e/g").c_str()), 0);
  EXPECT_THAT(Read(*socket), ElementsAre("8 g to"));
  ASSERT_EQ(mkdir(Path("e/sub").c_str(), 0755), 0);
  EXPECT_THAT(Read(*socket), ElementsAre("8 sub created dir"));
  ASSERT_EQ(unlink(Path("e/g").c_str()), 0);
  EXPECT_THAT(Read(*socket), testing::Contains("8 g deleted"));
}

TEST_F(WatcherTest, ManyWritesAreFewNews) {
  auto socket = a_->Subscribe();
  Make("f");
  ASSERT_TRUE(Watch(*a_, "", 1));
  Fd file(open(Path("f").c_str(), O_WRONLY | O_CLOEXEC));
  for (int i = 0; i < 10000; ++i) ASSERT_EQ(write(file.get(), "x", 1), 1);
  EXPECT_LT(Read(*socket).size(), 1000u);
}

TEST_F(WatcherTest, AFile) {
  auto socket = a_->Subscribe();
  Make("f");
  ASSERT_TRUE(Watch(*a_, "f", 3));
  Fd file(open(Path("f").c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(write(file.get(), "text", 4), 4);
  EXPECT_THAT(Read(*socket), ElementsAre("3  modified"));
  file.reset();
  EXPECT_THAT(Read(*socket), ElementsAre("3  closed"));
}

TEST_F(WatcherTest, WhatAClientDoesItselfIsNewsForOthersOnly) {
  auto one = a_->Subscribe(), other = b_->Subscribe();
  ASSERT_TRUE(Watch(*a_, "", 1));
  ASSERT_TRUE(Watch(*b_, "", 2));
  a_->ThreadBegins();
  Make("f");
  EXPECT_TRUE(IsQuiet(*one));
  EXPECT_THAT(Read(*other), ElementsAre("2 f created"));
  ASSERT_EQ(rename(Path("f").c_str(), Path("g").c_str()), 0);
  EXPECT_TRUE(IsQuiet(*one));
  EXPECT_THAT(Read(*other), ElementsAre("2 f from paired", "2 g to"));
  a_->ThreadEnds();
  ASSERT_EQ(unlink(Path("g").c_str()), 0);
  EXPECT_THAT(Read(*one), ElementsAre("1 g deleted"));
}

TEST_F(WatcherTest, WhatIsWrittenByWayOfAMountCanBeLeftOut) {
  Make("f");
  const Fd tree(open_tree(AT_FDCWD, directory_.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  ASSERT_TRUE(tree);
  // Before it starts, in programs.
  ASSERT_TRUE(watcher_->LeaveOutMount(tree.get()));
  auto socket = a_->Subscribe(), other = b_->Subscribe();
  ASSERT_TRUE(a_->Watch(tree.get(), true, 1));
  ASSERT_TRUE(Watch(*b_, "", 2));
  Fd own(openat(tree.get(), "f", O_WRONLY | O_CLOEXEC)), others(open(Path("f").c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(write(own.get(), "x", 1), 1);
  EXPECT_TRUE(IsQuiet(*socket));
  ASSERT_EQ(write(others.get(), "x", 1), 1);
  EXPECT_THAT(Read(*socket), ElementsAre("1 f modified others"));
  own.reset();
  EXPECT_TRUE(IsQuiet(*socket));
  others.reset();
  EXPECT_THAT(Read(*socket), ElementsAre("1 f closed others"));
  // Whoever watches by way of another mount cannot tell.
  EXPECT_THAT(Read(*other), ElementsAre("2 f modified", "2 f closed"));
  // All else is told.
  ASSERT_EQ(renameat(tree.get(), "f", tree.get(), "g"), 0);
  EXPECT_THAT(Read(*socket), ElementsAre("1 f from paired", "1 g to"));
}

TEST_F(WatcherTest, OneTooManyGivesAllUp) {
  Start(2);
  auto socket = a_->Subscribe();
  for (const char* name : {"a", "b", "c"}) ASSERT_EQ(mkdir(Path(name).c_str(), 0755), 0);
  ASSERT_TRUE(Watch(*a_, "a", 1));
  ASSERT_TRUE(Watch(*a_, "b", 2));
  ASSERT_TRUE(Watch(*a_, "b", 4));  // No other directory.
  EXPECT_TRUE(IsQuiet(*socket));
  ASSERT_TRUE(Watch(*a_, "c", 3));
  Make("c/f");
  Make("a/f");
  EXPECT_THAT(Read(*socket), ElementsAre("0  lost unwatched"));
  Make("c/g");
  Make("a/g");
  EXPECT_THAT(Read(*socket), ElementsAre("3 g created"));
  ASSERT_TRUE(Watch(*a_, "a", 1));
  Make("a/h");
  EXPECT_THAT(Read(*socket), ElementsAre("1 h created"));
}

TEST_F(WatcherTest, AClientThatDoesNotReadHoldsNobodyUp) {
  auto silent = a_->Subscribe(), other = b_->Subscribe();
  ASSERT_EQ(mkdir(Path("d").c_str(), 0755), 0);
  ASSERT_EQ(mkdir(Path("e").c_str(), 0755), 0);
  ASSERT_TRUE(Watch(*a_, "d", 1));
  ASSERT_TRUE(Watch(*b_, "e", 2));
  for (int i = 0; i < 20000; ++i) {
    const std::string name = "d/a-name-that-is-not-short-at-all-" + std::to_string(i);
    ASSERT_EQ(mknod(Path(name).c_str(), S_IFREG | 0644, 0), 0);
    if (i % 1000 == 0) usleep(30'000);  // No overflow in the kernel.
  }
  // Should the kernel have lost events after all, the first news are that they are lost.
  std::vector<std::string> news;
  for (int i = 0; i < 5 && !std::ranges::count(news, "2 f created"); ++i) {
    unlink(Path("e/f").c_str());
    Make("e/f");
    news = Read(*other);
  }
  EXPECT_THAT(news, testing::Contains("2 f created"));
  std::vector<std::string> said = Read(*silent);
  EXPECT_LT(said.size(), 20000u);
  ASSERT_FALSE(said.empty());
  EXPECT_EQ(said.back(), "0  lost");
  Make("d/last");
  EXPECT_THAT(Read(*silent), ElementsAre("1 last created"));
}

TEST_F(WatcherTest, ClientsComeAndGo) {
  auto socket = a_->Subscribe();
  ASSERT_TRUE(Watch(*a_, "", 1));
  {
    Watcher::Client passing(*watcher_);
    EXPECT_EQ(Watch(passing, "", 9).error(), Errno(ENOTCONN));
    auto its = passing.Subscribe();
    ASSERT_TRUE(Watch(passing, "", 9));
    passing.ThreadBegins();
  }
  Make("f");
  EXPECT_THAT(Read(*socket), ElementsAre("1 f created"));
  socket->reset();
  Make("g");
  usleep(50'000);
  auto again = a_->Subscribe();
  Make("h");
  EXPECT_THAT(Read(*again), ElementsAre("1 h created"));
}

TEST_F(WatcherTest, NotWhereChangesComeUnseen) {
  auto socket = a_->Subscribe();
  Fd proc(open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
  EXPECT_EQ(a_->Watch(proc.get(), true, 1).error(), Errno(EOPNOTSUPP));
}

}  // namespace
}  // namespace lisafs
