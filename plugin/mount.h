#ifndef LISAFS_PLUGIN_MOUNT_H_
#define LISAFS_PLUGIN_MOUNT_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "lisafs/client.h"
#include "plugin/fuse_device.h"
#include "plugin/fuse_kernel.h"
#include "plugin/operations.h"
#include "plugin/request.h"

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

  Mount(std::unique_ptr<FuseTransport> kernel, std::unique_ptr<Client> server, bool read_only);

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

  void Work();
  // Puts the next request to serve in `request`. False when no more will come.
  bool Next(Request& request);
  bool TakeFromBacklog(Request& request);
  // Whether the thread that read this request leaves it to others.
  bool LeaveToOthers(Request& request);
  void Serve(const Request& request, Reply& reply);
  void ForgetAttributes(uint64_t nodeid);

  const std::unique_ptr<FuseTransport> kernel_;
  const std::unique_ptr<Client> server_;
  Operations operations_;

  std::mutex mutex_;
  // Guarded by mutex_:
  size_t reading_ = 0;                // Workers that wait for the kernel.
  std::vector<std::thread> workers_;  // Without the thread that called Serve.
  std::deque<Request> backlog_;
};

}  // namespace lisafs

#endif  // LISAFS_PLUGIN_MOUNT_H_
