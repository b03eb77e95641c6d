#ifndef LISAFS_LISAFS_CHANNEL_H_
#define LISAFS_LISAFS_CHANNEL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/fd.h"
#include "base/result.h"
#include "lisafs/messages.h"
#include "lisafs/socket.h"

namespace lisafs {

// How long an endpoint watches shared memory before it sleeps on the futex. Spinning pays while the peer answers within
// microseconds; it stops by itself where it cannot help: on one CPU, and for a while after the spinning thread was
// descheduled (a busy machine).
struct SpinPolicy {
  uint32_t microseconds = 0;  // 0: never spin.
};

// One end of a flipcall channel: a window of shared memory that client and server hand to and fro, and a socket for
// descriptors that go with the server's responses. gVisor's pkg/flipcall, byte for byte; docs/protocol.md has the
// layout and the rules.
//
// The peer may write to the window at any time. This class reads each shared word once and checks the copy; what is in
// payload() is the user's to copy before it trusts it.
//
// One thread uses a channel at a time; Shutdown may be called from any.
class Channel {
 public:
  enum class Side { kClient, kServer };

  // `window` is what the peers map MAP_SHARED at their own addresses, kMinWindow(max_message) bytes or more; it is
  // unmapped with the channel. `fd_socket` is this side's end of the SOCK_SEQPACKET pair.
  static Result<std::unique_ptr<Channel>> Create(Side side, int memory_fd, int64_t offset, uint64_t length,
                                                 Fd fd_socket, SpinPolicy spin);
  ~Channel();

  // Bytes of window that payloads of `max_message` bytes need: headers, rounded up to pages.
  static uint64_t WindowSize(uint32_t max_message);

  // The client's handshake: to be called once, before the first request.
  Status Connect();
  // The server's: waits for the client's, and then for its first request, as Receive does.
  Status Accept();

  // Where a payload is written before SendAndReceive, and found after it.
  std::span<std::byte> payload();

  struct Incoming {
    uint16_t mid;
    std::span<std::byte> payload;  // Shared with a hostile peer.
    size_t donated;                // Descriptors the peer says it sent: only a client looks at it.
  };
  // Hands the window to the peer with a message of `size` payload bytes and waits until it comes back. Descriptors in
  // `send` (a server's) are sent before and closed; ones that cannot be sent are left out, in order from the first that
  // failed. ECONNRESET: shut down, by either side. EPROTO: the peer broke the protocol. After any failure the channel
  // is of no more use.
  Result<Incoming> SendAndReceive(Mid mid, size_t size, Donations* send);
  // A server's first wait, without sending. (Accept returns once the handshake is answered.)
  Result<Incoming> Receive();
  // A client's: collects up to `count` descriptors that came with the response, without waiting.
  void ReceiveDonations(size_t count, Donations* received);

  // From the next hand-over on, say in the window when this side sleeps, and wake the peer only when it says it sleeps.
  // Both sides call it at the same point of the conversation: the client after the response to SleepFlags, the server
  // before it waits for the next request.
  void UseSleepFlags();

  // Ends the channel for both sides, from any thread and any number of times.
  void Shutdown();
};

}  // namespace lisafs

#endif  // LISAFS_LISAFS_CHANNEL_H_
