#include "lisafs/channel.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "lisafs/window_file.h"

namespace lisafs {
namespace {

constexpr uint64_t kWindow = 8192;

// Both ends of a channel, and a look at its window as a hostile peer has it.
struct Pair {
  explicit Pair(SpinPolicy spin = {}) : file(*WindowFile::Create()) {
    int sockets[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
    auto place = *file.Allocate(kWindow);
    raw = static_cast<std::byte*>(mmap(nullptr, kWindow, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd(), place.offset));
    EXPECT_NE(raw, MAP_FAILED);
    client = *Channel::Create(Channel::Side::kClient, file.fd(), place.offset, place.length, Fd(sockets[0]), spin);
    server = *Channel::Create(Channel::Side::kServer, file.fd(), place.offset, place.length, Fd(sockets[1]), spin);
  }
  ~Pair() { munmap(raw, kWindow); }

  std::atomic<uint32_t>& word(size_t offset) { return *reinterpret_cast<std::atomic<uint32_t>*>(raw + offset); }
  std::atomic<uint32_t>& state() { return word(0); }
  std::atomic<uint32_t>& data_length() { return word(4); }
  uint32_t client_sleeps() { return word(8); }
  uint32_t server_sleeps() { return word(12); }
  std::string Hex(size_t size) const {
    std::string hex;
    for (size_t i = 0; i < size; ++i) {
      char digits[3];
      snprintf(digits, sizeof digits, "%02x", static_cast<unsigned>(raw[i]));
      hex += digits;
    }
    return hex;
  }

  WindowFile file;
  std::byte* raw;
  std::unique_ptr<Channel> client, server;
};

// Serves until the channel ends: answers each message with the same payload.
Errno Echo(Channel& server, Donations* donations = nullptr) {
  if (auto accepted = server.Accept(); !accepted) return accepted.error();
  auto request = server.Receive();
  while (request) request = server.SendAndReceive(static_cast<Mid>(request->mid), request->payload.size(), donations);
  return request.error();
}

void ExpectEcho(Channel& client, std::string_view text) {
  memcpy(client.payload().data(), text.data(), text.size());
  auto response = client.SendAndReceive(Mid::kFStat, text.size(), nullptr);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->mid, 3);
  EXPECT_EQ(std::string_view(reinterpret_cast<char*>(response->payload.data()), response->payload.size()), text);
}

TEST(Channel, CarriesMessages) {
  for (uint32_t spin : {0, 50}) {
    Pair pair({spin});
    std::thread server([&] { EXPECT_EQ(Echo(*pair.server), Errno(ECONNRESET)); });
    ASSERT_TRUE(pair.client->Connect());
    ExpectEcho(*pair.client, "hello");
    ExpectEcho(*pair.client, "");
    ExpectEcho(*pair.client, std::string(kWindow - 20, 'x'));
    for (int i = 0; i < 2000; ++i) ExpectEcho(*pair.client, "again");
    pair.client->Shutdown();
    server.join();
  }
}

TEST(Channel, SleepFlagsLoseNoWakeUp) {
  for (uint32_t spin : {0, 5}) {
    Pair pair({spin});
    std::thread server([&] {
      ASSERT_TRUE(pair.server->Accept());
      ASSERT_TRUE(pair.server->Receive());
      pair.server->UseSleepFlags();
      for (auto got = pair.server->SendAndReceive(Mid::kSleepFlags, 0, nullptr); got;) {
        got = pair.server->SendAndReceive(static_cast<Mid>(got->mid), got->payload.size(), nullptr);
      }
    });
    ASSERT_TRUE(pair.client->Connect());
    ASSERT_TRUE(pair.client->SendAndReceive(Mid::kSleepFlags, 0, nullptr));
    pair.client->UseSleepFlags();
    for (int i = 0; i < 20000; ++i) ExpectEcho(*pair.client, "again");
    pair.client->Shutdown();
    server.join();
  }
}

TEST(Channel, SaysInTheWindowWhenItSleeps) {
  Pair pair;
  std::thread server([&] {
    ASSERT_TRUE(pair.server->Accept());
    ASSERT_TRUE(pair.server->Receive());
    pair.server->UseSleepFlags();
    EXPECT_FALSE(pair.server->SendAndReceive(Mid::kSleepFlags, 0, nullptr));
  });
  ASSERT_TRUE(pair.client->Connect());
  EXPECT_EQ(pair.server_sleeps(), 0u);
  ASSERT_TRUE(pair.client->SendAndReceive(Mid::kSleepFlags, 0, nullptr));
  while (pair.server_sleeps() != 1) usleep(100);
  EXPECT_EQ(pair.client_sleeps(), 0u);
  pair.client->Shutdown();
  server.join();
  EXPECT_EQ(pair.server_sleeps(), 0u);
}

TEST(Channel, WorksAcrossProcesses) {
  Pair pair({20});
  pid_t server = fork();
  ASSERT_GE(server, 0);
  if (server == 0) _exit(Echo(*pair.server) == Errno(ECONNRESET) ? 0 : 1);
  ASSERT_TRUE(pair.client->Connect());
  for (int i = 0; i < 1000; ++i) ExpectEcho(*pair.client, "over there");
  pair.client->Shutdown();
  int status;
  ASSERT_EQ(waitpid(server, &status, 0), server);
  EXPECT_EQ(status, 0);
}

TEST(ChannelBytes, HandshakeAndRequestLieWhereGvisorPutsThem) {
  Pair pair;
  std::thread client([&] {
    ASSERT_TRUE(pair.client->Connect());
    const uint64_t fdid = 1;
    memcpy(pair.client->payload().data(), &fdid, sizeof fdid);
    ASSERT_TRUE(pair.client->SendAndReceive(Mid::kFStat, sizeof fdid, nullptr));
  });
  while (pair.state() != 1) usleep(100);
  EXPECT_EQ(pair.Hex(24),
            "01000000030000000000000000000000"
            "7b7d0a0000000000");
  ASSERT_TRUE(pair.server->Accept());
  auto request = pair.server->Receive();
  ASSERT_TRUE(request);
  EXPECT_EQ(pair.Hex(28),
            "010000000c0000000000000000000000"
            "030000000100000000000000");
  EXPECT_EQ(request->mid, 3);
  EXPECT_EQ(request->payload.size(), 8u);
  ASSERT_TRUE(pair.server->Send(Mid::kFStat, 144, nullptr));
  client.join();
  EXPECT_EQ(pair.Hex(20),
            "00000000940000000000000000000000"
            "03000000");
}

TEST(ChannelHandshake, ToleratesSpaceAndNothingElse) {
  const std::pair<std::string, bool> cases[] = {{"{}\n", true},  {"{}", true},      {" { }\r\n", true}, {"", false},
                                                {"{", false},    {"[]", false},     {"{}x", false},     {"{}{}", false},
                                                {"null", false}, {"{\"a\"}", false}};
  for (const auto& [text, good] : cases) {
    Pair pair;
    memcpy(pair.raw + 16, text.data(), text.size());
    pair.data_length() = static_cast<uint32_t>(text.size());
    pair.state() = 1;
    EXPECT_EQ(pair.server->Accept().has_value(), good) << text;
  }
  for (uint32_t length : {65u, 8192u, UINT32_MAX}) {
    Pair pair;
    memcpy(pair.raw + 16, "{}", 2);
    memset(pair.raw + 18, ' ', 100);
    pair.data_length() = length;
    pair.state() = 1;
    EXPECT_EQ(pair.server->Accept().error(), Errno(EPROTO)) << length;
  }
}

// Both sides past the handshake, the server about to wait for a request that the test writes by hand.
struct ConnectedPair : Pair {
  ConnectedPair() {
    std::thread accept([&] { EXPECT_TRUE(server->Accept()); });
    EXPECT_TRUE(client->Connect());
    accept.join();
  }
};

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

TEST(ChannelDonations, ArriveInOrder) {
  ConnectedPair pair;
  ASSERT_TRUE(pair.client->Send(Mid::kChannel, 0, nullptr));
  ASSERT_TRUE(pair.server->Receive());
  Donations sent;
  sent.Add(Fd(open("/dev/null", O_RDONLY | O_CLOEXEC)));
  sent.Add(Fd(open("/dev/zero", O_RDONLY | O_CLOEXEC)));
  const int number = sent[0];
  ASSERT_TRUE(pair.server->Send(Mid::kChannel, 16, &sent));
  EXPECT_EQ(sent.size(), 0u);
  EXPECT_EQ(fcntl(number, F_GETFD), -1);
  auto response = pair.client->Receive();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->donated, 2u);
  Donations received;
  pair.client->ReceiveDonations(response->donated, &received);
  ASSERT_EQ(received.size(), 2u);
  char byte;
  EXPECT_EQ(read(received[0], &byte, 1), 0);
  EXPECT_EQ(read(received[1], &byte, 1), 1);
  EXPECT_EQ(fcntl(received[0], F_GETFD), FD_CLOEXEC);
}

TEST(ChannelDonations, AClientThatTakesNoneHoldsNobodyUp) {
  ConnectedPair pair;
  size_t donated = 1;
  for (int i = 0; i < 5000 && donated > 0; ++i) {
    ASSERT_TRUE(pair.client->Send(Mid::kOpenAt, 0, nullptr));
    ASSERT_TRUE(pair.server->Receive());
    Donations donations;
    donations.Add(Fd(open("/dev/null", O_RDONLY | O_CLOEXEC)));
    ASSERT_TRUE(pair.server->Send(Mid::kOpenAt, 8, &donations));
    auto response = pair.client->Receive();
    ASSERT_TRUE(response);
    donated = response->donated;
  }
  EXPECT_EQ(donated, 0u) << "the response says that nothing came with it";
}

TEST(ChannelDonations, AVanishedClientIsNoError) {
  ConnectedPair pair;
  ASSERT_TRUE(pair.client->Send(Mid::kOpenAt, 0, nullptr));
  ASSERT_TRUE(pair.server->Receive());
  pair.client.reset();
  Donations donations;
  donations.Add(Fd(open("/dev/null", O_RDONLY | O_CLOEXEC)));
  EXPECT_TRUE(pair.server->Send(Mid::kOpenAt, 8, &donations));
}

// ----------------------------------------------------------------------------------------------------------------
// shutdown: whoever asks for it, and whatever both sides are doing, both find it done

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
    std::thread server([&] { Echo(*pair.server); });
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

TEST(Channel, RefusesWindowsThatCannotBe) {
  auto file = *WindowFile::Create();
  ASSERT_TRUE(file.Allocate(8192));
  auto create = [&](int64_t offset, uint64_t length) {
    return Channel::Create(Channel::Side::kClient, file.fd(), offset, length, Fd(), {});
  };
  EXPECT_TRUE(create(4096, 4096));
  EXPECT_FALSE(create(0, 0));
  EXPECT_FALSE(create(0, 20));
  EXPECT_FALSE(create(0, 4097));
  EXPECT_FALSE(create(1, 4096));
  EXPECT_FALSE(create(-4096, 4096));
  EXPECT_FALSE(create(0, uint64_t{1} << 32));
  EXPECT_EQ(Channel::WindowSize(4096 - 20), 4096u);
  EXPECT_EQ(Channel::WindowSize(4096 - 19), 8192u);
  EXPECT_EQ(Channel::WindowSize(kDefaultMaxMessage), 2u << 20);
  EXPECT_EQ(Channel::WindowSize(UINT32_MAX), (uint64_t{1} << 32) + 4096);
}

}  // namespace
}  // namespace lisafs
