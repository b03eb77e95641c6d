// One client uses all that it can get, or its disk stands still: what others notice of it, and what the gofer needs for
// it, is bounded.

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <vector>

#include "base/fd.h"
#include "tests/hostile/served.h"
#include "tests/support/stuck_disk.h"

namespace lisafs::conformance {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using tests::Eventually;
using tests::StuckDisk;
using tests::TempDir;

class ServiceTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "lisafs-gofer wants root";
    for (TempDir& each : directories_) tests::WriteFile(each / "file", "content");
  }

  // Who waits for a disk that stands still waits for ever.
  static constexpr seconds kHeldUp{10};

  // The slowest of some round trips.
  static milliseconds Slowest(Served& served, size_t mount) {
    steady_clock::duration slowest{};
    for (int i = 0; i < 200; ++i) {
      auto start = steady_clock::now();
      EXPECT_TRUE(Ask<Mid::kFStat>(served.socket(mount), {served.root(mount)}).ok());
      slowest = std::max(slowest, steady_clock::now() - start);
    }
    return std::chrono::duration_cast<milliseconds>(slowest);
  }

  static bool IsLong() { return getenv("LISAFS_TEST_LONG") != nullptr; }

  TempDir directories_[2];
};

// ---- Descriptors on their way.

// A message that carries `count` descriptors.
int SendDescriptors(int socket, int fd, size_t count) {
  std::vector<char> control(CMSG_SPACE(count * sizeof(int)));
  char byte = 0;
  iovec part{&byte, 1};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(count * sizeof(int));
  for (size_t i = 0; i < count; ++i) memcpy(CMSG_DATA(rights) + i * sizeof(int), &fd, sizeof fd);
  return sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? errno : 0;
}

// What root in a container can do: fill sockets of its own with descriptors, which the kernel counts for all of root's
// processes together. It shows that a gofer is then refused, and that its client is served all the same.
TEST_F(ServiceTest, DescriptorsThatCannotBeSentAreDoneWithout) {
  constexpr size_t kLimit = 300, kPerMessage = 200;
  Served served({{directories_[0].path()}, {directories_[1].path()}},
                {"prlimit", "--nofile=" + std::to_string(kLimit) + ":" + std::to_string(kLimit), "--"});
  auto channel = served.MakeChannel();
  ASSERT_NE(channel, nullptr);
  const OpenAtReq open{.fd = served.Find("file"), .flags = O_RDWR};
  auto donated = [&](Lane& lane) {
    Answer answer = Ask<Mid::kOpenAt>(lane, open);
    EXPECT_TRUE(answer.ok()) << answer;
    OpenAtResp response;
    if (!answer.ok() || !Decode(answer.payload, response)) return size_t{9};
    EXPECT_TRUE(Ask<Mid::kPRead>(lane, {.fd = response.open_fd, .count = 7}).ok());
    Fdid fds[] = {response.open_fd};
    Ask<Mid::kClose>(lane, {FdArray(fds)});
    return answer.donated.size();
  };
  // What other tests have on its way counts as well.
  EXPECT_TRUE(Eventually(tests::kPatience, [&] { return donated(served.socket()) == 1 && donated(*channel) == 1; }));
  {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    Fd from(ends[0]), to(ends[1]);
    for (size_t sent = 0; sent <= 2 * kLimit; sent += kPerMessage) {
      ASSERT_EQ(SendDescriptors(from.get(), from.get(), kPerMessage), 0);
    }
    EXPECT_EQ(donated(served.socket()), 0u) << "the kernel counts otherwise than this test thinks";
    EXPECT_EQ(donated(*channel), 0u);
    EXPECT_TRUE(Ask<Mid::kFStat>(served.socket(1), {served.root(1)}).ok());
  }
  // Closed sockets are emptied by the kernel's garbage collector, in its own time.
  EXPECT_TRUE(Eventually(tests::kPatience, [&] { return donated(served.socket()) == 1 && donated(*channel) == 1; }));
}

TEST_F(ServiceTest, AClientHoldsFewDescriptorsOnTheirWay) {
  Served served({Served::Mount{directories_[0].path()}});
  auto channel = served.MakeChannel();
  ASSERT_NE(channel, nullptr);
  // It can put none there.
  EXPECT_EQ(SendDescriptors(channel->descriptors(), channel->memory(), 1), EPIPE);
  // And leaves few that it was sent.
  Fdid file = served.Find("file");
  size_t announced = 0;
  for (int i = 0; i < 200; ++i) {
    Bytes request = Encoded(OpenAtReq{.fd = file});
    channel->Write(static_cast<uint16_t>(Mid::kOpenAt), 0, request);
    channel->Flip(static_cast<uint32_t>(4 + request.size()));
    ASSERT_EQ(channel->WaitForTurn(), Answer::End::kAnswered) << i;
    announced += std::to_integer<size_t>(channel->window()[18]);
  }
  EXPECT_GE(announced, 2u);
  EXPECT_LE(announced, 16u);

  // On the socket lane: answers that it does not read hold the lane up before they are many.
  Bytes requests;
  for (int i = 0; i < 1000; ++i) {
    Bytes frame = RawSocket::Frame(static_cast<uint16_t>(Mid::kOpenAt), Encoded(OpenAtReq{.fd = file}));
    requests.insert(requests.end(), frame.begin(), frame.end());
  }
  const size_t before = served.Fds();
  ASSERT_TRUE(served.socket().Send(requests));
  EXPECT_TRUE(Eventually(tests::kPatience, [&] { return served.Fds() > before + 1; }));
  EXPECT_FALSE(Eventually(milliseconds(1000), [&] { return served.Fds() > before + 150; }))
      << served.Fds() - before << " answers are on their way";
}

// ---- Memory.

TEST_F(ServiceTest, TenThousandOpensAreBoundedAndGivenBack) {
  rlimit limit;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  Served served({{directories_[0].path()}, {directories_[1].path()}});
  const size_t memory = served.MemoryKilobytes(), fds = served.Fds();
  const Fdid file = served.Find("file");
  std::vector<Fdid> held;
  for (int i = 0; i < 10'000; ++i) {
    Answer answer = Ask<Mid::kOpenAt>(served.socket(), {.fd = file});
    OpenAtResp response;
    if (!answer.ok()) {
      EXPECT_EQ(answer.ToString(), "EMFILE");
      break;
    }
    ASSERT_TRUE(Decode(answer.payload, response));
    held.push_back(response.open_fd);
  }
  // The other connection's share of descriptors is its own.
  EXPECT_NE(served.Find("file", 1), kInvalidFdid);
  EXPECT_GT(held.size(), 100u);
  EXPECT_LT(served.MemoryKilobytes(), memory + 1024 + held.size()) << "KB, for " << held.size();
  for (size_t i = 0; i < held.size(); i += 500) {
    auto some = std::span(held).subspan(i, std::min<size_t>(500, held.size() - i));
    ASSERT_TRUE(Ask<Mid::kClose>(served.socket(), {FdArray(some)}).ok());
  }
  EXPECT_TRUE(Eventually(tests::kPatience, [&] { return served.Fds() <= fds + 2; }));
}

TEST_F(ServiceTest, AnEnormousDirectoryIsListedInPieces) {
  const int count = IsLong() ? 1'000'000 : 50'000;
  for (int i = 0; i < count; ++i) {
    ASSERT_EQ(mknod((directories_[0] / ("entry" + std::to_string(i))).c_str(), S_IFREG | 0644, 0), 0);
  }
  Served served({{directories_[0].path()}, {directories_[1].path()}});
  const size_t memory = served.MemoryKilobytes();
  Answer opened = Ask<Mid::kOpenAt>(served.socket(), {.fd = served.root()});
  OpenAtResp open;
  ASSERT_TRUE(opened.ok() && Decode(opened.payload, open));
  size_t entries = 0;
  while (true) {
    Answer answer = Ask<Mid::kGetdents64>(served.socket(), {.fd = open.open_fd, .count = 1 << 20});
    Getdents64Resp response;
    ASSERT_TRUE(answer.ok() && Decode(answer.payload, response)) << answer;
    if (response.count == 0) break;
    entries += response.count;
    ASSERT_TRUE(Ask<Mid::kFStat>(served.socket(1), {served.root(1)}).ok());
  }
  EXPECT_GE(entries, static_cast<size_t>(count));
  // Messages of a megabyte, whatever the directory's size.
  EXPECT_LT(served.MemoryKilobytes(), memory + 8192);
}

// Each directory in the one before, of which the client then keeps nothing: the chain of their positions stays as long
// as the last one is held, and goes without a recursion as deep.
TEST_F(ServiceTest, ADeepTreeIsGivenBack) {
  const int depth = IsLong() ? 20'000 : 2'000;
  // Removed from the top in pieces: no path is that long.
  TempDir deep;
  {
    Served served({{deep.path()}, {directories_[1].path()}});
    const size_t memory = served.MemoryKilobytes();
    Fdid current = served.root();
    for (int i = 0; i < depth; ++i) {
      CreateCommon common{.dir_fd = current, .mode = 0755};
      Answer made = Ask<Mid::kMkdirAt>(served.socket(), {.common = common, .name = "d"});
      InodeResp response;
      if (!made.ok()) {
        ADD_FAILURE() << made << " at " << i;
        break;
      }
      ASSERT_TRUE(Decode(made.payload, response));
      Fdid fds[] = {current};
      ASSERT_TRUE(Ask<Mid::kClose>(served.socket(), {FdArray(fds)}).ok());
      current = response.child.control_fd;
    }
    EXPECT_LT(served.MemoryKilobytes(), memory + 4096 + static_cast<size_t>(depth)) << "KB";
    served.HangUp(0);
    EXPECT_LT(Slowest(served, 1), kHeldUp);
  }
  Fd top(open(deep.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (int i = 0; i < depth; ++i) {
    // d/d becomes the new d.
    if (renameat(top.get(), "d/d", top.get(), "next") != 0 || unlinkat(top.get(), "d", AT_REMOVEDIR) != 0 ||
        renameat(top.get(), "next", top.get(), "d") != 0) {
      break;
    }
  }
  unlinkat(top.get(), "d", AT_REMOVEDIR);
}

TEST_F(ServiceTest, TheGofersMemoryHasALimit) {
  Served served({Served::Mount{directories_[0].path()}});
  rlimit data, core, files;
  ASSERT_EQ(prlimit(served.pid(), RLIMIT_DATA, nullptr, &data), 0);
  ASSERT_EQ(prlimit(served.pid(), RLIMIT_CORE, nullptr, &core), 0);
  ASSERT_EQ(prlimit(served.pid(), RLIMIT_NOFILE, nullptr, &files), 0);
  EXPECT_EQ(core.rlim_max, 0u);
#ifndef __SANITIZE_ADDRESS__
  EXPECT_LE(data.rlim_max, (uint64_t{640} << 20) + files.rlim_max * 4096);
#endif
}

// ---- A disk that stands still.

TEST_F(ServiceTest, ADiskThatStandsStillHoldsUpOnlyWhoUsesIt) {
  tests::MakeDirectory(directories_[0] / "stuck");
  StuckDisk disk(directories_[0] / "stuck");
  if (!disk.why_not().empty()) GTEST_SKIP() << "no FUSE here: " << disk.why_not();
  Served served({{directories_[0].path()}, {directories_[1].path()}, {directories_[0] / "stuck"}});
  // A client of the disk, and one of a mount that the disk is mounted in: all their lanes but one wait for it.
  std::vector<std::unique_ptr<RawChannel>> channels;
  int lanes = 0;
  for (size_t mount : {size_t{0}, size_t{2}}) {
    Fdid directory = mount == 0 ? served.Find("stuck") : served.root(2);
    ASSERT_NE(directory, kInvalidFdid);
    while (auto channel = served.MakeChannel(mount)) {
      std::string name = "name" + std::to_string(lanes++);
      std::string_view view = name;
      Bytes request = Encoded(WalkReq{directory, StringArray({&view, 1})});
      channel->Write(static_cast<uint16_t>(Mid::kWalk), 0, request);
      channel->Flip(static_cast<uint32_t>(4 + request.size()));
      channels.push_back(std::move(channel));
    }
  }
  ASSERT_GE(lanes, 2);
  EXPECT_TRUE(Eventually(tests::kPatience, [&] { return disk.waiting() >= lanes; })) << disk.waiting();
  // The other mount, and what else is in the mount that has the disk within.
  EXPECT_LT(Slowest(served, 1), kHeldUp);
  EXPECT_LT(Slowest(served, 0), kHeldUp);
  EXPECT_NE(served.Find("file", 0), kInvalidFdid);
  EXPECT_NE(served.Find("file", 1), kInvalidFdid);
  // A client that leaves meanwhile is no burden to the others.
  served.HangUp(2);
  EXPECT_LT(Slowest(served, 1), kHeldUp);
  disk.Break();
  for (auto& channel : channels) EXPECT_NE(channel->WaitForTurn(), Answer::End::kSilent);
}

// As when the sandbox is deleted. (A request that a FUSE server has taken and does not answer is beyond SIGKILL: the
// kernel waits it out. What blocks in a disk's own driver may be, too.)
TEST_F(ServiceTest, AGoferCanBeKilledWhileItsDiskStandsStill) {
  tests::MakeDirectory(directories_[0] / "stuck");
  StuckDisk disk(directories_[0] / "stuck");
  if (!disk.why_not().empty()) GTEST_SKIP() << "no FUSE here: " << disk.why_not();
  Served served({{directories_[0] / "stuck"}, {directories_[1].path()}});
  disk.Stop();
  std::string_view name = "name";
  Bytes request = Encoded(WalkReq{served.root(), StringArray({&name, 1})});
  ASSERT_TRUE(served.socket().Send(RawSocket::Frame(static_cast<uint16_t>(Mid::kWalk), request)));
  EXPECT_EQ(served.socket().Receive(milliseconds(300)).ToString(), "no answer");
  EXPECT_TRUE(served.Kill());
}

}  // namespace
}  // namespace lisafs::conformance
