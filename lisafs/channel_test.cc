#include "lisafs/channel.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>

#include "lisafs/channel_testing.h"
#include "lisafs/window_file.h"

namespace lisafs {
namespace {

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
  EXPECT_EQ(pair.server_place(), 0u);
  ASSERT_TRUE(pair.client->SendAndReceive(Mid::kSleepFlags, 0, nullptr));
  while ((pair.server_place() & 1) == 0) usleep(100);
  EXPECT_LE(pair.server_place() >> 1, static_cast<uint32_t>(get_nprocs_conf()));
  EXPECT_EQ(pair.client_place(), 0u);
  pair.client->Shutdown();
  server.join();
  EXPECT_EQ(pair.server_place() & 1, 0u);
}

TEST(Channel, AClientMakesRoomForAServerOnItsCpu) {
  if (kOneCpu) GTEST_SKIP() << "there is only one CPU";
  constexpr uint32_t kForEver = 1'000'000'000;
  Pair pair({kForEver});
  auto stay = [] {
    cpu_set_t cpu;
    CPU_ZERO(&cpu);
    CPU_SET(0, &cpu);
    if (sched_setaffinity(0, sizeof cpu, &cpu) != 0) GTEST_SKIP() << "CPU 0 is not to be used";
  };
  std::thread server([&] {
    stay();
    ASSERT_TRUE(pair.server->Accept());
    ASSERT_TRUE(pair.server->Receive());
    pair.server->UseSleepFlags();
    ASSERT_TRUE(pair.server->SendAndReceive(Mid::kSleepFlags, 0, nullptr));
    ASSERT_TRUE(pair.server->SendAndReceive(Mid::kFStat, 0, nullptr));
    // The client knows now where this is.
    while ((pair.client_place() & 1) == 0) usleep(100);
    EXPECT_EQ(pair.client_place() >> 1, 1u);
    EXPECT_FALSE(pair.server->SendAndReceive(Mid::kFStat, 0, nullptr));
  });
  std::thread client([&] {
    stay();
    ASSERT_TRUE(pair.client->Connect());
    ASSERT_TRUE(pair.client->SendAndReceive(Mid::kSleepFlags, 0, nullptr));
    pair.client->UseSleepFlags();
    for (int i = 0; i < 2; ++i) ASSERT_TRUE(pair.client->SendAndReceive(Mid::kFStat, 0, nullptr));
    pair.client->Shutdown();
  });
  client.join();
  server.join();
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
