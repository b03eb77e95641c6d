#include "plugin/mount.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <system_error>
#include <utility>

#include "base/program.h"

namespace lisafs {
namespace {

// The largest transfer, and a page for what goes with it.
constexpr size_t kBufferSize = kMaxTransfer + 4096;

}  // namespace

Mount::Mount(std::unique_ptr<FuseTransport> kernel, std::unique_ptr<Client> server, bool read_only)
    : kernel_(std::move(kernel)), server_(std::move(server)), operations_(*server_, read_only) {}

void Mount::Serve() {
  Work();
  // Whoever starts a worker is one itself, so once they are joined one after another there are no more.
  while (true) {
    std::thread worker;
    {
      std::lock_guard lock(mutex_);
      if (workers_.empty()) return;
      worker = std::move(workers_.back());
      workers_.pop_back();
    }
    worker.join();
  }
}

fuse_in_header Mount::Request::Header() const {
  fuse_in_header header = {};
  memcpy(&header, bytes.get(), std::min(size, sizeof header));
  return header;
}

void Mount::Work() {
  Request request;
  auto answer = std::make_unique_for_overwrite<std::byte[]>(kBufferSize);
  Reply reply({answer.get(), kBufferSize});
  while (Next(request)) Serve(request, reply);
}

bool Mount::Next(Request& request) {
  do {
    if (TakeFromBacklog(request)) return true;
    if (request.bytes == nullptr) request.bytes = std::make_unique_for_overwrite<std::byte[]>(kBufferSize);
    auto size = kernel_->Receive({request.bytes.get(), kBufferSize});
    if (!size) {
      std::lock_guard lock(mutex_);
      --reading_;
      if (size.error() != Errno(ENODEV)) PrintError("read a FUSE request", size.error().ToString());
      return false;
    }
    request.size = *size;
  } while (LeaveToOthers(request));
  return true;
}

// Otherwise the thread is counted as one that reads.
bool Mount::TakeFromBacklog(Request& request) {
  std::lock_guard lock(mutex_);
  if (reading_ > 0 && !backlog_.empty()) {
    request = std::move(backlog_.front());
    backlog_.pop_front();
    return true;
  }
  ++reading_;
  return false;
}

bool Mount::LeaveToOthers(Request& request) {
  const uint32_t opcode = request.Header().opcode;
  std::lock_guard lock(mutex_);
  --reading_;
  // Nothing else comes before FUSE_INIT is answered.
  if (reading_ > 0 || opcode == FUSE_INIT) return false;
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

void Mount::Serve(const Request& request, Reply& reply) {
  int error = operations_.Serve(request.span(), reply);
  if (!reply.expected()) return;
  const uint64_t unique = request.Header().unique;
  if (reply.changed != 0) ForgetAttributes(reply.changed);
  Status sent = kernel_->Send(reply.Finish(unique, error));
  if (sent) return;
  operations_.TakeBack(reply);
  // ENOENT: nobody waits for it any more. Otherwise the kernel did not like the answer and somebody does.
  if (sent.error() != Errno(ENOENT)) sent = kernel_->Send(reply.Finish(unique, EIO));
}

void Mount::ForgetAttributes(uint64_t nodeid) {
  struct {
    fuse_out_header header;
    fuse_notify_inval_inode_out node;
  } message = {};
  message.header.len = sizeof message;
  message.header.error = FUSE_NOTIFY_INVAL_INODE;
  message.node.ino = nodeid;
  // Not its pages: they may be locked by a request that waits for us.
  message.node.off = -1;
  // That the kernel knows no such node any more is as good.
  (void)kernel_->Send(std::as_bytes(std::span(&message, 1)));
}

}  // namespace lisafs
