#ifndef LISAFS_LISAFS_CHANNEL_H_
#define LISAFS_LISAFS_CHANNEL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/clock.h"
#include "base/fd.h"
#include "base/result.h"
#include "lisafs/messages.h"
#include "lisafs/socket.h"
#include "lisafs/spin.h"

namespace lisafs {

// One end of a flipcall channel: a window of shared memory that client and server hand to and fro, and a socket for
// descriptors that go with the server's responses. gVisor's pkg/flipcall, byte for byte; docs/protocol.md has the
// layout and the rules.
//
// The peer may write to the window at any time. This class reads each shared word once and checks the copy; what is in
// payload() is the user's to copy before it trusts it.
//
// One thread uses a channel at a time; Shutdown may be called from any.
//
// Errors: ECONNRESET, shut down by either side; EPROTO, the peer broke the protocol. After any failure the channel is
// of no more use, and its user should Shutdown it, so that the peer is told.
class Channel {
 public:
  enum class Side { kClient, kServer };

  // Maps `length` bytes of `memory_fd` from `offset` (multiples of the page size, below 4 GiB), until the channel goes:
  // EINVAL otherwise. The file must be that long and never shrink. `fd_socket` is this side's end of the SOCK_SEQPACKET
  // pair.
  static Result<std::unique_ptr<Channel>> Create(Side side, int memory_fd, int64_t offset, uint64_t length,
                                                 Fd fd_socket, SpinPolicy spin);
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // Bytes of window that payloads of `max_message` bytes need: headers included, rounded up to pages.
  static uint64_t WindowSize(uint32_t max_message);

  // The client's handshake: to be called once, before the first request.
  Status Connect();
  // The server's: waits for the client's and answers it. Receive comes next.
  Status Accept();

  // Where a payload is written before SendAndReceive, and found after it. As long as the window allows, which may be
  // more than the connection's max_message.
  std::span<std::byte> payload() { return {base_ + kPayloadOffset, length_ - kPayloadOffset}; }

  struct Incoming {
    uint16_t mid;
    std::span<std::byte> payload;  // Shared with a hostile peer.
    size_t donated;                // Descriptors the peer says it sent: only a client looks at it.
  };
  // Hands the window to the peer with a message of `size` payload bytes. Descriptors in `send` (a server's; may be
  // null) are sent before and closed; ones that cannot be sent are left out, in order from the first that failed. What
  // takes time between writing the payload and this call also costs the peer, if it spins: it has the window's first
  // cache line fetched meanwhile.
  Status Send(Mid mid, size_t size, Donations* send);
  // Waits until the window comes back.
  Result<Incoming> Receive();
  // When it did, by CLOCK_MONOTONIC in nanoseconds, to within the time between two looks at the window.
  uint64_t arrived() const { return arrived_ != 0 ? arrived_ : MonotonicNanoseconds(); }
  // The two, one after the other.
  Result<Incoming> SendAndReceive(Mid mid, size_t size, Donations* send);
  // A client's: collects up to `count` descriptors that came with the response, without waiting. What `received` (may
  // be null) has no room for is closed.
  void ReceiveDonations(size_t count, Donations* received);

  // From now on say in the window when this side sleeps, and wake the peer only when it says it sleeps. The client
  // calls it after the response to SleepFlags; the server before it sends that response, which still wakes in any case.
  void UseSleepFlags();

  // Ends the channel for both sides, from any thread and any number of times. When the first call returns, this side's
  // thread does not sleep and will not sleep again.
  void Shutdown();

 private:
  struct Window;
  static constexpr size_t kPayloadOffset = 20;

  Channel(Side side, std::byte* base, uint64_t length, Fd fd_socket, SpinPolicy spin);

  Status SendRaw(uint32_t data_length);
  Status WaitForTurn();
  void SpinForTurn();
  Status Sleep(bool briefly);
  void WakePeer();
  void UpdatePlace();
  size_t SendDonations(Donations& send);
  Status CheckHandshake();
  Result<Incoming> ReadIncoming();

  std::byte* const base_;  // The window, length_ bytes.
  const uint64_t length_;
  Window* const window_;  // The same.
  const uint32_t mine_;
  const uint32_t theirs_;
  std::atomic<uint32_t>* const my_place_;
  std::atomic<uint32_t>* const peer_place_;
  const Fd fd_socket_;

  Spinner spinner_;
  uint64_t arrived_ = 0;           // A time, if the spinning saw the window come back; 0 otherwise.
  bool tell_sleep_ = false;        // Keep my_place_.
  uint32_t place_ = 0;             // What it says, when this side does not sleep.
  bool trust_sleep_flag_ = false;  // Wake by peer_place_.
  bool peer_was_asleep_ = false;   // When it was last handed the window.
  bool peer_is_here_ = false;      // The same: on the CPU of this thread, or it was when it last said so.

  // kAsleep and kStopping: what Shutdown and the thread that uses the channel tell each other, out of the peer's reach.
  std::atomic<uint32_t> local_ = 0;
};

}  // namespace lisafs

#endif  // LISAFS_LISAFS_CHANNEL_H_
