#include "lisafs/socket.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include <algorithm>
#include <cassert>
#include <utility>

namespace lisafs {
namespace {

// Errnos by which the kernel says that the peer has gone.
int NormalizeError(int error) { return error == EPIPE || error == ENOTCONN ? ECONNRESET : error; }

}  // namespace

bool Donations::Add(Fd fd) {
  if (count_ == kMaxDonated) return false;
  const int number = fd.get();
  entries_[count_++] = {number, std::move(fd), nullptr};
  return true;
}

bool Donations::Lend(int fd, std::shared_ptr<const void> owner) {
  if (count_ == kMaxDonated) return false;
  entries_[count_++] = {fd, Fd(), std::move(owner)};
  return true;
}

void Donations::Clear() {
  for (size_t i = 0; i < count_; ++i) entries_[i] = {};
  count_ = 0;
}

size_t ReceiveDescriptors(const msghdr& message, size_t want, Donations* donated) {
  size_t received = 0;
  msghdr* header = const_cast<msghdr*>(&message);  // CMSG_NXTHDR's signature; it does not write.
  for (cmsghdr* control = CMSG_FIRSTHDR(header); control != nullptr; control = CMSG_NXTHDR(header, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int number;
      memcpy(&number, CMSG_DATA(control) + i * sizeof(int), sizeof(int));
      Fd fd(number);
      if (received < want && donated != nullptr && donated->Add(std::move(fd))) ++received;
    }
  }
  return received;
}

SocketLane::SocketLane(Fd socket, uint32_t max_message) : socket_(std::move(socket)) { set_max_message(max_message); }

void SocketLane::set_max_message(uint32_t max_message) {
  max_message_ = max_message;
  buffer_ = std::make_unique_for_overwrite<std::byte[]>(kHeaderSize + size_t{max_message});
}

Status SocketLane::WaitFor(short events) {
  pollfd entry{socket_.get(), events, 0};
  while (poll(&entry, 1, -1) < 0) {
    if (errno != EINTR) return FailWithErrno();
  }
  return {};
}

Status SocketLane::Send(Mid mid, size_t size, Donations* donated) {
  assert(size <= max_message_);
  const uint32_t length = static_cast<uint32_t>(size);
  const uint16_t number = static_cast<uint16_t>(mid);
  memcpy(buffer_.get(), &length, sizeof length);
  memcpy(buffer_.get() + 4, &number, sizeof number);
  memset(buffer_.get() + 6, 0, 2);

  iovec data{buffer_.get(), kHeaderSize + size};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxDonated * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (donated != nullptr && donated->size() > 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(donated->size() * sizeof(int));
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(donated->size() * sizeof(int));
    for (size_t i = 0; i < donated->size(); ++i) {
      int number = (*donated)[i];
      memcpy(CMSG_DATA(rights) + i * sizeof(int), &number, sizeof number);
    }
  }

  Status status;
  // A peer that reads no responses is sent no more of them until it has read most, lest it has very many descriptors on
  // their way: of these the kernel lets all processes of a user have only so many.
  if (message.msg_controllen > 0) status = WaitFor(POLLOUT);
  while (status && data.iov_len > 0) {
    ssize_t sent = message.msg_controllen > 0 ? sendmsg(socket_.get(), &message, MSG_NOSIGNAL)
                                              : send(socket_.get(), data.iov_base, data.iov_len, MSG_NOSIGNAL);
    if (sent >= 0) {
      data.iov_base = static_cast<char*>(data.iov_base) + sent;
      data.iov_len -= static_cast<size_t>(sent);
      message.msg_controllen = 0;
    } else if (errno == ETOOMANYREFS) {
      // That many have others on their way. The message is worth something without.
      message.msg_controllen = 0;
    } else if (errno == EAGAIN) {
      if (status = WaitFor(POLLOUT); !status) break;
    } else if (errno != EINTR) {
      status = Fail(NormalizeError(errno));
      break;
    }
  }
  if (donated != nullptr) donated->Clear();
  return status;
}

Result<size_t> SocketLane::Read(std::span<std::byte> into, size_t want, Donations* donated) {
  iovec data{into.data(), into.size()};
  // No room for a descriptor unless one is wanted: the kernel then drops what comes. The room is rounded up, so that
  // one too many may come through; ReceiveDescriptors closes it.
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxDonated * sizeof(int))];
  for (;;) {
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    if (want > 0) {
      message.msg_control = control;
      message.msg_controllen = CMSG_SPACE(std::min(want, kMaxDonated) * sizeof(int));
    }
    ssize_t got = -1;
    uint64_t seen;
    const bool spun = spinner_ && spinner_->Until(/*peer_was_woken=*/true, seen, [&] {
      got = recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
      return got >= 0 || errno != EAGAIN;
    });
    if (!spun) got = recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
    if (got > 0) {
      if (want > 0) ReceiveDescriptors(message, want, donated);
      return static_cast<size_t>(got);
    }
    if (got == 0) return Fail(ECONNRESET);
    if (errno == EAGAIN) {
      LISAFS_RETURN_IF_ERROR(WaitFor(POLLIN));
    } else if (errno != EINTR) {
      return Fail(NormalizeError(errno));
    }
  }
}

size_t SocketLane::TakeAhead(std::span<std::byte> into) {
  size_t n = std::min(into.size(), ahead_end_ - ahead_begin_);
  if (n > 0) memcpy(into.data(), ahead_.data() + ahead_begin_, n);
  ahead_begin_ += n;
  return n;
}

Result<SocketLane::Incoming> SocketLane::Receive(size_t want, Donations* donated) {
  std::byte header[kHeaderSize];
  for (size_t have = TakeAhead(header); have < kHeaderSize; have += TakeAhead(std::span(header).subspan(have))) {
    LISAFS_ASSIGN_OR_RETURN(ahead_end_, Read(ahead_, want, donated));
    ahead_begin_ = 0;
    want = 0;  // Descriptors ride on a message's first byte.
  }
  uint32_t length;
  uint16_t mid;
  memcpy(&length, header, sizeof length);
  memcpy(&mid, header + 4, sizeof mid);

  const bool too_long = length > max_message_;
  for (uint64_t left = length; left > 0;) {
    auto room = payload().subspan(too_long ? 0 : length - left);
    if (room.size() > left) room = room.first(left);
    if (size_t taken = TakeAhead(room); taken > 0) {
      left -= taken;
      continue;
    }
    LISAFS_ASSIGN_OR_RETURN(size_t got, Read(room, 0, nullptr));
    left -= got;
  }
  return Incoming{mid, payload().first(too_long ? 0 : length), too_long};
}

void SocketLane::Shutdown() { shutdown(socket_.get(), SHUT_RDWR); }

}  // namespace lisafs
