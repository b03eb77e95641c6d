#ifndef LISAFS_LISAFS_CHANNEL_TESTING_H_
#define LISAFS_LISAFS_CHANNEL_TESTING_H_

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <atomic>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>

#include "lisafs/channel.h"
#include "lisafs/window_file.h"

namespace lisafs {

inline constexpr uint64_t kWindow = 8192;

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
  uint32_t client_place() { return word(8); }
  uint32_t server_place() { return word(12); }
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

// Both sides past the handshake, the server about to wait for a request that the test writes by hand.
struct ConnectedPair : Pair {
  ConnectedPair() {
    std::thread accept([&] { EXPECT_TRUE(server->Accept()); });
    EXPECT_TRUE(client->Connect());
    accept.join();
  }
};

}  // namespace lisafs

#endif  // LISAFS_LISAFS_CHANNEL_TESTING_H_
