#ifndef LISAFS_PLUGIN_MOUNT_H_
#define LISAFS_PLUGIN_MOUNT_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "lisafs/client.h"
#include "plugin/fuse_device.h"
#include "plugin/operations.h"

namespace lisafs {

// One mounted file system: the kernel on one side, the server on the other, and the threads between them.
class Mount {
 public:
  // Requests that may be served at once.
  static constexpr size_t kMaxWorkers = 8;

  Mount(std::unique_ptr<FuseTransport> kernel, std::unique_ptr<Client> server, bool read_only);

  // Serves until the file system is unmounted. To be called once; uses the calling thread as well as others of its own,
  // which have ended when it returns.
  void Serve();

 private:
  void Work();
  void StartWorker();
  void ForgetAttributes(uint64_t nodeid);

  const std::unique_ptr<FuseTransport> kernel_;
  const std::unique_ptr<Client> server_;
  Operations operations_;

  // Workers that wait for a request.
  std::atomic<size_t> idle_ = 0;
  std::mutex mutex_;
  std::vector<std::thread> workers_;  // Guarded by mutex_. Without the thread that called Serve.
};

}  // namespace lisafs

#endif  // LISAFS_PLUGIN_MOUNT_H_
