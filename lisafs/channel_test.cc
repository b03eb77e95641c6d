#include "lisafs/channel.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>

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

}  // namespace
}  // namespace lisafs
