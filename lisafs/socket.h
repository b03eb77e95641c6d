#ifndef LISAFS_LISAFS_SOCKET_H_
#define LISAFS_LISAFS_SOCKET_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "lisafs/messages.h"

namespace lisafs {

// At most kMaxDonated descriptors on their way with a response, in order. No allocation.
class Donations {
 public:
  // False, and `fd` closed, when full.
  bool Add(Fd fd);
  size_t size() const { return count_; }
  int operator[](size_t i) const { return fds_[i].get(); }
  // The i-th descriptor to its new owner; an invalid Fd if there is none.
  Fd Take(size_t i) { return i < count_ ? std::move(fds_[i]) : Fd(); }
  void Clear();

 private:
  Fd fds_[kMaxDonated];
  size_t count_ = 0;
};

// One side of the socket lane: messages of `u32 payload length, u16 message, u16 zero, payload` over a unix stream
// socket, which it owns. Used by one thread at a time, but for Shutdown. See gVisor's pkg/lisafs/sock.go for the
// original.
class SocketLane {
 public:
  // `socket` may be blocking or not. `max_message` bounds payloads both ways; a client learns it with Mount and sets it
  // then.
  SocketLane(Fd socket, uint32_t max_message);

  void set_max_message(uint32_t max_message);

  // Room for an outgoing payload of max_message bytes; valid until set_max_message. Allocated at first use, never on
  // the way of a request.
  std::span<std::byte> payload();

  // Sends the first `size` bytes of payload() as message `mid`, with `donated` riding on its first byte and closed here
  // afterwards.
  Status Send(Mid mid, size_t size, Donations* donated);

  struct Incoming {
    uint16_t mid;
    // In payload(), until the next Send or Receive. Empty and `too_long` set if the sender announced more than
    // max_message: what it sent was drained, the lane is in step.
    std::span<const std::byte> payload;
    bool too_long;
  };
  // Waits for a whole message. Up to `want` descriptors that come with it are put in `donated`; others are dropped.
  // Fails with ECONNRESET at end of stream, even in mid-message.
  Result<Incoming> Receive(size_t want, Donations* donated);

  // Ends both directions, from any thread: whoever waits in Send or Receive, here and in the peer, is told.
  void Shutdown();

  int fd() const { return socket_.get(); }

 private:
  Fd socket_;
  uint32_t max_message_;
  std::vector<std::byte> buffer_;
};

}  // namespace lisafs

#endif  // LISAFS_LISAFS_SOCKET_H_
