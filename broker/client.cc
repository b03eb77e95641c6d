#include "broker/client.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

namespace lisafs {
namespace {

// With a descriptor unless `fd` is negative. False if the broker is gone.
bool Send(int socket, BrokerRequest request, int fd) {
  iovec part = {&request, sizeof request};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
  }
  ssize_t sent;
  do {
    sent = sendmsg(socket, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(sizeof request);
}

bool Receive(int socket, BrokerReply& reply) {
  iovec part = {&reply, sizeof reply};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  ssize_t received;
  do {
    received = recvmsg(socket, &message, 0);
  } while (received < 0 && errno == EINTR);
  return received == static_cast<ssize_t>(sizeof reply);
}

}  // namespace

Backing::~Backing() {
  if (broker_ != nullptr) broker_->Close(mount_, id_);
}

Result<Backing> BrokerClient::Open(uint32_t mount, int fd) {
  BrokerReply reply;
  {
    std::lock_guard lock(mutex_);
    if (!Send(socket_.get(), {.operation = BrokerOperation::kOpen, .mount = mount, .backing_id = 0}, fd) ||
        !Receive(socket_.get(), reply)) {
      return Fail(ENOTCONN);
    }
  }
  if (reply.result <= 0) return Fail(reply.result == 0 ? EPROTO : -reply.result);
  return Backing(this, mount, static_cast<uint32_t>(reply.result));
}

void BrokerClient::Close(uint32_t mount, uint32_t id) {
  std::lock_guard lock(mutex_);
  Send(socket_.get(), {.operation = BrokerOperation::kClose, .mount = mount, .backing_id = id}, -1);
}

}  // namespace lisafs
