#ifndef LISAFS_PLUGIN_HANDLE_H_
#define LISAFS_PLUGIN_HANDLE_H_

#include <fcntl.h>

#include <cstdint>
#include <memory>
#include <mutex>

#include "base/fd.h"
#include "base/result.h"
#include "lisafs/client.h"
#include "plugin/node.h"
#include "plugin/slot_table.h"

namespace lisafs {

// What a file that the container opened stands for: an open FD, and the host's own descriptor if the server donated it
// and the kernel does not pass the file through.
struct Handle {
  // `flags` are open(2)'s.
  Handle(Client& client, Pinned node, Fdid fd, Fd host, uint32_t flags = O_RDONLY)
      : client(client),
        pinned(std::move(node).Lasting()),
        fd(fd),
        read_write((flags & O_ACCMODE) == O_RDWR),
        writes((flags & O_ACCMODE) != O_RDONLY),
        executes((flags & kOpenToExecute) != 0),
        host(std::move(host)) {
    if (writes) this->node->CountWriters(1);
    if (executes) this->node->CountExecutors(1);
  }
  ~Handle() {
    if (writes) node->CountWriters(-1);
    if (executes) node->CountExecutors(-1);
    client.CloseLater(fd);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  Client& client;
  // The server keeps an open file's control FD in any case, so nothing would be saved by giving it up.
  const Pinned pinned;
  const NodeRef& node = pinned.ref();
  const Fdid fd;
  const bool read_write;  // Opened for both, as a mapping for writing needs it.
  const bool writes;      // Opened for writing.
  const bool executes;    // Opened to be executed.
  Fd host;                // Does not change once the kernel knows of the handle.
};

// The handles of one mount by the number that the kernel knows them by. For any thread.
class HandleTable {
 public:
  uint64_t Add(std::shared_ptr<Handle> handle) {
    std::lock_guard lock(mutex_);
    return handles_.Add(std::move(handle));
  }
  // EBADF if there is none.
  Result<std::shared_ptr<Handle>> Find(uint64_t number) {
    std::lock_guard lock(mutex_);
    auto* found = handles_.Find(number);
    if (found == nullptr) return Fail(EBADF);
    return *found;
  }
  // The handle lives on while somebody uses it.
  std::shared_ptr<Handle> Remove(uint64_t number) {
    std::lock_guard lock(mutex_);
    return handles_.Remove(number);
  }

 private:
  std::mutex mutex_;
  SlotTable<std::shared_ptr<Handle>> handles_;
};

}  // namespace lisafs

#endif  // LISAFS_PLUGIN_HANDLE_H_
