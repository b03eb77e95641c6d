#include "broker/broker.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <optional>

#include "broker/protocol.h"

namespace lisafs {
namespace {

struct Received {
  BrokerRequest request;
  Fd file;
};

// Nothing when the gofer is gone or what it sends is no request.
std::optional<Received> Receive(const Fd& gofer) {
  Received received;
  iovec part = {&received.request, sizeof received.request};
  int fd;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)];
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t size = recvmsg(gofer.get(), &message, MSG_CMSG_CLOEXEC);
  if (size < 0) return std::nullopt;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    // The room's rounding lets a second one in.
    size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof fd;
    for (size_t i = 0; i < count; ++i) {
      memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
      received.file.reset(fd);
    }
  }
  if (size != sizeof received.request || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) return std::nullopt;
  return received;
}

// The backing id, or a negative errno.
int32_t OpenBacking(const Fd& device, const Fd& file) {
  // Older kernels would register anything that has a descriptor.
  struct stat stat;
  if (fstat(file.get(), &stat) != 0) return -errno;
  if (!S_ISREG(stat.st_mode)) return -EINVAL;
  FuseBackingMap map = {.fd = file.get(), .flags = 0, .padding = 0};
  int id = ioctl(device.get(), kFuseBackingOpen, &map);
  return id > 0 ? id : id == 0 ? -EINVAL : -errno;
}

bool Reply(const Fd& gofer, int32_t result) {
  BrokerReply reply = {result};
  iovec part = {&reply, sizeof reply};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  return sendmsg(gofer.get(), &message, MSG_NOSIGNAL) == sizeof reply;
}

const Fd* Find(const std::vector<BrokerDevice>& devices, uint32_t mount) {
  for (const BrokerDevice& device : devices) {
    if (device.mount == mount) return &device.device;
  }
  return nullptr;
}

// False if there is nobody to go on for.
bool ServeOne(const Fd& gofer, const std::vector<BrokerDevice>& devices) {
  auto received = Receive(gofer);
  if (!received) return false;
  const Fd* device = Find(devices, received->request.mount);
  switch (received->request.operation) {
    case BrokerOperation::kOpen:
      return Reply(gofer, device == nullptr ? -ENODEV : OpenBacking(*device, received->file));
    case BrokerOperation::kClose: {
      // It fails if the file system is gone, and its backing files with it.
      uint32_t id = received->request.backing_id;
      if (device != nullptr) ioctl(device->get(), kFuseBackingClose, &id);
      return true;
    }
  }
  return false;
}

}  // namespace

void ServeBroker(const Fd& gofer, const Fd& lifeline, const std::vector<BrokerDevice>& devices) {
  while (true) {
    pollfd waiting[] = {{.fd = gofer.get(), .events = POLLIN, .revents = 0},
                        {.fd = lifeline.get(), .events = 0, .revents = 0}};
    if (poll(waiting, 2, -1) < 0) {
      if (errno == EINTR) continue;
      return;
    }
    if (waiting[1].revents != 0) return;
    if (waiting[0].revents != 0 && !ServeOne(gofer, devices)) return;
  }
}

}  // namespace lisafs
