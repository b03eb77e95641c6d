#ifndef LISAFS_LISAFS_CONNECTION_H_
#define LISAFS_LISAFS_CONNECTION_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "lisafs/channel.h"
#include "lisafs/counters.h"
#include "lisafs/fd_table.h"
#include "lisafs/handler_table.h"
#include "lisafs/live_policy.h"
#include "lisafs/messages.h"
#include "lisafs/mount_limiter.h"
#include "lisafs/server.h"
#include "lisafs/socket.h"
#include "lisafs/window_file.h"

namespace lisafs {

// One client: a socket, the channels made from it, and the FDIDs issued on it. The client is hostile.
//
// The socket is served on the thread that calls Serve, each channel on a thread of its own. A request's way is the same
// on every lane: receive, copy, Dispatch (find the handler, check, run it), hand over, count.
class Connection {
 public:
  struct Options {
    bool read_only = false;
    // Give the client host descriptors of the regular files that it opens.
    bool donate_regular_files = true;
    // Give the client the host's descriptor of the mount's root with Mount, and those of directories that it opens: a
    // client that asks for it works on all that is below by itself, and only the mount's own attributes bind it.
    bool donate_mount_point = false;
    size_t max_channels = kMaxChannels;  // At most kMaxChannels.
    SpinPolicy spin = {};
    MountCounters* counters = nullptr;            // Null: nothing is counted. Otherwise it outlives the connection.
    const LivePolicy* policy = &kNoRestrictions;  // Outlives the connection.
    int64_t max_fds = 1 << 20;                    // Objects, as FdBudget counts them.
    uint32_t max_message = kDefaultMaxMessage;
  };

  // `server` and `mount` outlive the connection. `socket` is a connected unix stream socket.
  Connection(Server& server, MountPoint& mount, Fd socket, const Options& options);
  // Serve has returned, or was never called.
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Serves until the client is gone, breaks the protocol on the socket, or Shutdown. When it returns no thread of this
  // connection is left, and nothing is held for the client. To be called once.
  void Serve();
  // Makes Serve return. From any thread.
  void Shutdown() { socket_.Shutdown(); }

  // For handlers.
  const Options& options() const { return options_; }
  // Whether changes are refused now.
  bool read_only() const { return options_.read_only || restricted(kForbidChanges); }
  // Whether the live policy has one of these bits.
  bool restricted(uint32_t restrictions) const { return (options_.policy->Restrictions() & restrictions) != 0; }
  // Data that a request moved beyond what it carried itself: it counts against the mount's limit.
  void ChargeData(uint64_t bytes);
  MountPoint& mount() { return mount_; }
  NodeTree& tree() { return server_.tree; }
  FdTable& fds() { return fds_; }
  FdBudget& budget() { return budget_; }

  // The bodies of the protocol's own messages; see HandlerTable().
  Result<MountResp> Mount(Call& call);
  Result<ChannelResp> MakeChannel(Call& call);
  // On the socket's thread.
  void SpinOnSocket() { socket_.Spin(options_.spin); }

 private:
  // What one lane's thread has for itself.
  struct Lane {
    Lane(size_t index, const Options& options);

    Channel* channel = nullptr;            // Null: the socket.
    const size_t index;                    // 0 for the socket.
    std::unique_ptr<std::byte[]> request;  // Room for the private copy of the largest message.
  };
  struct ChannelLane {
    std::unique_ptr<Channel> channel;
    Lane lane;
    std::thread thread;
  };
  struct Request {
    uint16_t mid;
    std::span<const std::byte> payload;  // May be shared memory.
    bool too_long;
  };
  struct Reply {
    Mid mid;
    size_t size;
    int error;  // 0 for success.
  };

  // Handles one request. Descriptors in `donations` go with the reply.
  Reply Dispatch(Lane& lane, const Request& request, std::span<std::byte> response, Donations& donations);
  Result<size_t> Handle(Lane& lane, const Request& request, std::span<std::byte> response, SmallResponse& small,
                        Donations& donations);
  // Whether the mount may be asked for this now. Holds the request up while the mount's limits ask for it.
  Status Admit(const HandlerTable::Entry& entry, const Request& request);
  // Holds a request up while the mount's limits ask for it.
  void AwaitTurn(const Request& request);
  // Counts a request that arrived at that time and has been handled. It looks at none of the payload.
  void Count(Lane& lane, const Request& request, const Reply& reply, uint64_t arrived);
  void ServeChannel(ChannelLane& lane);
  // What follows the end of the socket.
  void End();

  Server& server_;
  MountPoint& mount_;
  const Options options_;
  const std::vector<uint16_t> supported_;
  FdBudget budget_;
  MountLimiter limiter_;
  FdTable fds_;
  SocketLane socket_;

  std::atomic<bool> closing_ = false;  // Set once, under channels_mutex_: then no more channels are made.
  std::mutex channels_mutex_;
  std::optional<WindowFile> windows_;  // Guarded by channels_mutex_,
  std::vector<std::unique_ptr<ChannelLane>>
      channels_;  // and so is this. A channel that broke down stays until the end.
};

}  // namespace lisafs

#endif  // LISAFS_LISAFS_CONNECTION_H_
