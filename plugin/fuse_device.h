#ifndef LISAFS_PLUGIN_FUSE_DEVICE_H_
#define LISAFS_PLUGIN_FUSE_DEVICE_H_

#include <cstddef>
#include <span>

#include "base/fd.h"
#include "base/result.h"

namespace lisafs {

// Where replies go.
class FuseReplies {
 public:
  virtual ~FuseReplies() = default;

  // Answers a request, or tells the kernel something unasked, with a fuse_out_header and what follows it. ENOENT: the
  // request was aborted meanwhile, nobody waits for the answer. EINVAL: the kernel does not take such an answer, and
  // the request still waits.
  virtual Status Send(std::span<const std::byte> reply) = 0;
};

// Where the kernel's requests come from and the replies go. Any number of threads may receive and send at once.
class FuseTransport : public FuseReplies {
 public:
  // Waits for a request and puts it at the start of `buffer`, which must have room for the largest one; gives its
  // length. ENODEV: the file system is unmounted or aborted, no more will come.
  virtual Result<size_t> Receive(std::span<std::byte> buffer) = 0;
};

// FUSE as ever: one read(2) a request, one write(2) a reply.
class FuseDevice : public FuseTransport {
 public:
  // `device` is an open /dev/fuse whose file system has been made.
  explicit FuseDevice(Fd device) : device_(std::move(device)) {}

  Result<size_t> Receive(std::span<std::byte> buffer) override;
  Status Send(std::span<const std::byte> reply) override;

 private:
  Fd device_;
};

}  // namespace lisafs

#endif  // LISAFS_PLUGIN_FUSE_DEVICE_H_
