#include "lisafs/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "base/clock.h"

namespace lisafs {
namespace {

Result<MountResp> HandleMount(Connection& connection, const Empty&, Call& call) { return connection.Mount(call); }

Result<ChannelResp> HandleChannel(Connection& connection, const Empty&, Call& call) {
  return connection.MakeChannel(call);
}

Status HandleClose(Connection& connection, const FdsReq& request) {
  for (size_t i = 0; i < request.fds.size(); ++i) connection.fds().Close(request.fds[i]);
  return {};
}

Result<size_t> HandleSleepFlags(Connection& connection, const Empty&, Call& call) {
  if (call.channel != nullptr) {
    call.channel->UseSleepFlags();
  } else {
    connection.SpinOnSocket();
  }
  return 0;
}

}  // namespace

HandlerTable::HandlerTable() {
  Serve<Mid::kMount, HandleMount>(Effect::kNone);
  Serve<Mid::kChannel, HandleChannel>(Effect::kNone);
  Serve<Mid::kClose, HandleClose>(Effect::kNone);
  Serve<Mid::kSleepFlags, HandleSleepFlags>(Effect::kNone);
}

Connection::Lane::Lane(size_t index, const Options& options)
    : index(index),
      // Not zeroed: pages that no request needs stay untouched.
      request(std::make_unique_for_overwrite<std::byte[]>(options.max_message)) {}

Connection::Connection(Server& server, MountPoint& mount, Fd socket, const Options& options)
    : server_(server),
      mount_(mount),
      options_(options),
      supported_(server.handlers.Supported()),
      budget_(options.max_fds),
      limiter_(*options.policy),
      fds_(options.counters),
      socket_(std::move(socket), options.max_message) {}

Connection::~Connection() { End(); }

void Connection::Serve() {
  Lane lane(0, options_);
  mount_.ThreadBegins();
  for (;;) {
    auto incoming = socket_.Receive(0, nullptr);
    if (!incoming) break;
    Donations donations;
    const Request request{incoming->mid, incoming->payload, incoming->too_long};
    const uint64_t arrived = MonotonicNanoseconds();
    Reply reply = Dispatch(lane, request, socket_.payload(), donations);
    Count(lane, request, reply, arrived);
    if (!socket_.Send(reply.mid, reply.size, &donations)) break;
  }
  mount_.ThreadEnds();
  End();
}

void Connection::End() {
  {
    std::lock_guard lock(channels_mutex_);
    closing_ = true;
  }
  // Nothing is added to channels_ any more, so it can be read without the mutex, which a channel's thread may want.
  for (auto& lane : channels_) lane->channel->Shutdown();
  for (auto& lane : channels_) lane->thread.join();
  channels_.clear();
  windows_.reset();
  socket_.Shutdown();
  fds_.Clear();
}

Connection::Reply Connection::Dispatch(Lane& lane, const Request& request, std::span<std::byte> response,
                                       Donations& donations) {
  SmallResponse small;
  auto handled = Handle(lane, request, response, small, donations);
  Reply reply;
  if (handled) {
    reply = {static_cast<Mid>(request.mid), *handled, 0};
  } else {
    donations.Clear();
    Writer writer(small.bytes);
    Encode(writer, ErrorResp{static_cast<uint32_t>(handled.error().value())});
    reply = {Mid::kError, small.size = writer.size(), handled.error().value()};
  }
  if (small.size > 0) memcpy(response.data(), small.bytes, small.size);
  return reply;
}

void Connection::Count(Lane& lane, const Request& request, const Reply& reply, uint64_t arrived) {
  int index = MessageIndex(request.mid);
  if (options_.counters == nullptr || index < 0) return;
  options_.counters->Count(lane.index, static_cast<size_t>(index), reply.error, request.payload.size(), reply.size,
                           MonotonicNanoseconds() - arrived);
}

Result<size_t> Connection::Handle(Lane& lane, const Request& request, std::span<std::byte> response,
                                  SmallResponse& small, Donations& donations) {
  if (request.too_long || request.payload.size() > options_.max_message) return Fail(EIO);
  if (closing_.load(std::memory_order_relaxed)) return Fail(ECONNRESET);
  const HandlerTable::Entry& entry = server_.handlers.Find(request.mid);
  if (entry.handler == nullptr) return Fail(EOPNOTSUPP);

  bool has_data = request.mid == static_cast<uint16_t>(Mid::kPWrite);
  size_t copied = has_data ? std::min(kPWriteHeaderSize, request.payload.size()) : request.payload.size();
  if (copied > 0) memcpy(lane.request.get(), request.payload.data(), copied);
  Call call = {
      .request = {lane.request.get(), copied},
      .data = request.payload.subspan(copied),
      .response = response.first(std::min<size_t>(response.size(), options_.max_message)),
      .small = small,
      .donations = donations,
      .channel = lane.channel,
  };
  try {
    auto result = Admit(entry, request).and_then([&] { return entry.handler(*this, call); });
    if (options_.policy->recorded()) mount_.Record(*this, static_cast<Mid>(request.mid), call, result);
    return result;
  } catch (...) {
    // Only the allocator can get here. Locks and descriptors were released on the way.
    return Fail(EREMOTEIO);
  }
}

Status Connection::Admit(const HandlerTable::Entry& entry, const Request& request) {
  if (entry.effect == Effect::kWrites && read_only()) return Fail(EROFS);
  if (uint32_t restrictions = options_.policy->Restrictions(); restrictions != 0 && entry.effect != Effect::kNone) {
    if (restrictions & kRevoked) return Fail(EACCES);
    if (restrictions & kLimited) AwaitTurn(request);
  }
  return {};
}

void Connection::AwaitTurn(const Request& request) {
  const bool writes = request.mid == static_cast<uint16_t>(Mid::kPWrite);
  const size_t header = std::min(kPWriteHeaderSize, request.payload.size());
  limiter_.Await(writes ? request.payload.size() - header : 0, closing_);
}

void Connection::ChargeData(uint64_t bytes) {
  if (options_.policy->Restrictions() & kLimited) limiter_.Charge(bytes);
}

Result<MountResp> Connection::Mount(Call& call) {
  LISAFS_ASSIGN_OR_RETURN(FdBudget::Share share, budget_.Take());
  if (options_.donate_mount_point) {
    if (restricted(kRevoked)) return Fail(EACCES);
    LISAFS_ASSIGN_OR_RETURN(Fd root, mount_.OpenRootForClient());
    call.donations.Add(std::move(root));
  }
  LISAFS_ASSIGN_OR_RETURN(MountPoint::Root root, mount_.OpenRoot(std::move(share)));
  return MountResp{
      .root = {.control_fd = fds_.Insert(std::move(root.control)), .stat = root.stat},
      .max_message = options_.max_message,
      .supported = MidArray(supported_),
  };
}

Result<ChannelResp> Connection::MakeChannel(Call& call) {
  std::lock_guard lock(channels_mutex_);
  if (closing_) return Fail(ENOSYS);
  if (channels_.size() >= std::min(options_.max_channels, kMaxChannels)) return Fail(ENOMEM);

  if (!windows_) {
    LISAFS_ASSIGN_OR_RETURN(WindowFile windows, WindowFile::Create());
    windows_.emplace(std::move(windows));
  }
  LISAFS_ASSIGN_OR_RETURN(WindowFile::Window window, windows_->Allocate(Channel::WindowSize(options_.max_message)));
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return FailWithErrno();
  Fd mine(pair[0]);
  Fd theirs(pair[1]);
  Fd memory(fcntl(windows_->fd(), F_DUPFD_CLOEXEC, 0));
  if (!memory || fcntl(theirs.get(), F_SETFL, O_NONBLOCK) != 0) return FailWithErrno();
  // Descriptors on their way count against everybody of this user: the client can send none, and there are few to it
  // that it has not taken. A buffer of the least size holds several.
  const int least = 1;
  if (shutdown(mine.get(), SHUT_RD) != 0 || setsockopt(mine.get(), SOL_SOCKET, SO_SNDBUF, &least, sizeof least) != 0) {
    return FailWithErrno();
  }
  LISAFS_ASSIGN_OR_RETURN(auto channel, Channel::Create(Channel::Side::kServer, windows_->fd(), window.offset,
                                                        window.length, std::move(mine), options_.spin));

  // Its own channel is lane 1, and so on: the socket is lane 0.
  auto lane = std::make_unique<ChannelLane>(ChannelLane{std::move(channel), Lane(channels_.size() + 1, options_), {}});
  lane->lane.channel = lane->channel.get();
  channels_.reserve(channels_.size() + 1);
  try {
    lane->thread = std::thread(&Connection::ServeChannel, this, std::ref(*lane));
  } catch (const std::system_error&) {
    return Fail(EAGAIN);
  }
  channels_.push_back(std::move(lane));

  call.donations.Add(std::move(memory));
  call.donations.Add(std::move(theirs));
  return ChannelResp{.data_offset = window.offset, .data_length = window.length};
}

void Connection::ServeChannel(ChannelLane& lane) {
  Channel& channel = *lane.channel;
  mount_.ThreadBegins();
  if (options_.counters != nullptr) options_.counters->summary.channels.fetch_add(1, std::memory_order_relaxed);
  if (channel.Accept()) {
    auto incoming = channel.Receive();
    while (incoming) {
      Donations donations;
      const Request request{incoming->mid, incoming->payload, false};
      const uint64_t arrived = channel.arrived();
      Reply reply = Dispatch(lane.lane, request, channel.payload(), donations);
      const bool sent = channel.Send(reply.mid, reply.size, &donations).has_value();
      // While the client looks at the response: counting takes none of its time.
      Count(lane.lane, request, reply, arrived);
      if (!sent) break;
      incoming = channel.Receive();
    }
  }
  channel.Shutdown();
  mount_.ThreadEnds();
  if (options_.counters != nullptr) options_.counters->summary.channels.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace lisafs
