#ifndef LISAFS_LISAFS_SERVER_TESTING_H_
#define LISAFS_LISAFS_SERVER_TESTING_H_

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <string.h>
#include <sys/socket.h>

#include <functional>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include "lisafs/channel.h"
#include "lisafs/connection.h"
#include "lisafs/server.h"
#include "lisafs/socket.h"

// A server with handlers that do next to nothing, and a client that sends it any message.

namespace lisafs {

inline constexpr uint32_t kMaxMessage = 4096;

class FakeControl final : public ControlFd {
 public:
  FakeControl(FdBudget::Share share, NodeRef node) : ControlFd(std::move(share), std::move(node), S_IFDIR) {}
};

class FakeMount final : public MountPoint {
 public:
  using MountPoint::MountPoint;
  Result<Root> OpenRoot(FdBudget::Share share) override {
    return Root{std::make_shared<FakeControl>(std::move(share), root()), Statx{.ino = 42}};
  }
};

// Called from Echo and PWrite.
inline std::function<void(Call&)> on_call;

namespace handlers {

inline Result<StatResp> FStat(Connection& connection, const FdReq& request) {
  LISAFS_RETURN_IF_ERROR(connection.fds().Get<FakeControl>(request.fd));
  return StatResp{{.ino = 42}};
}

inline Result<PWriteResp> PWrite(Connection&, const PWriteReq& request, Call& call) {
  if (on_call) on_call(call);
  return PWriteResp{request.data.bytes.size()};
}

inline Status Throw(Connection&, const FdsReq&) { throw std::bad_alloc(); }

inline Result<size_t> Echo(Connection&, Call& call) {
  if (on_call) on_call(call);
  memcpy(call.response.data(), call.request.data(), call.request.size());
  return call.request.size();
}

inline Result<OpenAtResp> DonateAndFail(Connection&, const OpenAtReq&, Call& call) {
  call.donations.Add(Fd(open("/dev/null", O_RDONLY | O_CLOEXEC)));
  return Fail(EDOM);
}

}  // namespace handlers

struct Answer {
  uint16_t mid;
  std::vector<std::byte> payload;
  // Of an Error.
  uint32_t error = 0;
};

class ServerTest : public testing::Test {
 protected:
  ServerTest() : mount_(server_) {
    on_call = nullptr;
    server_.handlers.Serve<Mid::kFStat, handlers::FStat>();
    server_.handlers.Serve<Mid::kPWrite, handlers::PWrite>(Effect::kWrites);
    server_.handlers.Serve<Mid::kFSync, handlers::Throw>();
    server_.handlers.Serve<Mid::kOpenAt, handlers::DonateAndFail>();
    server_.handlers.Set(Mid::kWalk, handlers::Echo);
  }
  ~ServerTest() override { HangUp(); }

  void Serve(Connection::Options options = {}) {
    options.max_message = kMaxMessage;
    options.counters = counters_.get();
    int sockets[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    connection_ = std::make_unique<Connection>(server_, mount_, Fd(sockets[0]), options);
    thread_ = std::thread([this] { connection_->Serve(); });
    // Room for more than the server takes, so that its limit can be tried.
    lane_ = std::make_unique<SocketLane>(Fd(sockets[1]), 2 * kMaxMessage);
  }
  void HangUp() {
    lane_.reset();
    if (thread_.joinable()) thread_.join();
    connection_.reset();
  }

  Answer Ask(uint16_t mid, std::span<const std::byte> payload = {}, Donations* donated = nullptr) {
    if (!payload.empty()) memcpy(lane_->payload().data(), payload.data(), payload.size());
    EXPECT_TRUE(lane_->Send(static_cast<Mid>(mid), payload.size(), nullptr));
    auto incoming = lane_->Receive(donated == nullptr ? 0 : kMaxDonated, donated);
    EXPECT_TRUE(incoming);
    if (!incoming) return {};
    return MakeAnswer(incoming->mid, incoming->payload);
  }
  Answer Ask(Mid mid, std::span<const std::byte> payload = {}, Donations* donated = nullptr) {
    return Ask(static_cast<uint16_t>(mid), payload, donated);
  }
  uint32_t ErrorOf(uint16_t mid, std::span<const std::byte> payload = {}) {
    Answer answer = Ask(mid, payload);
    return answer.mid == 0 ? answer.error : 0;
  }
  uint32_t ErrorOf(Mid mid, std::span<const std::byte> payload = {}) {
    return ErrorOf(static_cast<uint16_t>(mid), payload);
  }

  static Answer MakeAnswer(uint16_t mid, std::span<const std::byte> payload) {
    Answer answer = {mid, {payload.begin(), payload.end()}, 0};
    if (mid == 0) {
      ErrorResp error;
      EXPECT_TRUE(Decode(answer.payload, error));
      EXPECT_EQ(answer.payload.size(), 4u);
      answer.error = error.error;
    }
    return answer;
  }

  // A channel, connected.
  std::unique_ptr<Channel> MakeChannel() {
    Donations donated;
    Answer answer = Ask(Mid::kChannel, {}, &donated);
    ChannelResp response;
    EXPECT_TRUE(answer.mid == 2 && Decode(answer.payload, response));
    EXPECT_EQ(donated.size(), 2u);
    EXPECT_GE(response.data_length, 20 + kMaxMessage);
    auto channel = Channel::Create(Channel::Side::kClient, donated[0], response.data_offset, response.data_length,
                                   donated.Take(1), {});
    EXPECT_TRUE(channel && (*channel)->Connect());
    return std::move(*channel);
  }

  static std::vector<std::byte> Encoded(const WireBody auto& body) {
    std::vector<std::byte> payload(kMaxMessage);
    Writer writer(payload);
    Encode(writer, body);
    EXPECT_TRUE(writer.ok());
    payload.resize(writer.size());
    return payload;
  }

  std::unique_ptr<MountCounters> counters_ = std::make_unique<MountCounters>();
  Server server_;
  FakeMount mount_;
  std::unique_ptr<Connection> connection_;
  std::thread thread_;
  std::unique_ptr<SocketLane> lane_;
};

}  // namespace lisafs

#endif  // LISAFS_LISAFS_SERVER_TESTING_H_
