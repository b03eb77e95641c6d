#ifndef LISAFS_BROKER_CLIENT_H_
#define LISAFS_BROKER_CLIENT_H_

#include <cstdint>
#include <mutex>
#include <utility>

#include "base/fd.h"
#include "base/result.h"
#include "broker/protocol.h"

namespace lisafs {

class BrokerClient;

// A host file that a FUSE file system knows by a number: the kernel may let reads and writes through to it. Taken back
// when this goes. The client must outlive it.
class Backing {
 public:
  Backing(Backing&& other) noexcept
      : broker_(std::exchange(other.broker_, nullptr)), mount_(other.mount_), id_(other.id_) {}
  Backing& operator=(Backing&&) = delete;
  ~Backing();

  // Never 0.
  uint32_t id() const { return id_; }

 private:
  friend class BrokerClient;
  Backing(BrokerClient* broker, uint32_t mount, uint32_t id) : broker_(broker), mount_(mount), id_(id) {}

  BrokerClient* broker_;
  const uint32_t mount_;
  const uint32_t id_;
};

// The gofer's side of its broker. Any thread may call it.
class BrokerClient {
 public:
  // `socket` is connected, SEQPACKET and blocking.
  explicit BrokerClient(Fd socket) : socket_(std::move(socket)) {}

  // Registers the regular file `fd` with the FUSE file system of a mount. ENOTCONN: the broker is gone, now and later;
  // otherwise what the kernel says: EPERM, ENOTTY or EOPNOTSUPP if it lets nothing through, ELOOP if this file's file
  // system is stacked too deep.
  Result<Backing> Open(uint32_t mount, int fd);

 private:
  friend class Backing;
  void Close(uint32_t mount, uint32_t id);

  std::mutex mutex_;  // From a request to its answer.
  const Fd socket_;
};

}  // namespace lisafs

#endif  // LISAFS_BROKER_CLIENT_H_
