#ifndef LISAFS_PLUGIN_MOUNT_H_
#define LISAFS_PLUGIN_MOUNT_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "lisafs/client.h"
#include "plugin/fuse_device.h"
#include "plugin/fuse_kernel.h"
#include "plugin/fuse_ring.h"
#include "plugin/host_changes.h"
#include "plugin/kernel_caches.h"
#include "plugin/operations.h"
#include "plugin/policy_follower.h"
#include "plugin/request.h"
#include "plugin/waker_link.h"

namespace lisafs {

// One mounted file system: the kernel on one side, the server on the other, and the threads between them.
class Mount {
 public:
  // Threads. They start as they are needed: whenever one takes a request and no other waits for the next. At the limit
  // one of them always goes on reading and leaves what it reads to the others, but for the kernel's forgets: those must
  // not wait for a slow disk, since they are what gives descriptors back.
  static constexpr size_t kMaxWorkers = 8;
  // Requests that may be left to others; then the kernel has to wait.
  static constexpr size_t kMaxBacklog = 256;

  // With `queues`, requests come over io_uring if the kernel offers it, but for those that it never sends that way.
  // With `waker`, who watches files is woken when others change them.
  Mount(std::unique_ptr<FuseTransport> kernel, std::unique_ptr<Client> server, const MountOptions& options,
        std::vector<FuseQueue> queues = {}, WakerSocket waker = {});

  // Serves until the file system is unmounted. To be called once; uses the calling thread as well as others of its own,
  // which have ended when it returns.
  void Serve();

 private:
  // A request as it was read. Not touched before it is used, so that most of it takes no memory.
  struct Request {
    std::unique_ptr<std::byte[]> bytes;
    size_t size = 0;
    std::span<const std::byte> span() const { return {bytes.get(), size}; }
    fuse_in_header Header() const;
  };

  // What others change on the host is followed from now on, if the server tells it.
  void FollowHost();
  void FollowPolicy();

  void Work();
  // Puts the next request to serve in `request`. False when no more will come.
  bool Next(Request& request);
  bool TakeFromBacklog(Request& request);
  // Whether the thread that read this request leaves it to others.
  bool LeaveToOthers(Request& request);
  void Serve(std::span<const std::byte> request, Reply& reply, FuseReplies& kernel);

  // Before FUSE_INIT is answered: starts a thread for each queue, since the kernel waits for all of them once it was
  // told that they are there. False if there are none. They begin when `rings_begin_` says so.
  bool StartRings(std::span<const std::byte> request, Reply& reply);
  void WorkOnRing(FuseQueue& queue, size_t index);

  const std::unique_ptr<FuseTransport> kernel_;
  const std::unique_ptr<Client> server_;
  Operations operations_;
  KernelCaches caches_;
  const LivePolicy& policy_;
  std::optional<HostChanges> host_changes_;  // The follower's while there is one.
  std::optional<PolicyFollower> follower_;

  std::vector<FuseQueue> queues_;
  std::promise<bool> rings_begin_;

  std::mutex mutex_;
  // Guarded by mutex_:
  size_t reading_ = 0;                // Workers that wait for the kernel.
  std::vector<std::thread> workers_;  // Without the thread that called Serve.
  std::deque<Request> backlog_;
};

}  // namespace lisafs

#endif  // LISAFS_PLUGIN_MOUNT_H_
