#include "lisafs/server.h"

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <string.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <semaphore>
#include <thread>
#include <vector>

#include "lisafs/connection.h"
#include "lisafs/server_testing.h"

// The server's half of the protocol, message by message.

namespace lisafs {
namespace {

TEST_F(ServerTest, MountAnnouncesExactlyWhatIsServed) {
  Serve();
  MountResp response;
  Answer answer = Ask(Mid::kMount, std::vector<std::byte>(3));
  ASSERT_TRUE(Decode(answer.payload, response));
  EXPECT_EQ(response.root.stat.ino, 42u);
  EXPECT_NE(response.root.control_fd, kInvalidFdid);
  EXPECT_EQ(response.max_message, kMaxMessage);
  std::vector<uint16_t> announced;
  for (size_t i = 0; i < response.supported.size(); ++i) announced.push_back(response.supported[i]);
  EXPECT_EQ(announced, (std::vector<uint16_t>{1, 2, 3, 5, 7, 9, 10, 11, 256}));
  // Again: another FDID for the same root.
  MountResp again;
  ASSERT_TRUE(Decode(Ask(Mid::kMount).payload, again));
  EXPECT_NE(again.root.control_fd, response.root.control_fd);
}

TEST_F(ServerTest, MountNeedNotComeFirst) {
  Serve();
  EXPECT_EQ(ErrorOf(Mid::kFStat, Encoded(FdReq{1})), static_cast<uint32_t>(EBADF));
  EXPECT_NE(MakeChannel(), nullptr);
}

TEST_F(ServerTest, WhatIsNotServedIsRefused) {
  Serve();
  for (uint16_t mid : {0, 4, 20, 34, 255, 257, 258, 65535}) {
    EXPECT_EQ(ErrorOf(mid, std::vector<std::byte>(100)), static_cast<uint32_t>(EOPNOTSUPP)) << mid;
  }
  EXPECT_EQ(Ask(Mid::kMount).mid, 1);
}

TEST_F(ServerTest, PayloadsOfEverySize) {
  Serve();
  Ask(Mid::kMount);
  std::vector<std::byte> request = Encoded(FdReq{1});
  EXPECT_EQ(ErrorOf(Mid::kFStat, std::span(request).first(7)), static_cast<uint32_t>(EIO));
  EXPECT_EQ(ErrorOf(Mid::kFStat), static_cast<uint32_t>(EIO));
  request.resize(kMaxMessage);
  EXPECT_EQ(ErrorOf(Mid::kFStat, request), 0u);
  request.resize(kMaxMessage + 1);
  EXPECT_EQ(ErrorOf(Mid::kFStat, request), static_cast<uint32_t>(EIO));
  EXPECT_EQ(ErrorOf(Mid::kFStat, Encoded(FdReq{1})), 0u);
}

TEST_F(ServerTest, AHandlerThatBlowsUpIsAnError) {
  Serve();
  EXPECT_EQ(ErrorOf(Mid::kFSync, Encoded(FdsReq{})), static_cast<uint32_t>(EREMOTEIO));
  EXPECT_EQ(Ask(Mid::kMount).mid, 1);
}

TEST_F(ServerTest, AnErrorDonatesNothing) {
  Serve();
  Donations donated;
  EXPECT_EQ(Ask(Mid::kOpenAt, Encoded(OpenAtReq{}), &donated).error, static_cast<uint32_t>(EDOM));
  EXPECT_EQ(donated.size(), 0u);
}

TEST_F(ServerTest, ReadOnlyComesBeforeTheRequestIsLookedAt) {
  Serve({.read_only = true});
  EXPECT_EQ(ErrorOf(Mid::kPWrite), static_cast<uint32_t>(EROFS));
  EXPECT_EQ(Ask(Mid::kMount).mid, 1);
}

TEST_F(ServerTest, CloseNeverFailsButForItsEncoding) {
  Serve();
  Ask(Mid::kMount);
  const Fdid fds[] = {999, 0, 1, 1};
  EXPECT_EQ(ErrorOf(Mid::kClose, Encoded(FdsReq{FdArray(fds)})), 0u);
  EXPECT_EQ(ErrorOf(Mid::kFStat, Encoded(FdReq{1})), static_cast<uint32_t>(EBADF));
  std::vector<std::byte> lying = Encoded(FdsReq{FdArray(fds)});
  lying.pop_back();
  EXPECT_EQ(ErrorOf(Mid::kClose, lying), static_cast<uint32_t>(EIO));
}

TEST_F(ServerTest, ChannelsServeTheSameMessages) {
  Serve();
  Ask(Mid::kMount);
  auto channel = MakeChannel();
  auto ask = [&](uint16_t mid, std::span<const std::byte> payload) {
    if (!payload.empty()) memcpy(channel->payload().data(), payload.data(), payload.size());
    auto incoming = channel->SendAndReceive(static_cast<Mid>(mid), payload.size(), nullptr);
    EXPECT_TRUE(incoming);
    return incoming ? MakeAnswer(incoming->mid, incoming->payload) : Answer{};
  };
  EXPECT_EQ(ask(3, Encoded(FdReq{1})).mid, 3);
  EXPECT_EQ(ask(1, {}).mid, 1);
  EXPECT_EQ(ask(99, {}).error, static_cast<uint32_t>(EOPNOTSUPP));
  EXPECT_EQ(ask(3, std::vector<std::byte>(kMaxMessage + 1)).error, static_cast<uint32_t>(EIO));
  EXPECT_EQ(ask(256, {}).mid, 256);
  channel->UseSleepFlags();
  EXPECT_EQ(ask(3, Encoded(FdReq{1})).mid, 3);
  Donations donated;
  EXPECT_EQ(ask(2, {}).mid, 2);
  channel->ReceiveDonations(2, &donated);
  EXPECT_EQ(donated.size(), 2u);
}

TEST_F(ServerTest, SleepFlagsOnTheSocketHaveItWatched) {
  Serve();
  EXPECT_EQ(Ask(Mid::kSleepFlags).mid, 256);
  EXPECT_EQ(Ask(Mid::kMount).mid, 1);
}

TEST_F(ServerTest, ChannelsAreLimited) {
  Serve({.max_channels = 2});
  auto one = MakeChannel();
  auto two = MakeChannel();
  EXPECT_EQ(counters_->summary.channels, 2u);
  EXPECT_EQ(ErrorOf(Mid::kChannel), static_cast<uint32_t>(ENOMEM));
  HangUp();
  EXPECT_EQ(counters_->summary.channels, 0u);
}

// What the client does to a window while its request is handled changes nothing; what is written to it is not believed.
TEST_F(ServerTest, ARequestOnAChannelIsAPrivateCopy) {
  Serve();
  auto channel = MakeChannel();
  std::byte* window = channel->payload().data();
  on_call = [&](Call& call) {
    memset(window, 'x', 8);
    for (std::byte byte : call.request) EXPECT_EQ(byte, std::byte{'a'});
    EXPECT_EQ(call.channel != nullptr, true);
  };
  memset(window, 'a', 8);
  auto incoming = channel->SendAndReceive(Mid::kWalk, 8, nullptr);
  ASSERT_TRUE(incoming);
  EXPECT_EQ(incoming->payload.size(), 8u);
  EXPECT_EQ(incoming->payload[0], std::byte{'a'});
}

TEST_F(ServerTest, OnlyPWritesDataIsNotCopied) {
  Serve();
  size_t copied = 0, in_place = 0;
  on_call = [&](Call& call) {
    copied = call.request.size();
    in_place = call.data.size();
  };
  std::vector<std::byte> data(1000);
  PWriteResp response;
  ASSERT_TRUE(Decode(Ask(Mid::kPWrite, Encoded(PWriteReq{.count = 1000, .data = {data}})).payload, response));
  EXPECT_EQ(response.count, 1000u);
  EXPECT_EQ(copied, kPWriteHeaderSize);
  EXPECT_EQ(in_place, 1000u);
  EXPECT_EQ(ErrorOf(Mid::kPWrite, std::vector<std::byte>(19)), static_cast<uint32_t>(EIO));
}

TEST_F(ServerTest, CountsByLaneAndMessage) {
  Serve();
  Ask(Mid::kMount);
  Ask(Mid::kFStat, Encoded(FdReq{1}));
  Ask(Mid::kFStat, Encoded(FdReq{99}));
  Ask(uint16_t{40000});
  auto channel = MakeChannel();
  memset(channel->payload().data(), 0, 8);
  ASSERT_TRUE(channel->SendAndReceive(Mid::kFStat, 8, nullptr));
  HangUp();
  const MessageCounters& on_socket = counters_->lanes[0].messages[MessageIndex(Mid::kFStat)];
  const LaneSummary& socket = counters_->summary.lanes[0];
  EXPECT_EQ(socket.calls[MessageIndex(Mid::kFStat)].Get(), 2u);
  EXPECT_EQ(on_socket.errors.Get(), 1u);
  EXPECT_EQ(on_socket.errnos[EBADF].Get(), 1u);
  EXPECT_EQ(on_socket.bytes_received.Get(), 16u);
  EXPECT_EQ(on_socket.bytes_sent.Get(), 144u + 4u);
  EXPECT_GT(on_socket.latency_ns.Get(), 0u);
  EXPECT_EQ(counters_->summary.lanes[1].calls[MessageIndex(Mid::kFStat)].Get(), 1u);
  EXPECT_EQ(socket.calls[MessageIndex(Mid::kMount)].Get(), 1u);
  EXPECT_EQ(counters_->summary.control_fds, 0u);
}

TEST_F(ServerTest, EndsWhileChannelsSleep) {
  Serve();
  auto connected = MakeChannel();
  // And one that never shook hands.
  Donations donated;
  EXPECT_EQ(Ask(Mid::kChannel, {}, &donated).mid, 2);
  HangUp();
  EXPECT_EQ(server_.tree.size(), 1u);
  // The client's end is told.
  EXPECT_EQ(connected->SendAndReceive(Mid::kFStat, 0, nullptr).error(), Errno(ECONNRESET));
}

TEST_F(ServerTest, ABrokenChannelLeavesTheOthersAlone) {
  Serve();
  auto broken = MakeChannel();
  auto good = MakeChannel();
  broken->Shutdown();
  memset(good->payload().data(), 0, 8);
  EXPECT_TRUE(good->SendAndReceive(Mid::kFStat, 8, nullptr));
  EXPECT_EQ(Ask(Mid::kMount).mid, 1);
}

// A client that sends and never reads stops its own socket's thread, and no more than that.
TEST_F(ServerTest, EndsWhileTheClientDoesNotRead) {
  Serve();
  Ask(Mid::kMount);
  auto channel = MakeChannel();
  int fd = lane_->fd();
  ASSERT_EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
  const std::vector<std::byte> request = Encoded(FdReq{1});
  std::vector<std::byte> message(8 + request.size());
  const uint32_t length = static_cast<uint32_t>(request.size());
  const uint16_t mid = 3;
  memcpy(message.data(), &length, 4);
  memcpy(message.data() + 4, &mid, 2);
  memcpy(message.data() + 8, request.data(), request.size());
  int failures = 0;
  while (failures < 5) {
    if (send(fd, message.data(), message.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
      ++failures;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
  memcpy(channel->payload().data(), request.data(), request.size());
  EXPECT_TRUE(channel->SendAndReceive(Mid::kFStat, request.size(), nullptr));
  connection_->Shutdown();
  thread_.join();
  EXPECT_EQ(server_.tree.size(), 1u);
}

TEST_F(ServerTest, WhatIsRestrictedMeanwhileIsRefusedFromThenOn) {
  LivePolicy policy;
  Serve({.policy = &policy});
  Ask(Mid::kMount);
  const std::vector<std::byte> write = Encoded(PWriteReq{});
  EXPECT_EQ(ErrorOf(Mid::kPWrite, write), 0u);
  policy.restrictions = kForbidChanges;
  EXPECT_EQ(ErrorOf(Mid::kPWrite, write), static_cast<uint32_t>(EROFS));
  EXPECT_EQ(ErrorOf(Mid::kWalk, write), 0u);
  policy.restrictions = kRevoked;
  EXPECT_EQ(ErrorOf(Mid::kPWrite, write), static_cast<uint32_t>(EACCES));
  EXPECT_EQ(ErrorOf(Mid::kWalk, write), static_cast<uint32_t>(EACCES));
  // What is about no file goes on.
  EXPECT_EQ(Ask(Mid::kMount).mid, 1);
  EXPECT_EQ(ErrorOf(Mid::kClose, Encoded(FdsReq{})), 0u);
  EXPECT_NE(MakeChannel(), nullptr);
  policy.restrictions = 0;
  EXPECT_EQ(ErrorOf(Mid::kPWrite, write), 0u);
}

TEST_F(ServerTest, ALimitHoldsUpAndEndsWithItsConnection) {
  LivePolicy policy;
  policy.operations.per_second = 20;
  policy.operations.burst = 1;
  policy.restrictions = kLimited;
  Serve({.policy = &policy});
  Ask(Mid::kMount);
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(ErrorOf(Mid::kWalk), 0u);
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(190));
  // One that would wait for ten minutes.
  policy.bytes.per_second = 1;
  policy.bytes.burst = 1;
  connection_->ChargeData(600);
  auto channel = MakeChannel();
  std::thread caller([&] { (void)channel->SendAndReceive(Mid::kWalk, 0, nullptr); });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  HangUp();
  caller.join();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
}

// The end waits for a request in progress.
TEST_F(ServerTest, EndsOnlyWhenRequestsAreDone) {
  Serve();
  auto channel = MakeChannel();
  std::binary_semaphore entered(0), go_on(0);
  on_call = [&](Call&) {
    entered.release();
    go_on.acquire();
  };
  std::thread caller([&] { (void)channel->SendAndReceive(Mid::kWalk, 0, nullptr); });
  entered.acquire();
  lane_.reset();
  std::atomic<bool> ended = false;
  std::thread waiter([&] {
    thread_.join();
    ended = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(ended);
  go_on.release();
  waiter.join();
  caller.join();
}

}  // namespace
}  // namespace lisafs
