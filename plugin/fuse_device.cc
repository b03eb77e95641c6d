#include "plugin/fuse_device.h"

#include <poll.h>
#include <unistd.h>

namespace lisafs {

Result<size_t> FuseDevice::Receive(std::span<std::byte> buffer) {
  while (true) {
    ssize_t n = read(device_.get(), buffer.data(), buffer.size());
    if (n >= 0) return static_cast<size_t>(n);
    // ENOENT: a request was aborted while it was being read. The next one will do.
    if (errno == ENOENT || errno == EINTR) continue;
    if (errno != EAGAIN) return FailWithErrno();
    // Whoever opened the device may have made it non-blocking.
    pollfd wait = {.fd = device_.get(), .events = POLLIN, .revents = 0};
    if (poll(&wait, 1, -1) < 0 && errno != EINTR) return FailWithErrno();
  }
}

Status FuseDevice::Send(std::span<const std::byte> reply) {
  while (true) {
    ssize_t n = write(device_.get(), reply.data(), reply.size());
    if (n >= 0) return {};
    if (errno != EINTR) return FailWithErrno();
  }
}

}  // namespace lisafs
