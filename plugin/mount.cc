#include "plugin/mount.h"

#include <cstring>
#include <span>
#include <system_error>
#include <utility>

#include "base/program.h"
#include "plugin/fuse_kernel.h"
#include "plugin/request.h"

namespace lisafs {
namespace {

// The largest transfer, and a page for what goes with it.
constexpr size_t kBufferSize = kMaxTransfer + 4096;

// Not touched before it is used, so that most of it takes no memory in most threads.
class Buffer {
 public:
  std::span<std::byte> span() { return {bytes_.get(), kBufferSize}; }

 private:
  std::unique_ptr<std::byte[]> bytes_ = std::make_unique_for_overwrite<std::byte[]>(kBufferSize);
};

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

void Mount::Work() {
  Buffer request;
  Buffer answer;
  Reply reply(answer.span());
  while (true) {
    ++idle_;
    auto size = kernel_->Receive(request.span());
    const bool nobody_waits = --idle_ == 0;
    if (!size) {
      if (size.error() != Errno(ENODEV)) PrintError("read a FUSE request", size.error().ToString());
      return;
    }
    fuse_in_header header;
    if (*size < sizeof header) continue;
    memcpy(&header, request.span().data(), sizeof header);
    // Nothing else comes before FUSE_INIT is answered. Afterwards somebody always waits for the next request, as far as
    // kMaxWorkers allows, so that one that takes long holds up no other.
    if (nobody_waits && header.opcode != FUSE_INIT) StartWorker();

    int error = operations_.Serve(request.span().first(*size), reply);
    if (!reply.expected()) continue;
    if (reply.changed != 0) ForgetAttributes(reply.changed);
    Status sent = kernel_->Send(reply.Finish(header.unique, error));
    if (sent) continue;
    operations_.TakeBack(reply);
    // ENOENT: nobody waits for it any more. Otherwise the kernel did not like the answer and somebody does.
    if (sent.error() != Errno(ENOENT)) sent = kernel_->Send(reply.Finish(header.unique, EIO));
  }
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

void Mount::StartWorker() {
  std::lock_guard lock(mutex_);
  if (workers_.size() + 1 >= kMaxWorkers) return;
  try {
    workers_.emplace_back([this] { Work(); });
  } catch (const std::system_error&) {
    // The container's limit of processes is reached: those that there are must do.
  }
}

}  // namespace lisafs
