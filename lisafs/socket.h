#ifndef LISAFS_LISAFS_SOCKET_H_
#define LISAFS_LISAFS_SOCKET_H_

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "base/fd.h"
#include "base/result.h"
#include "lisafs/messages.h"
#include "lisafs/spin.h"

namespace lisafs {

// At most kMaxDonated descriptors on their way with a response, in order. No allocation.
class Donations {
 public:
  // False, and `fd` closed, when full.
  bool Add(Fd fd);
  // One that `owner` goes on owning, and which stays open as long as that lives: the receiver gets a descriptor of its
  // own in any case, and a duplicate made for sending takes two system calls. False when full.
  bool Lend(int fd, std::shared_ptr<const void> owner);
  size_t size() const { return count_; }
  int operator[](size_t i) const { return entries_[i].number; }
  // The i-th descriptor to its new owner; an invalid Fd if there is none, or if it is lent.
  Fd Take(size_t i) { return i < count_ ? std::move(entries_[i].owned) : Fd(); }
  // Closes all of them that are not lent.
  void Clear();

 private:
  struct Entry {
    int number = -1;
    Fd owned;                           // The same, unless it is lent.
    std::shared_ptr<const void> owner;  // Of one that is.
  };
  Entry entries_[kMaxDonated];
  size_t count_ = 0;
};

// Takes over the descriptors that recvmsg put in `message`: the first `want` of them, as far as there is room, go to
// `donated` (may be null), the others are closed. Returns how many were kept.
size_t ReceiveDescriptors(const msghdr& message, size_t want, Donations* donated);

// One side of the socket lane: messages of `u32 payload length, u16 message, u16 zero, payload` over a unix stream
// socket, which it owns. Used by one thread at a time, but for Shutdown. See gVisor's pkg/lisafs/sock.go for the
// original.
//
// Any failure of Send or Receive means that the connection is of no more use. ECONNRESET: the peer, or Shutdown, ended
// it, even in mid-message.
class SocketLane {
 public:
  // `socket` may be blocking or not. `max_message` bounds payloads both ways; a client learns it with Mount and sets it
  // then.
  SocketLane(Fd socket, uint32_t max_message);

  void set_max_message(uint32_t max_message);

  // From now on watch the socket for a while before sleeping in Receive. Of use with a peer that does so too; the
  // kernel wakes one that sleeps in any case.
  void Spin(SpinPolicy policy) { spinner_.emplace(policy); }

  // Room for an outgoing payload of max_message bytes; valid until set_max_message. What Receive gave lies here too.
  std::span<std::byte> payload() { return {buffer_.get() + kHeaderSize, max_message_}; }

  // Sends the first `size` bytes of payload() as message `mid`, with `donated` (may be null) riding on its first byte
  // and closed here afterwards, also on failure. Where the kernel lets this user send no more descriptors for now, the
  // message goes without.
  Status Send(Mid mid, size_t size, Donations* donated);

  struct Incoming {
    uint16_t mid;
    // In payload(), until the next Send or Receive. Empty and `too_long` set if the sender announced more than
    // max_message: what it sent was drained, the lane is in step.
    std::span<const std::byte> payload;
    bool too_long;
  };
  // Waits for a whole message. Up to `want` descriptors (at most kMaxDonated) that come with it are put in `donated`;
  // others are dropped.
  Result<Incoming> Receive(size_t want, Donations* donated);

  // Ends both directions, from any thread: whoever waits in Send or Receive, here and in the peer, is told.
  void Shutdown();

  int fd() const { return socket_.get(); }

 private:
  static constexpr size_t kHeaderSize = 8;

  // Reads what there is, at least one byte, into `into`.
  Result<size_t> Read(std::span<std::byte> into, size_t want, Donations* donated);
  // Moves bytes that were read ahead to `into`, as many as there are and fit.
  size_t TakeAhead(std::span<std::byte> into);
  Status WaitFor(short events);

  Fd socket_;
  uint32_t max_message_;
  // An outgoing message, header and payload, or an incoming payload behind the room for a header. Never initialised as
  // a whole, so that it takes only the memory that messages have needed.
  std::unique_ptr<std::byte[]> buffer_;
  // A small message is read with one call, and a peer that sends ahead is read ahead: this is where.
  std::array<std::byte, 4096> ahead_;
  std::optional<Spinner> spinner_;
  size_t ahead_begin_ = 0;
  size_t ahead_end_ = 0;
};

}  // namespace lisafs

#endif  // LISAFS_LISAFS_SOCKET_H_
