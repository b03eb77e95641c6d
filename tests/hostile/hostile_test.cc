// One connection of a gofer has a client that means harm, another one a client that does not. Whatever the first does,
// the gofer serves the second as before, and when the first is gone nothing of it is left.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "tests/conformance/suite.h"
#include "tests/support/files.h"
#include "tests/support/process.h"

namespace lisafs::conformance {
namespace {

using std::chrono::milliseconds;
using tests::Eventually;
using Clock = std::chrono::steady_clock;

template <Mid kMid>
Answer Ask(Lane& lane, const typename Message<kMid>::Request& request) {
  return lane.Exchange(static_cast<uint16_t>(kMid), Encoded(request));
}

class HostileTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "lisafs-gofer wants root";
    for (tests::TempDir& directory : directories_) {
      for (int i = 0; i < 100; ++i) tests::WriteFile(directory / ("file" + std::to_string(i)), "content");
    }
    Start({});
  }

  // With `before` in front of the command line.
  void Start(std::vector<std::string> command) {
    hostile_.reset();
    good_.reset();
    gofer_.reset();
    std::unique_ptr<Peer>* peers[] = {&hostile_, &good_};
    std::vector<Fd> servers;
    command.push_back(tests::DataFile("gofer/lisafs-gofer"));
    for (size_t i = 0; i < 2; ++i) {
      int ends[2];
      ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
      ASSERT_EQ(fcntl(ends[1], F_SETFD, FD_CLOEXEC), 0);
      servers.emplace_back(ends[0]);
      *peers[i] = std::make_unique<Peer>(Fd(ends[1]));
      command.push_back("--serve");
      command.push_back(std::to_string(ends[0]) + "=" + directories_[i].path());
    }
    gofer_ = std::make_unique<tests::Process>(command, tests::RunOptions{});
    servers.clear();
    ASSERT_TRUE(good_->Mount(good_->socket()).ok()) << gofer_->err();
    ASSERT_TRUE(hostile_->Mount(hostile_->socket()).ok());
    pid_ = ServingPid();
    ASSERT_GT(pid_, 0);
    fds_ = Fds();
    threads_ = Threads();
    round_trip_ = RoundTrip();
  }

  void TearDown() override {
    if (gofer_ == nullptr) return;
    EXPECT_TRUE(ServesGood());
    hostile_.reset();
    EXPECT_TRUE(Eventually(tests::kPatience, [&] { return Fds() < fds_ && Threads() <= threads_; }))
        << Fds() << " descriptors of " << fds_ << ", " << Threads() << " threads of " << threads_;
    EXPECT_TRUE(ServesGood());
    good_.reset();
    auto ran = gofer_->Wait();
    EXPECT_TRUE(ran.ok()) << ran;
    EXPECT_EQ(ran.err, "");
  }

  // The gofer serves as a child of the process that was started.
  pid_t ServingPid() const {
    std::string pid = std::to_string(gofer_->pid());
    pid_t child = 0;
    std::ifstream("/proc/" + pid + "/task/" + pid + "/children") >> child;
    return child;
  }
  size_t Fds() const { return tests::ListDirectory("/proc/" + std::to_string(pid_) + "/fd").size(); }
  int Threads() const { return atoi(tests::ProcessStatus(pid_, "Threads").c_str()); }

  // The middle one of the good client's.
  std::chrono::microseconds RoundTrip() {
    std::vector<Clock::duration> times;
    for (int i = 0; i < 200; ++i) {
      auto start = Clock::now();
      if (!ServesGood()) return std::chrono::hours(1);
      times.push_back(Clock::now() - start);
    }
    std::ranges::sort(times);
    return std::chrono::duration_cast<std::chrono::microseconds>(times[times.size() / 2]);
  }
  bool ServesGood() { return Ask<Mid::kFStat>(good_->socket(), {good_->root().control_fd}).ok(); }

  // The same order as before the attack, as far as a busy machine allows to tell.
  void ExpectGoodServedAsBefore() { ExpectRoundTrip(10 * round_trip_ + milliseconds(2)); }
  // In one of a few measurements: what else the machine does counts too.
  void ExpectRoundTrip(std::chrono::microseconds bound) {
    std::chrono::microseconds now = RoundTrip();
    for (int i = 0; i < 10 && now >= bound; ++i) now = RoundTrip();
    EXPECT_LT(now, bound) << "it was " << round_trip_.count() << " us";
  }

  std::unique_ptr<RawChannel> MakeChannel() {
    auto channel = hostile_->MakeChannel(hostile_->socket());
    if (channel == nullptr || channel->Handshake() != Answer::End::kAnswered) return nullptr;
    return channel;
  }
  // In the hostile client's tree.
  Fdid Find(Lane& lane, std::string_view name) {
    Answer answer = Ask<Mid::kWalk>(lane, {.dir_fd = hostile_->root().control_fd, .path = StringArray({&name, 1})});
    WalkResp response;
    if (!answer.ok() || !Decode(answer.payload, response) || response.inodes.size() != 1) return kInvalidFdid;
    return response.inodes[0].control_fd;
  }

  tests::TempDir directories_[2];  // The hostile client's and the good one's.
  std::unique_ptr<tests::Process> gofer_;
  std::unique_ptr<Peer> hostile_, good_;
  pid_t pid_ = 0;
  size_t fds_ = 0;
  int threads_ = 0;
  std::chrono::microseconds round_trip_{};
};

// The payload changes while the server reads and answers; what it does is some request or other.
TEST_F(HostileTest, ChangesThePayloadMeanwhile) {
  auto channel = MakeChannel();
  ASSERT_NE(channel, nullptr);
  channel->SetWord(8, 1);  // Should one of the requests be SleepFlags: this client always sleeps.
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    std::mt19937 random(1);
    std::span<std::byte> window = channel->window();
    while (!stop) {
      // The channel's header, and what lengths, names and FDIDs begin with.
      size_t at = RawChannel::kDataOffset + random() % 64;
      window[at] = static_cast<std::byte>(random() % 4 == 0 ? random() : random() % 34);
    }
  });
  std::string_view names[] = {"file1", "file2"};
  Bytes walk = Encoded(WalkReq{hostile_->root().control_fd, StringArray(names)});
  auto end = Clock::now() + std::chrono::seconds(1);
  int answered = 0;
  while (Clock::now() < end || answered <= 100) {
    channel->Write(static_cast<uint16_t>(Mid::kWalk), 0, walk);
    channel->Flip(static_cast<uint32_t>(4 + walk.size()));
    if (channel->WaitForTurn() != Answer::End::kAnswered) break;
    ++answered;
  }
  EXPECT_GT(answered, 100);
  ExpectGoodServedAsBefore();
  stop = true;
  writer.join();
  // The request is whole again, and so is the answer.
  EXPECT_NE(Find(*channel, "file1"), kInvalidFdid);
}

// Everything changes, the state and the lengths too, in all windows: channels end, and nothing else.
TEST_F(HostileTest, ChangesEverythingMeanwhile) {
  std::vector<std::unique_ptr<RawChannel>> channels;
  while (auto channel = MakeChannel()) channels.push_back(std::move(channel));
  ASSERT_GE(channels.size(), 2u);
  std::mt19937 random(2);
  auto end = Clock::now() + std::chrono::seconds(1);
  while (Clock::now() < end) {
    RawChannel& channel = *channels[random() % channels.size()];
    switch (random() % 6) {
      case 0:
        channel.SetWord(0, random() % 3);
        break;
      case 1:
        channel.SetWord(4, static_cast<uint32_t>(random() % 2 == 0 ? random() : random() % 100));
        break;
      case 2:
        channel.SetWord(8, random() % 2);
        channel.SetWord(12, random() % 2);
        break;
      case 3:
        channel.SetWord(16, static_cast<uint32_t>(random() % 34));
        break;
      default:
        channel.SetWord(20 + random() % 16 * 4, static_cast<uint32_t>(random() % 300));
    }
    channel.Wake();
  }
  ExpectGoodServedAsBefore();
  EXPECT_TRUE(Ask<Mid::kFStat>(hostile_->socket(), {hostile_->root().control_fd}).ok() ||
              Ask<Mid::kMount>(hostile_->socket(), {}).ok());
}

// A window that says "my turn" for ever, whatever the server wants.
TEST_F(HostileTest, HangsUpWithAWindowThatIsNeverTheServers) {
  auto channel = MakeChannel();
  ASSERT_NE(channel, nullptr);
  std::atomic<bool> stop = false;
  std::thread holder([&] {
    while (!stop) channel->SetWord(0, RawChannel::kClientActive);
  });
  ExpectGoodServedAsBefore();
  hostile_->socket().Close();
  // While the state is still undone at once.
  EXPECT_TRUE(Eventually(tests::kPatience, [&] { return Fds() < fds_; }));
  stop = true;
  holder.join();
}

TEST_F(HostileTest, NeverReadsItsSocket) {
  Answer opened = Ask<Mid::kOpenAt>(hostile_->socket(), {.fd = Find(hostile_->socket(), "file1"), .flags = O_RDWR});
  OpenAtResp open;
  ASSERT_TRUE(opened.ok() && Decode(opened.payload, open));
  ASSERT_EQ(ftruncate(opened.donated.at(0).get(), 4 << 20), 0);
  Bytes requests;
  for (int i = 0; i < 100; ++i) {
    Bytes frame =
        RawSocket::Frame(static_cast<uint16_t>(Mid::kPRead), Encoded(PReadReq{.fd = open.open_fd, .count = 1 << 20}));
    requests.insert(requests.end(), frame.begin(), frame.end());
  }
  ASSERT_TRUE(hostile_->socket().Send(requests));
  std::this_thread::sleep_for(milliseconds(200));
  ExpectGoodServedAsBefore();
}

TEST_F(HostileTest, NeverDrainsItsDescriptors) {
  auto channel = MakeChannel();
  ASSERT_NE(channel, nullptr);
  Fdid file = Find(*channel, "file1");
  size_t announced = 0;
  for (int i = 0; i < 2000; ++i) {
    Bytes request = Encoded(OpenAtReq{.fd = file});
    channel->Write(static_cast<uint16_t>(Mid::kOpenAt), 0, request);
    channel->Flip(static_cast<uint32_t>(4 + request.size()));
    ASSERT_EQ(channel->WaitForTurn(), Answer::End::kAnswered) << i;
    announced += std::to_integer<size_t>(channel->window()[18]);
    OpenAtResp response;
    ASSERT_TRUE(Decode(channel->window().subspan(20, 8), response));
    Fdid fds[] = {response.open_fd};
    request = Encoded(FdsReq{FdArray(fds)});
    channel->Write(static_cast<uint16_t>(Mid::kClose), 0, request);
    channel->Flip(static_cast<uint32_t>(4 + request.size()));
    ASSERT_EQ(channel->WaitForTurn(), Answer::End::kAnswered) << i;
  }
  // What does not fit into the socket is not donated, and said not to be.
  EXPECT_LT(announced, 2000u);
  EXPECT_GT(announced, 0u);
  ExpectGoodServedAsBefore();
}

TEST_F(HostileTest, FloodsAllItsLanes) {
  std::vector<std::unique_ptr<RawChannel>> channels;
  while (auto channel = MakeChannel()) channels.push_back(std::move(channel));
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  std::atomic<int64_t> answered = 0;
  for (auto& channel : channels) {
    threads.emplace_back([&] {
      while (!stop && Find(*channel, "file1") != kInvalidFdid) ++answered;
    });
  }
  EXPECT_TRUE(Eventually(tests::kPatience, [&] { return answered > 1000; }));
  // All of them want CPU time, so the bound is what the scheduler can promise.
  ExpectRoundTrip(milliseconds(50));
  stop = true;
  for (std::thread& thread : threads) thread.join();
}

TEST_F(HostileTest, OpensUntilNothingIsLeft) {
  Start({"prlimit", "--nofile=1000:1000", "--"});
  if (HasFatalFailure()) return;
  std::vector<Fdid> held;
  Answer answer;
  std::string_view name = "file1";
  for (int i = 0; i < 2000; ++i) {
    Fdid fd = Find(hostile_->socket(), name);
    if (fd == kInvalidFdid) break;
    held.push_back(fd);
  }
  auto walk = [&](Peer& peer) {
    return Ask<Mid::kWalk>(peer.socket(), {.dir_fd = peer.root().control_fd, .path = StringArray({&name, 1})})
        .ToString();
  };
  EXPECT_EQ(walk(*hostile_), "EMFILE");
  EXPECT_GT(held.size(), 100u);
  EXPECT_LT(held.size(), 1000u);
  // Not for the other connection, which has a share of its own.
  for (int i = 0; i < 200; ++i) ASSERT_EQ(walk(*good_), "ok") << i;
  // What is created in several steps leaves nothing behind.
  CreateCommon common{.dir_fd = hostile_->root().control_fd, .mode = 0644};
  EXPECT_EQ(Ask<Mid::kOpenCreateAt>(hostile_->socket(), {.common = common, .flags = O_RDWR, .name = "new"}).ToString(),
            "EMFILE");
  EXPECT_EQ(Ask<Mid::kMkdirAt>(hostile_->socket(), {.common = common, .name = "new"}).ToString(), "EMFILE");
  EXPECT_NE(access((directories_[0] / "new").c_str(), F_OK), 0);
  ASSERT_TRUE(Ask<Mid::kClose>(hostile_->socket(), {FdArray(std::span(held).first(10))}).ok());
  EXPECT_EQ(walk(*hostile_), "ok");
  // Until here the good client's walks count too.
  fds_ += 200;
}

// ---- Clients that are killed in the midst of something.

struct Step {
  const char* name;
  void (*until)(Peer& peer);
};

const Step kSteps[] = {
    {"Connected", [](Peer&) {}},
    {"HalfAHeader", [](Peer& peer) { peer.socket().Send(Bytes(3)); }},
    {"HalfAPayload",
     [](Peer& peer) {
       peer.socket().Send(RawSocket::FrameHeader(static_cast<uint16_t>(Mid::kPWrite), 1 << 20));
       peer.socket().Send(Bytes(1 << 16));
     }},
    {"NotReadingTheAnswer",
     [](Peer& peer) { peer.socket().Send(RawSocket::Frame(static_cast<uint16_t>(Mid::kChannel), {})); }},
    {"ChannelNotShakenHands", [](Peer& peer) { peer.MakeChannel(peer.socket()); }},
    {"HalfAHandshake",
     [](Peer& peer) {
       auto channel = peer.MakeChannel(peer.socket());
       if (channel) channel->Flip(3);
       raise(SIGKILL);
     }},
    {"ChannelIdle",
     [](Peer& peer) {
       auto channel = peer.MakeChannel(peer.socket());
       if (channel) channel->Handshake();
       raise(SIGKILL);
     }},
    {"RequestOnAChannel",
     [](Peer& peer) {
       auto channel = peer.MakeChannel(peer.socket());
       if (channel == nullptr || channel->Handshake() != Answer::End::kAnswered) return;
       Bytes request = Encoded(FdReq{peer.root().control_fd});
       channel->Write(static_cast<uint16_t>(Mid::kFStat), 0, request);
       channel->Flip(static_cast<uint32_t>(4 + request.size()));
       raise(SIGKILL);
     }},
    {"DescriptorsOnTheirWay",
     [](Peer& peer) {
       auto channel = peer.MakeChannel(peer.socket());
       if (channel == nullptr || channel->Handshake() != Answer::End::kAnswered) return;
       CreateCommon common{.dir_fd = peer.root().control_fd, .mode = 0644};
       Bytes request = Encoded(OpenCreateAtReq{.common = common, .flags = O_RDWR, .name = "made by one that died"});
       channel->Write(static_cast<uint16_t>(Mid::kOpenCreateAt), 0, request);
       channel->Flip(static_cast<uint32_t>(4 + request.size()));
       raise(SIGKILL);
     }},
};

class KilledClientTest : public HostileTest, public testing::WithParamInterface<Step> {};

TEST_P(KilledClientTest, LeavesNothing) {
  pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    GetParam().until(*hostile_);
    raise(SIGKILL);
  }
  // Now the child alone holds the connection, and it is gone soon.
  hostile_.reset();
  EXPECT_TRUE(Eventually(tests::kPatience, [&] { return Fds() < fds_ && Threads() <= threads_; }));
  ExpectGoodServedAsBefore();
}

INSTANTIATE_TEST_SUITE_P(All, KilledClientTest, testing::ValuesIn(kSteps),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace lisafs::conformance
