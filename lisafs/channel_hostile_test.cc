// A channel's end and a peer that does what it should not, or ends in the middle of something.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <tuple>
#include <vector>

#include "lisafs/channel.h"
#include "lisafs/channel_testing.h"

namespace lisafs {
namespace {

TEST(HostileWindow, LengthsAreChecked) {
  const uint32_t capacity = kWindow - 16;
  for (uint32_t length : {0u, 1u, 2u, 3u, capacity + 1, uint32_t{kWindow}, 0x80000000u, UINT32_MAX}) {
    ConnectedPair pair;
    pair.data_length() = length;
    pair.state() = 1;
    EXPECT_EQ(pair.server->Receive().error(), Errno(EPROTO)) << length;
  }
  for (uint32_t length : {4u, 5u, capacity}) {
    ConnectedPair pair;
    pair.data_length() = length;
    pair.state() = 1;
    auto request = pair.server->Receive();
    ASSERT_TRUE(request) << length;
    EXPECT_EQ(request->payload.size(), length - 4);
  }
}

TEST(HostileWindow, StatesAreChecked) {
  for (uint32_t state : {3u, 4u, 256u, UINT32_MAX}) {
    ConnectedPair pair;
    pair.state() = state;
    EXPECT_EQ(pair.server->Receive().error(), Errno(EPROTO)) << state;
    EXPECT_EQ(pair.server->Send(Mid::kFStat, 0, nullptr).error(), Errno(EPROTO)) << state;
    EXPECT_EQ(pair.client->Send(Mid::kFStat, 0, nullptr).error(), Errno(EPROTO)) << state;
  }
  // The client takes the window back while its request is served.
  ConnectedPair pair;
  ASSERT_TRUE(pair.client->Send(Mid::kFStat, 0, nullptr));
  ASSERT_TRUE(pair.server->Receive());
  pair.state() = 0;
  EXPECT_EQ(pair.server->Send(Mid::kFStat, 0, nullptr).error(), Errno(EPROTO));
}

TEST(HostileWindow, MayChangeWhileItIsServed) {
  ConnectedPair pair;
  std::atomic<bool> stop = false;
  std::thread attacker([&] {
    for (uint32_t i = 1; !stop; ++i) {
      pair.data_length().store(i * 2654435761u, std::memory_order_relaxed);
      pair.word(16).store(i * 40503u, std::memory_order_relaxed);
      pair.word(20).store(~i, std::memory_order_relaxed);
    }
  });
  int answered = 0;
  for (int i = 0; i < 20000; ++i) {
    pair.state() = 1;
    auto request = pair.server->Receive();
    if (!request) continue;  // A length that could not be; otherwise what is given lies within the window.
    ASSERT_LE(request->payload.size(), kWindow - 20);
    ASSERT_EQ(request->payload.data(), pair.server->payload().data());
    if (pair.server->Send(static_cast<Mid>(request->mid), request->payload.size(), nullptr)) ++answered;
  }
  stop = true;
  attacker.join();
  EXPECT_LE(answered, 20000);
}

TEST(HostileWindow, CannotKeepShutdownWaiting) {
  ConnectedPair pair;
  std::atomic<bool> stop = false;
  // Undoes every change of the state, and has sleepers of its own that swallow wake-ups.
  std::vector<std::thread> attackers;
  attackers.emplace_back([&] {
    while (!stop) pair.state() = 0;
  });
  for (int i = 0; i < 3; ++i) {
    attackers.emplace_back([&] {
      const timespec timeout{0, 10'000'000};
      while (!stop) syscall(SYS_futex, pair.raw, FUTEX_WAIT, 0, &timeout);
    });
  }
  std::thread server([&] { EXPECT_EQ(pair.server->Receive().error(), Errno(ECONNRESET)); });
  usleep(50000);
  pair.server->Shutdown();
  server.join();
  stop = true;
  for (auto& attacker : attackers) attacker.join();
}

TEST(HostileWindow, CountsOfDescriptorsAreNotBelieved) {
  ConnectedPair pair;
  Donations received;
  pair.client->ReceiveDonations(255, &received);
  EXPECT_EQ(received.size(), 0u);
  // A server neither reads nor echoes what a client sends.
  pair.word(16) = 3 | 2 << 16;
  pair.data_length() = 4;
  pair.state() = 1;
  ASSERT_TRUE(pair.server->Receive());
  ASSERT_TRUE(pair.server->Send(Mid::kFStat, 0, nullptr));
  EXPECT_EQ(pair.word(16), 3u);
}

// Shutdown: whoever asks for it, and whatever both sides are doing, both find it done

enum class Stage { kBeforeConnect, kClientConnects, kServerAccepts, kServerWaits, kServerServes };
using ShutdownCase = std::tuple<Stage, Channel::Side, uint32_t>;
class ShutdownTest : public testing::TestWithParam<ShutdownCase> {};

INSTANTIATE_TEST_SUITE_P(All, ShutdownTest,
                         testing::Combine(testing::Values(Stage::kBeforeConnect, Stage::kClientConnects,
                                                          Stage::kServerAccepts, Stage::kServerWaits,
                                                          Stage::kServerServes),
                                          testing::Values(Channel::Side::kClient, Channel::Side::kServer),
                                          testing::Values(0u, 200u)));

TEST_P(ShutdownTest, EndsBothSides) {
  const auto [stage, side, spin] = GetParam();
  Pair pair({spin});
  Channel& asker = side == Channel::Side::kClient ? *pair.client : *pair.server;
  std::thread client, server;
  auto expect_end = [](auto result) {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error(), Errno(ECONNRESET));
  };
  std::atomic<bool> serving = false, go_on = false;
  switch (stage) {
    case Stage::kBeforeConnect:
      break;
    case Stage::kClientConnects:
      client = std::thread([&] { expect_end(pair.client->Connect()); });
      break;
    case Stage::kServerAccepts:
      server = std::thread([&] { expect_end(pair.server->Accept()); });
      break;
    case Stage::kServerWaits:
      server = std::thread([&] {
        ASSERT_TRUE(pair.server->Accept());
        expect_end(pair.server->Receive());
      });
      ASSERT_TRUE(pair.client->Connect());
      break;
    case Stage::kServerServes:
      server = std::thread([&] {
        ASSERT_TRUE(pair.server->Accept());
        ASSERT_TRUE(pair.server->Receive());
        serving = true;
        while (!go_on) usleep(100);
        expect_end(pair.server->SendAndReceive(Mid::kFStat, 0, nullptr));
      });
      ASSERT_TRUE(pair.client->Connect());
      client = std::thread([&] { expect_end(pair.client->SendAndReceive(Mid::kFStat, 0, nullptr)); });
      while (!serving) usleep(100);
      break;
  }
  usleep(2000);  // Whoever waits has gone to sleep, or nearly so.
  asker.Shutdown();
  asker.Shutdown();
  if (client.joinable()) client.join();
  go_on = true;
  if (server.joinable()) server.join();
  EXPECT_EQ(pair.state(), 2u);
  expect_end(pair.client->Send(Mid::kFStat, 0, nullptr));
  expect_end(pair.server->Receive());
}

TEST(Channel, ShutdownRacesWithTraffic) {
  for (int i = 0; i < 300; ++i) {
    Pair pair({i % 2 == 0 ? 0u : 10u});
    std::thread server([&] {
      if (!pair.server->Accept() || !pair.server->Receive()) return;
      while (pair.server->SendAndReceive(Mid::kFStat, 8, nullptr)) {
      }
    });
    std::thread client([&] {
      if (!pair.client->Connect()) return;
      while (pair.client->SendAndReceive(Mid::kFStat, 8, nullptr)) {
      }
    });
    usleep(static_cast<useconds_t>(i));
    (i % 3 == 0 ? pair.server : pair.client)->Shutdown();
    server.join();
    client.join();
  }
}

}  // namespace
}  // namespace lisafs
