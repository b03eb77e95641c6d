#ifndef LISAFS_PLUGIN_MOUNT_H_
#define LISAFS_PLUGIN_MOUNT_H_

#include <condition_variable>
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
#include "plugin/turn.h"
#include "plugin/waker_link.h"

namespace lisafs {

// One mounted file system: the kernel on one side, the server on the other, and the threads between them.
class Mount {
 public:
  // Threads. Few of them take turns at once: they read a request, serve it and read the next. Others only get in their
  // way, and every one that a busy machine has to switch to costs more than the request does. A worker that is about to
  // sleep, since what it asked for takes long, gives its turn to another. They start as they are needed: whenever one
  // takes a request and no other is there to take its turn. At the limit one of them always goes on reading and leaves
  // what it reads to the others, but for the kernel's forgets: those must not wait for a slow disk, since they are what
  // gives descriptors back.
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

  // A thread in Work.
  struct Worker final : TakesTurns {
    explicit Worker(Mount& mount) : mount(mount) {}
    void GiveAway() override {
      if (has_turn) mount.TakeTurnFrom(*this);
    }
    Mount& mount;
    bool has_turn = false;
  };

  // What others change on the host is followed from now on, if the server tells it.
  void FollowHost();
  void FollowPolicy();

  void Work();
  // Puts the next request to serve in `request`. False when no more will come.
  bool Next(Worker& worker, Request& request);
  // Waits until it is this worker's turn to read: true; or puts a request from the backlog, or none, in `request`.
  bool TakeTurn(Worker& worker, Request& request);
  void TakeTurnFrom(Worker& worker);
  // Whether the worker that read this request leaves it to others.
  bool LeaveToOthers(Request& request);
  void Serve(std::span<const std::byte> request, Reply& reply, FuseReplies& kernel);

  // Before FUSE_INIT is answered: starts a thread for each ring, since the kernel waits for all queues once it was told
  // that they are there. Not when they are needed: a ring that is offered late is not given the requests that wait in
  // its queue already. False if there are none. They begin when `rings_begin_` says so.
  bool StartRings(std::span<const std::byte> request, Reply& reply);
  void WorkOnRing(int cpu, FuseRing& ring);

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
  std::condition_variable turn_;
  // Guarded by mutex_:
  size_t turns_ = 0;                  // Workers that have one,
  size_t reading_ = 0;                // and of those the ones that wait for the kernel.
  size_t waiting_ = 0;                // Workers that wait for one.
  bool ended_ = false;                // No more requests will come.
  std::vector<std::thread> workers_;  // Without the thread that called Serve.
  std::deque<Request> backlog_;
};

}  // namespace lisafs

#endif  // LISAFS_PLUGIN_MOUNT_H_
