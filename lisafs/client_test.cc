#include "lisafs/client.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "lisafs/window_file.h"

namespace lisafs {
namespace {

constexpr uint32_t kMaxMessage = 8000;

struct Answer {
  uint16_t mid;
  std::vector<std::byte> payload;
  int donated = 0;  // Descriptors of /dev/null.
};
using Handler = std::function<Answer(uint16_t mid, std::span<const std::byte> payload, bool on_channel)>;

Answer Error(int error) {
  std::vector<std::byte> payload(sizeof error);
  memcpy(payload.data(), &error, sizeof error);
  return {0, payload};
}

template <Mid kMid>
Answer Success(const typename Message<kMid>::Response& response) {
  std::vector<std::byte> payload(kMaxMessage);
  Writer writer(payload);
  Encode(writer, response);
  payload.resize(writer.size());
  return {static_cast<uint16_t>(kMid), payload};
}

void AddDevNull(Donations& donations, int count) {
  for (int i = 0; i < count; ++i) donations.Add(Fd(open("/dev/null", O_RDONLY | O_CLOEXEC)));
}

// Open descriptors of /dev/null.
int CountDevNulls() {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    if (std::filesystem::read_symlink(entry, gone) == "/dev/null") ++count;
  }
  return count;
}

// A server that answers Mount and Channel by itself, and the rest as it is told, well-behaved or not.
class FakeServer {
 public:
  explicit FakeServer(Handler handler, size_t max_channels = 2, std::vector<Mid> announced = {})
      : handler_(std::move(handler)), max_channels_(max_channels), windows_(*WindowFile::Create()) {
    int sockets[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    client_socket_ = Fd(sockets[0]);
    lane_ = std::make_unique<SocketLane>(Fd(sockets[1]), kMaxMessage);
    if (announced.empty()) announced.assign(std::begin(kAllMids), std::end(kAllMids));
    for (Mid mid : announced) announced_.push_back(static_cast<uint16_t>(mid));
    threads_.emplace_back([this] { ServeSocket(); });
  }
  ~FakeServer() { Stop(); }

  // As a server that dies: its end of the socket is gone, its channels say nothing.
  void Die() { lane_->Shutdown(); }
  void Stop() {
    lane_->Shutdown();
    {
      std::lock_guard lock(mutex_);
      stopped_ = true;
      for (auto& channel : channels_) channel->Shutdown();
    }
    for (auto& thread : threads_) thread.join();
    threads_.clear();
  }
  Fd TakeClientSocket() { return std::move(client_socket_); }

 private:
  void ServeSocket() {
    for (;;) {
      auto request = lane_->Receive(0, nullptr);
      if (!request) return;
      Donations donations;
      Answer answer = Respond(request->mid, request->payload, false, donations);
      std::ranges::copy(answer.payload, lane_->payload().begin());
      if (!lane_->Send(static_cast<Mid>(answer.mid), answer.payload.size(), &donations)) return;
    }
  }

  Answer Respond(uint16_t mid, std::span<const std::byte> payload, bool on_channel, Donations& donations) {
    if (mid == static_cast<uint16_t>(Mid::kMount)) {
      MountResp response{.root = {.control_fd = 1}, .max_message = kMaxMessage, .supported = MidArray(announced_)};
      return Success<Mid::kMount>(response);
    }
    if (mid == static_cast<uint16_t>(Mid::kChannel)) return MakeChannel(donations);
    Answer answer = handler_(mid, payload, on_channel);
    AddDevNull(donations, answer.donated);
    return answer;
  }

  Answer MakeChannel(Donations& donations) {
    std::lock_guard lock(mutex_);
    if (stopped_ || channels_.size() == max_channels_) return Error(ENOMEM);
    auto place = *windows_.Allocate(Channel::WindowSize(kMaxMessage));
    int sockets[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
    channels_.push_back(
        *Channel::Create(Channel::Side::kServer, windows_.fd(), place.offset, place.length, Fd(sockets[0]), {}));
    threads_.emplace_back([this, channel = channels_.back().get()] { ServeChannel(*channel); });
    donations.Add(Fd(dup(windows_.fd())));
    donations.Add(Fd(sockets[1]));
    return Success<Mid::kChannel>({.data_offset = place.offset, .data_length = place.length});
  }

  void ServeChannel(Channel& channel) {
    if (!channel.Accept()) return;
    auto request = channel.Receive();
    while (request) {
      std::vector<std::byte> copy(request->payload.begin(), request->payload.end());
      Donations donations;
      Answer answer = Respond(request->mid, copy, true, donations);
      if (answer.mid == static_cast<uint16_t>(Mid::kSleepFlags)) channel.UseSleepFlags();
      std::ranges::copy(answer.payload, channel.payload().begin());
      request = channel.SendAndReceive(static_cast<Mid>(answer.mid), answer.payload.size(), &donations);
    }
    channel.Shutdown();
  }

  Handler handler_;
  const size_t max_channels_;
  std::vector<uint16_t> announced_;
  WindowFile windows_;
  Fd client_socket_;
  std::unique_ptr<SocketLane> lane_;
  std::mutex mutex_;
  bool stopped_ = false;
  std::vector<std::unique_ptr<Channel>> channels_;
  std::vector<std::thread> threads_;
};

std::unique_ptr<Client> Connect(FakeServer& server, size_t max_channels) {
  auto client = Client::Connect(server.TakeClientSocket(), {.max_channels = max_channels, .spin = {}});
  EXPECT_TRUE(client);
  return client ? std::move(*client) : nullptr;
}

Answer FdEcho(uint16_t mid, std::span<const std::byte> payload, bool) {
  FdReq request;
  if (mid != static_cast<uint16_t>(Mid::kFStat) || !Decode(payload, request)) return {mid, {}};
  return Success<Mid::kFStat>({.stat = {.ino = request.fd}});
}

void ExpectEcho(Client& client, Fdid fd) {
  auto stat = client.Call<Mid::kFStat>({fd});
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->stat.ino, fd);
}

// Each of these is to hold on the socket and on a channel.
class ClientOnLane : public testing::TestWithParam<size_t> {
 protected:
  std::unique_ptr<Client> Connect(FakeServer& server) { return lisafs::Connect(server, GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(Lanes, ClientOnLane, testing::Values(0, 1),
                         [](const auto& info) { return info.param == 0 ? "Socket" : "Channel"; });

TEST_P(ClientOnLane, MountsAndCalls) {
  std::atomic<bool> on_channel = false;
  FakeServer server([&](uint16_t mid, auto payload, bool channel) {
    on_channel = channel;
    return FdEcho(mid, payload, channel);
  });
  auto client = Connect(server);
  EXPECT_EQ(client->root().control_fd, 1u);
  EXPECT_EQ(client->max_message(), kMaxMessage);
  EXPECT_EQ(client->channels(), GetParam());
  ExpectEcho(*client, 77);
  EXPECT_EQ(on_channel, GetParam() == 1);
}

TEST_P(ClientOnLane, GivesTheServersErrno) {
  FakeServer server([&](auto...) { return Error(ENOENT); });
  auto client = Connect(server);
  EXPECT_EQ(client->Call<Mid::kFStat>({1}).error(), Errno(ENOENT));
  EXPECT_EQ(client->Call<Mid::kFStat>({1}).error(), Errno(ENOENT));
}

TEST_P(ClientOnLane, RefusesResponsesThatTheProtocolDoesNotAllow) {
  Answer answer;
  FakeServer server([&](uint16_t mid, auto payload, bool channel) {
    return mid == static_cast<uint16_t>(Mid::kFStatFS) ? answer : FdEcho(mid, payload, channel);
  });
  auto client = Connect(server);
  const Answer wrong[] = {
      {0, {}},                                          // An error without an errno,
      {0, std::vector<std::byte>(3)},                   // or with a part of one,
      {0, std::vector<std::byte>(4)},                   // or that says success,
      {0, std::vector<std::byte>(4, std::byte{0xff})},  // or no positive number.
      {4, std::vector<std::byte>(64)},                  // Another message's response.
      {17, std::vector<std::byte>(63)},                 // Too short.
      {17, {}},
  };
  for (const Answer& w : wrong) {
    answer = w;
    EXPECT_EQ(client->Call<Mid::kFStatFS>({1}).error(), Errno(EPROTO)) << w.mid << " " << w.payload.size();
    ExpectEcho(*client, 5);  // The lane goes on.
  }
  answer = {17, std::vector<std::byte>(65)};
  EXPECT_TRUE(client->Call<Mid::kFStatFS>({1})) << "what follows a body is ignored";
}

TEST_P(ClientOnLane, SendsNothingThatWasNotAnnounced) {
  std::atomic<int> served = 0;
  FakeServer server(
      [&](uint16_t mid, auto payload, bool channel) {
        ++served;
        return FdEcho(mid, payload, channel);
      },
      2, {Mid::kMount, Mid::kChannel, Mid::kFStat});
  auto client = Connect(server);
  EXPECT_TRUE(client->Supports(Mid::kFStat));
  EXPECT_FALSE(client->Supports(Mid::kSleepFlags));
  EXPECT_EQ(client->Call<Mid::kFStatFS>({1}).error(), Errno(EOPNOTSUPP));
  EXPECT_EQ(client->Call<Mid::kSleepFlags>({}).error(), Errno(EOPNOTSUPP));
  EXPECT_EQ(served, 0);
  ExpectEcho(*client, 5);
}

TEST_P(ClientOnLane, SendsNothingThatDoesNotFit) {
  FakeServer server(FdEcho);
  auto client = Connect(server);
  std::string long_name(kMaxMessage, 'n');
  EXPECT_EQ(client->Call<Mid::kFRemoveXattr>({.fd = 1, .name = long_name}).error(), Errno(EIO));
  std::string too_long_for_its_length(65536, 'n');
  EXPECT_EQ(client->Call<Mid::kFRemoveXattr>({.fd = 1, .name = too_long_for_its_length}).error(), Errno(EIO));
  ExpectEcho(*client, 5);
}

TEST_P(ClientOnLane, CollectsDonationsAndClosesWhatItDoesNotWant) {
  const int before = CountDevNulls();
  FakeServer server([&](uint16_t mid, auto payload, bool channel) {
    Answer answer = mid == static_cast<uint16_t>(Mid::kOpenAt) ? Success<Mid::kOpenAt>({.open_fd = 9})
                                                               : FdEcho(mid, payload, channel);
    answer.donated = 1;
    return answer;
  });
  auto client = Connect(server);
  Donations donated;
  auto opened = client->Call<Mid::kOpenAt>({.fd = 1, .flags = O_RDONLY, .padding = {}}, &donated);
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->open_fd, 9u);
  ASSERT_EQ(donated.size(), 1u);
  EXPECT_EQ(fcntl(donated[0], F_GETFD), FD_CLOEXEC);

  for (int i = 0; i < 10; ++i) ExpectEcho(*client, 5);
  server.Stop();
  EXPECT_EQ(CountDevNulls(), before + 1);
}

TEST_P(ClientOnLane, ReadsAndWritesInChunks) {
  std::vector<std::byte> file(3 * kMaxMessage);
  for (size_t i = 0; i < file.size(); ++i) file[i] = static_cast<std::byte>(i * 7 + i / 256);
  std::vector<std::byte> written(file.size());
  FakeServer server([&](uint16_t mid, auto payload, bool) {
    if (mid == static_cast<uint16_t>(Mid::kPRead)) {
      PReadReq request;
      EXPECT_TRUE(Decode(payload, request));
      size_t n = std::min<size_t>(request.count, file.size() - request.offset);
      return Success<Mid::kPRead>({n, Rest{std::span(file).subspan(request.offset, n)}});
    }
    PWriteReq request;
    if (mid != static_cast<uint16_t>(Mid::kPWrite)) return Answer{mid, {}};
    EXPECT_TRUE(Decode(payload, request));
    EXPECT_EQ(request.count, request.data.bytes.size());
    memcpy(written.data() + request.offset, request.data.bytes.data(), request.count);
    return Success<Mid::kPWrite>({request.count});
  });
  auto client = Connect(server);
  std::vector<std::byte> got(file.size() + 1000);
  auto n = client->PRead(2, got, 0);
  ASSERT_TRUE(n);
  EXPECT_EQ(*n, file.size());
  got.resize(*n);
  EXPECT_EQ(got, file);
  EXPECT_EQ(client->PRead(2, std::span(got).first(10), file.size()), 0u);
  EXPECT_EQ(client->PWrite(2, file, 0), file.size());
  EXPECT_EQ(written, file);
  EXPECT_EQ(client->PWrite(2, {}, 0), 0u);
}

TEST_P(ClientOnLane, BelievesNoByteCount) {
  FakeServer server([&](uint16_t mid, auto, bool) {
    if (mid == static_cast<uint16_t>(Mid::kPRead)) return Success<Mid::kPRead>({UINT64_MAX, {}});
    if (mid == static_cast<uint16_t>(Mid::kPWrite)) return Success<Mid::kPWrite>({11});
    return Answer{mid, {}};
  });
  auto client = Connect(server);
  std::byte buffer[10] = {};
  EXPECT_EQ(client->PRead(1, buffer, 0).error(), Errno(EPROTO));
  EXPECT_EQ(client->PWrite(1, buffer, 0).error(), Errno(EPROTO));
}

TEST_P(ClientOnLane, BatchesCloses) {
  std::mutex mutex;
  std::vector<size_t> batches;
  FakeServer server([&](uint16_t mid, auto payload, bool) {
    FdsReq request;
    if (mid == static_cast<uint16_t>(Mid::kClose) && Decode(payload, request)) {
      std::lock_guard lock(mutex);
      batches.push_back(request.fds.size());
    }
    return Answer{mid, {}};
  });
  auto client = Connect(server);
  for (Fdid fd = 1; fd <= 250; ++fd) client->CloseLater(fd);
  client->FlushClosed();
  client->FlushClosed();
  EXPECT_EQ(batches, (std::vector<size_t>{100, 100, 50}));
}

TEST_P(ClientOnLane, AServersDeathEndsEveryCall) {
  std::atomic<bool> asked = false;
  std::atomic<bool> stop = false;
  FakeServer server([&](uint16_t mid, auto, bool) {
    if (mid == static_cast<uint16_t>(Mid::kFStat)) {
      asked = true;
      while (!stop) usleep(1000);  // Never answers while it lives.
    }
    return Answer{mid, {}};
  });
  auto client = Connect(server);
  EXPECT_TRUE(client->connected());
  std::thread death([&] {
    while (!asked) usleep(1000);
    usleep(20000);  // Let the client fall asleep.
    server.Die();
  });
  EXPECT_EQ(client->Call<Mid::kFStat>({1}).error(), Errno(ECONNRESET));
  EXPECT_EQ(client->Call<Mid::kFStat>({1}).error(), Errno(ECONNRESET));
  EXPECT_EQ(client->channels(), 0u);
  while (client->connected()) usleep(1000);
  client->CloseLater(1);
  client->FlushClosed();
  death.join();
  stop = true;
}

TEST(Client, ConnectFailsWithoutAServer) {
  int sockets[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
  close(sockets[1]);
  auto client = Client::Connect(Fd(sockets[0]), {});
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error(), Errno(ECONNRESET));
}

TEST(Client, TakesAsManyChannelsAsTheServerGives) {
  FakeServer server(FdEcho, 2);
  auto client = Connect(server, 5);
  EXPECT_EQ(client->channels(), 2u);
  ExpectEcho(*client, 5);
}

TEST(Client, ManyThreadsShareTheLanes) {
  std::atomic<int> on_socket = 0;
  FakeServer server([&](uint16_t mid, auto payload, bool channel) {
    if (!channel) ++on_socket;
    // The channels are taken until somebody has come to the socket.
    while (channel && mid == static_cast<uint16_t>(Mid::kFStat) && on_socket == 0) usleep(100);
    return FdEcho(mid, payload, channel);
  });
  auto client = Connect(server, 2);
  std::vector<std::thread> threads;
  for (Fdid t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      for (Fdid i = 0; i < 500; ++i) ExpectEcho(*client, t * 1000 + i);
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_GT(on_socket, 0);
}

}  // namespace
}  // namespace lisafs
