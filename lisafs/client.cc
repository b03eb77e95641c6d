#include "lisafs/client.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bitset>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

namespace lisafs {
namespace {

// What payloads may be before Mount has said it.
constexpr uint32_t kMaxMessageBeforeMount = 1 << 20;
// More than any server asks for: 512 MiB huge pages.
constexpr uint32_t kMaxMaxMessage = 1 << 30;
constexpr size_t kMaxClientChannels = 32;
constexpr size_t kCloseBatch = 100;

class ConnectedClient final : public Client {
 public:
  ConnectedClient(Fd socket, const SpinPolicy& spin)
      : before_sleep_(spin.before_sleep), socket_(std::move(socket), kMaxMessageBeforeMount) {}
  ~ConnectedClient() override;

  // The steps of Connect, in order.
  Status Mount();
  Status StartWatchdog();
  void AgreeOnSpinning(SpinPolicy spin);
  void MakeChannels(const Options& options);

  const Inode& root() const override { return root_; }
  bool Supports(Mid mid) const override { return supported_[MessageIndex(mid)]; }
  uint32_t max_message() const override { return max_message_; }
  bool connected() const override { return connected_.load(std::memory_order_relaxed); }
  size_t channels() const override { return channels_in_use_.load(std::memory_order_relaxed); }

  void CloseLater(Fdid fd) override;
  void FlushClosed() override;

 protected:
  Status Exchange(const Request& request, OnResponse on_response, Donations* donated) override;

 private:
  // Apart from each other, since different threads use them.
  struct alignas(64) Lane {
    std::unique_ptr<Channel> channel;
    std::atomic<bool> free = false;  // Good, and nobody's.
  };

  Status ExchangeOnChannel(Channel& channel, const Request& request, OnResponse on_response, Donations* donated,
                           bool& broken);
  Status ExchangeOnSocket(const Request& request, OnResponse on_response, Donations* donated);
  Status CheckResponse(Mid request, uint16_t response, std::span<const std::byte> payload, OnResponse on_response);
  Lane* TakeLane();

  // ENOMEM if the server has no more.
  Status MakeChannel(SpinPolicy spin);
  void AgreeOnSleepFlags(Channel& channel);
  void Watch();
  void Close(std::span<const Fdid> fds);

  // Set by Mount.
  Inode root_;
  uint32_t max_message_ = kMaxMessageBeforeMount;
  std::bitset<kMessageCount> supported_;

  void (*const before_sleep_)();
  std::mutex socket_mutex_;
  SocketLane socket_;  // Guarded by socket_mutex_, but for Shutdown.

  // The first that is free is taken, so that few threads use few channels.
  std::array<Lane, kMaxClientChannels> lanes_;
  std::atomic<size_t> channels_in_use_ = 0;

  std::atomic<bool> connected_ = true;
  std::mutex watchdog_mutex_;
  size_t channels_made_ = 0;  // Guarded by watchdog_mutex_, as is
  bool hung_up_ = false;      // that the watchdog has come and gone.
  std::thread watchdog_;

  std::mutex close_mutex_;
  std::array<Fdid, kCloseBatch> to_close_;  // Guarded by close_mutex_.
  size_t to_close_count_ = 0;               // The same.
};

ConnectedClient::~ConnectedClient() {
  socket_.Shutdown();
  if (watchdog_.joinable()) watchdog_.join();
}

Status ConnectedClient::Mount() {
  supported_.set(MessageIndex(Mid::kMount));
  LISAFS_RETURN_IF_ERROR(Call<Mid::kMount>({}, [&](const MountResp& response) -> Status {
    if (response.max_message <= kPWriteHeaderSize || response.max_message > kMaxMaxMessage) return Fail(EPROTO);
    root_ = response.root;
    max_message_ = response.max_message;
    for (size_t i = 0; i < response.supported.size(); ++i) {
      if (int index = MessageIndex(response.supported[i]); index >= 0) supported_.set(static_cast<size_t>(index));
    }
    return {};
  }));
  socket_.set_max_message(max_message_);
  return {};
}

Status ConnectedClient::StartWatchdog() {
  // Signals are for the threads of the program.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  Status status;
  try {
    watchdog_ = std::thread([this] { Watch(); });
  } catch (const std::system_error& error) {
    status = Fail(error.code().value());
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return status;
}

void ConnectedClient::Watch() {
  pollfd entry{socket_.fd(), POLLRDHUP, 0};
  while (poll(&entry, 1, -1) < 0 && errno == EINTR) {
  }
  connected_.store(false, std::memory_order_relaxed);
  socket_.Shutdown();
  std::lock_guard lock(watchdog_mutex_);
  hung_up_ = true;
  for (size_t i = 0; i < channels_made_; ++i) lanes_[i].channel->Shutdown();
}

void ConnectedClient::AgreeOnSpinning(SpinPolicy spin) {
  if (spin.microseconds == 0 || !Call<Mid::kSleepFlags>({})) return;
  std::lock_guard lock(socket_mutex_);
  socket_.Spin(spin);
}

void ConnectedClient::MakeChannels(const Options& options) {
  if (!Supports(Mid::kChannel)) return;
  // Of a single file little is asked.
  const size_t most = S_ISREG(root_.stat.mode) ? 1 : kMaxClientChannels;
  for (size_t i = 0; i < std::min(options.max_channels, most); ++i) {
    // The server may have fewer to give, which it says with ENOMEM; whatever it is, there is always the socket.
    if (!MakeChannel(options.spin)) return;
  }
}

Status ConnectedClient::MakeChannel(SpinPolicy spin) {
  Donations donated;
  LISAFS_ASSIGN_OR_RETURN(ChannelResp place, Call<Mid::kChannel>({}, &donated));
  if (donated.size() != 2) return Fail(EPROTO);
  const Fd memory = donated.Take(0);
  // A window that the file does not hold would fault.
  struct stat file;
  if (fstat(memory.get(), &file) != 0) return FailWithErrno();
  if (place.data_length < Channel::WindowSize(max_message_) || place.data_offset < 0 ||
      place.data_offset > file.st_size || place.data_length > static_cast<uint64_t>(file.st_size - place.data_offset)) {
    return Fail(EPROTO);
  }
  LISAFS_ASSIGN_OR_RETURN(auto channel, Channel::Create(Channel::Side::kClient, memory.get(), place.data_offset,
                                                        place.data_length, donated.Take(1), spin));
  Lane& lane = lanes_[channels_made_];
  {
    std::lock_guard lock(watchdog_mutex_);
    if (hung_up_) return Fail(ECONNRESET);
    lane.channel = std::move(channel);
    ++channels_made_;
  }
  LISAFS_RETURN_IF_ERROR(lane.channel->Connect());
  if (Supports(Mid::kSleepFlags)) AgreeOnSleepFlags(*lane.channel);
  channels_in_use_.fetch_add(1, std::memory_order_relaxed);
  lane.free.store(true, std::memory_order_release);
  return {};
}

void ConnectedClient::AgreeOnSleepFlags(Channel& channel) {
  auto response = channel.SendAndReceive(Mid::kSleepFlags, 0, nullptr);
  if (response && response->mid == static_cast<uint16_t>(Mid::kSleepFlags)) channel.UseSleepFlags();
}

// Whoever gives a lane back publishes what it did with it.
ConnectedClient::Lane* ConnectedClient::TakeLane() {
  for (size_t i = 0; i < channels_made_; ++i) {
    Lane& lane = lanes_[i];
    if (lane.free.load(std::memory_order_relaxed) && lane.free.exchange(false, std::memory_order_acquire)) return &lane;
  }
  return nullptr;
}

Status ConnectedClient::Exchange(const Request& request, OnResponse on_response, Donations* donated) {
  if (!Supports(request.mid)) return Fail(EOPNOTSUPP);
  Lane* lane = TakeLane();
  if (lane == nullptr) return ExchangeOnSocket(request, on_response, donated);
  bool broken = false;
  Status status = ExchangeOnChannel(*lane->channel, request, on_response, donated, broken);
  if (broken) {
    lane->channel->Shutdown();
    channels_in_use_.fetch_sub(1, std::memory_order_relaxed);
  } else {
    lane->free.store(true, std::memory_order_release);
  }
  return status;
}

Status ConnectedClient::ExchangeOnChannel(Channel& channel, const Request& request, OnResponse on_response,
                                          Donations* donated, bool& broken) {
  size_t size;
  // A small request goes into the window in one go, right before it is handed over: see Channel::Send.
  std::byte small[256];
  if (Writer writer(small); request.encode(writer, request.body), writer.ok() && writer.size() <= max_message_) {
    size = writer.size();
    memcpy(channel.payload().data(), small, size);
  } else {
    Writer large(channel.payload().first(max_message_));
    request.encode(large, request.body);
    if (!large.ok()) return Fail(EIO);
    size = large.size();
  }
  auto response = channel.SendAndReceive(request.mid, size, nullptr);
  if (!response) {
    broken = true;
    return Fail(response.error());
  }
  if (response->donated > 0) channel.ReceiveDonations(response->donated, donated);
  return CheckResponse(request.mid, response->mid, response->payload, on_response);
}

Status ConnectedClient::ExchangeOnSocket(const Request& request, OnResponse on_response, Donations* donated) {
  // One after another, and each with the server's own time.
  if (before_sleep_ != nullptr) before_sleep_();
  std::lock_guard lock(socket_mutex_);
  Writer writer(socket_.payload());
  request.encode(writer, request.body);
  if (!writer.ok()) return Fail(EIO);
  if (!socket_.Send(request.mid, writer.size(), nullptr)) return Fail(ECONNRESET);
  auto response = socket_.Receive(donated != nullptr ? request.max_donated : 0, donated);
  if (!response) {
    socket_.Shutdown();
    return Fail(ECONNRESET);
  }
  if (response->too_long) return Fail(EPROTO);
  return CheckResponse(request.mid, response->mid, response->payload, on_response);
}

Status ConnectedClient::CheckResponse(Mid request, uint16_t response, std::span<const std::byte> payload,
                                      OnResponse on_response) {
  if (response == static_cast<uint16_t>(Mid::kError)) {
    ErrorResp body;
    if (!Decode(payload, body) || body.error == 0 || body.error > INT32_MAX) return Fail(EPROTO);
    return Fail(static_cast<int>(body.error));
  }
  if (response != static_cast<uint16_t>(request) || payload.size() > max_message_) return Fail(EPROTO);
  return on_response.call(on_response.callable, payload);
}

void ConnectedClient::CloseLater(Fdid fd) {
  std::array<Fdid, kCloseBatch> batch;
  {
    std::lock_guard lock(close_mutex_);
    to_close_[to_close_count_++] = fd;
    if (to_close_count_ < kCloseBatch) return;
    batch = to_close_;
    to_close_count_ = 0;
  }
  Close(batch);
}

void ConnectedClient::FlushClosed() {
  std::array<Fdid, kCloseBatch> batch;
  size_t count;
  {
    std::lock_guard lock(close_mutex_);
    batch = to_close_;
    count = std::exchange(to_close_count_, 0);
  }
  if (count > 0) Close(std::span(batch).first(count));
}

void ConnectedClient::Close(std::span<const Fdid> fds) {
  // It fails only with the connection, which has then closed them all.
  (void)Call<Mid::kClose>({FdArray(fds)});
}

}  // namespace

Result<std::unique_ptr<Client>> Client::Connect(Fd socket, const Options& options) {
  auto client = std::make_unique<ConnectedClient>(std::move(socket), options.spin);
  LISAFS_RETURN_IF_ERROR(client->Mount());
  LISAFS_RETURN_IF_ERROR(client->StartWatchdog());
  client->AgreeOnSpinning(options.spin);
  client->MakeChannels(options);
  return client;
}

Result<size_t> Client::PRead(Fdid fd, std::span<std::byte> into, uint64_t offset) {
  const size_t chunk = max_message() - kPReadRespHeaderSize;
  size_t done = 0;
  while (done < into.size()) {
    auto room = into.subspan(done, std::min(chunk, into.size() - done));
    size_t got = 0;
    auto status = Call<Mid::kPRead>(PReadReq{offset + done, fd, static_cast<uint32_t>(room.size()), {}},
                                    [&](const PReadResp& response) -> Status {
                                      if (response.count > room.size() || response.count > response.data.bytes.size())
                                        return Fail(EPROTO);
                                      got = response.count;
                                      memcpy(room.data(), response.data.bytes.data(), got);
                                      return {};
                                    });
    if (!status && done == 0) return Fail(status.error());
    done += got;
    if (got < room.size()) break;
  }
  return done;
}

Result<size_t> Client::PWrite(Fdid fd, std::span<const std::byte> from, uint64_t offset) {
  const size_t chunk = max_message() - kPWriteHeaderSize;
  size_t done = 0;
  do {
    auto piece = from.subspan(done, std::min(chunk, from.size() - done));
    auto response = Call<Mid::kPWrite>(PWriteReq{offset + done, fd, static_cast<uint32_t>(piece.size()), Rest{piece}});
    if (response && response->count > piece.size()) response = Fail(EPROTO);
    if (!response) {
      if (done == 0) return Fail(response.error());
      break;
    }
    done += response->count;
    if (response->count < piece.size()) break;
  } while (done < from.size());
  return done;
}

}  // namespace lisafs
