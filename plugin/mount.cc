#include "plugin/mount.h"

#include <sched.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <span>
#include <system_error>
#include <utility>

#include "base/program.h"
#include "plugin/fuse_init.h"
#include "plugin/host_changes.h"

namespace lisafs {
namespace {

// The largest transfer, and a page for what goes with it.
constexpr size_t kBufferSize = kMaxTransfer + 4096;

// A queue's requests are made on its CPU: there, taking turns with whoever waits for the answer wakes no other. It may
// be one that this process may not use, and then it does without.
void StayOnCpu(int cpu) {
  cpu_set_t* cpus = CPU_ALLOC(cpu + 1);
  if (cpus == nullptr) return;
  const size_t size = CPU_ALLOC_SIZE(cpu + 1);
  CPU_ZERO_S(size, cpus);
  CPU_SET_S(cpu, size, cpus);
  sched_setaffinity(0, size, cpus);
  CPU_FREE(cpus);
}

// Each keeps a CPU busy, and a thread of the server another one; the rest is for those who ask.
const size_t kTurns = std::clamp<size_t>(std::thread::hardware_concurrency() / 4, 1, Mount::kMaxWorkers / 2);

}  // namespace

Mount::Mount(std::unique_ptr<FuseTransport> kernel, std::unique_ptr<Client> server, const MountOptions& options,
             std::vector<FuseQueue> queues, WakerSocket waker)
    : kernel_(std::move(kernel)),
      server_(std::move(server)),
      operations_(*server_, options, std::move(waker)),
      caches_(*kernel_),
      policy_(*options.policy),
      queues_(std::move(queues)) {}

void Mount::Serve() {
  FollowPolicy();
  Work();
  // Whoever starts a worker is one itself, so once they are joined one after another there are no more.
  while (true) {
    std::thread worker;
    {
      std::lock_guard lock(mutex_);
      if (workers_.empty()) break;
      worker = std::move(workers_.back());
      workers_.pop_back();
    }
    worker.join();
  }
  follower_.reset();
  host_changes_.reset();
}

void Mount::FollowPolicy() {
  // Before the first look at what holds.
  if (&policy_ != &kNoRestrictions) {
    follower_.emplace(policy_, operations_.nodes(), operations_.absent(), *kernel_,
                      PolicyFollower::OthersChange{.before_drop =
                                                       [this] {
                                                         operations_.DropAllKeptOpen();
                                                         FollowHost();
                                                       },
                                                   .after_drop = [this] { operations_.WatchKnown(); }});
  }
  FollowHost();
  if (!follower_) return;
  try {
    follower_->Start();
  } catch (const std::system_error& error) {
    PrintError("a thread for changes of what the mount allows", error.what());
  }
}

void Mount::FollowHost() {
  if (host_changes_) return;
  // A mount that is not shared may become so.
  const bool exclusive = operations_.exclusive();
  auto socket = operations_.Subscribe();
  if (!socket) {
    if (!exclusive) operations_.waker().End();
    return;
  }
  try {
    host_changes_.emplace(std::move(*socket), operations_.nodes(), operations_.absent(), operations_.watches(),
                          operations_.waker(), *kernel_);
  } catch (const std::system_error&) {
    // The container's limit of processes is reached.
    operations_.watches().End();
    operations_.waker().End();
    return;
  }
  try {
    operations_.ClosePromptly();
  } catch (const std::system_error&) {
    // Others hear of what was closed when the server does.
  }
}

fuse_in_header Mount::Request::Header() const {
  fuse_in_header header = {};
  memcpy(&header, bytes.get(), std::min(size, sizeof header));
  return header;
}

void Mount::Work() {
  Worker worker(*this);
  Request request;
  auto answer = std::make_unique_for_overwrite<std::byte[]>(kBufferSize);
  Reply reply({answer.get(), kBufferSize});
  while (Next(worker, request)) Serve(request.span(), reply, *kernel_);
}

bool Mount::Next(Worker& worker, Request& request) {
  do {
    if (!TakeTurn(worker, request)) return request.size > 0;
    if (request.bytes == nullptr) request.bytes = std::make_unique_for_overwrite<std::byte[]>(kBufferSize);
    auto size = kernel_->Receive({request.bytes.get(), kBufferSize});
    if (!size) {
      if (size.error() != Errno(ENODEV)) PrintError("read a FUSE request", size.error().ToString());
      std::lock_guard lock(mutex_);
      ended_ = true;
      turn_.notify_all();
      return false;
    }
    request.size = *size;
  } while (LeaveToOthers(request));
  return true;
}

bool Mount::TakeTurn(Worker& worker, Request& request) {
  std::unique_lock lock(mutex_);
  if (!worker.has_turn) {
    ++waiting_;
    turn_.wait(lock, [&] { return !backlog_.empty() || turns_ < kTurns || ended_; });
    --waiting_;
    // Only who reads sees that there is more.
    worker.has_turn = turns_ < kTurns && !ended_;
    if (worker.has_turn) ++turns_;
  }
  if (worker.has_turn) {
    ++reading_;
  } else if (!backlog_.empty()) {
    request = std::move(backlog_.front());
    backlog_.pop_front();
  } else {
    request.size = 0;
  }
  return worker.has_turn;
}

void Mount::TakeTurnFrom(Worker& worker) {
  std::lock_guard lock(mutex_);
  worker.has_turn = false;
  --turns_;
  turn_.notify_one();
}

bool Mount::LeaveToOthers(Request& request) {
  const uint32_t opcode = request.Header().opcode;
  std::lock_guard lock(mutex_);
  --reading_;
  // Nothing else comes before FUSE_INIT is answered.
  if (waiting_ > 0 || reading_ > 0 || opcode == FUSE_INIT) return false;
  if (workers_.size() + 1 < kMaxWorkers) {
    try {
      workers_.emplace_back([this] { Work(); });
      return false;
    } catch (const std::system_error&) {
      // The container's limit of processes is reached: those that there are must do.
    }
  }
  if (workers_.empty() || backlog_.size() >= kMaxBacklog || opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET) {
    return false;
  }
  backlog_.push_back(std::move(request));
  return true;
}

void Mount::Serve(std::span<const std::byte> request, Reply& reply, FuseReplies& kernel) {
  fuse_in_header header = {};
  memcpy(&header, request.data(), std::min(request.size(), sizeof header));
  const uint32_t policy = policy_.changes.load(std::memory_order_relaxed);
  int error = operations_.Serve(request, reply);
  if (!reply.expected()) return;
  if (reply.changed != 0) caches_.ForgetAttributes(reply.changed);
  // Cached entries are locked only while they are copied to where somebody reads them. That may wait for us if it is a
  // mapped file of this mount, and others serve it.
  if (reply.outdated_listing != 0) {
    GiveTurnAway();
    caches_.ForgetContent(reply.outdated_listing);
  }
  const bool with_rings = header.opcode == FUSE_INIT && error == 0 && StartRings(request, reply);
  Status sent = kernel.Send(reply.Finish(header.unique, error));
  if (with_rings) rings_begin_.set_value(sent.has_value());
  // The follower may have been through before the kernel had this answer.
  if (policy_.changes.load(std::memory_order_relaxed) != policy && follower_) follower_->Repeat();
  if (sent) return;
  operations_.TakeBack(reply);
  // ENOENT: nobody waits for it any more. Otherwise the kernel did not like the answer and somebody does.
  if (sent.error() != Errno(ENOENT)) sent = kernel.Send(reply.Finish(header.unique, EIO));
}

bool Mount::StartRings(std::span<const std::byte> request, Reply& reply) {
  fuse_init_in offer = {};
  request = request.subspan(sizeof(fuse_in_header));
  memcpy(&offer, request.data(), std::min(request.size(), sizeof offer));
  fuse_init_out answer;
  memcpy(&answer, reply.payload().data(), sizeof answer);
  if (queues_.empty() || !TakeIoUring(offer, answer)) return false;

  std::shared_future<bool> begin = rings_begin_.get_future();
  std::lock_guard lock(mutex_);
  try {
    for (FuseQueue& queue : queues_) {
      for (std::unique_ptr<FuseRing>& ring : queue.rings) {
        workers_.emplace_back([this, cpu = queue.cpu, &ring = *ring, begin] {
          if (begin.get()) WorkOnRing(cpu, ring);
        });
      }
    }
  } catch (const std::system_error& error) {
    PrintError("threads for FUSE over io_uring", error.what());
    rings_begin_.set_value(false);
    queues_.clear();
    return false;
  }
  memcpy(reply.payload().data(), &answer, sizeof answer);
  return true;
}

void Mount::WorkOnRing(int cpu, FuseRing& ring) {
  if (cpu >= 0) StayOnCpu(cpu);
  Reply reply({});
  while (true) {
    std::span<std::byte> room;
    auto request = ring.Receive(room);
    if (!request) {
      if (request.error() == Errno(ENODEV)) return;
      // Switched off between the kernel's offer and our answer, so that the kernel has nothing to do with rings.
      if (request.error() == Errno(EOPNOTSUPP)) return;
      // Requests that are put here would wait for ever.
      Die("FUSE over io_uring", request.error().ToString());
    }
    reply.Use(room);
    Serve(*request, reply, ring);
  }
}

}  // namespace lisafs
