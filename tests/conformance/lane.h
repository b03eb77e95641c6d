#ifndef LISAFS_TESTS_CONFORMANCE_LANE_H_
#define LISAFS_TESTS_CONFORMANCE_LANE_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "base/fd.h"
#include "lisafs/messages.h"

// Both transports from the client's side, spoken without the protocol library's own transports: so that what is tested
// is not what it is tested with, and so that a client can say what the library would never say. One thread uses a lane
// at a time.

namespace lisafs::conformance {

// A server that does not answer within this time does not answer.
inline constexpr auto kAnswerTimeout = std::chrono::seconds(10);
// And where no answer is what is expected.
inline constexpr auto kSilence = std::chrono::milliseconds(500);

using Bytes = std::vector<std::byte>;

// What became of a request.
struct Answer {
  enum class End {
    kAnswered,
    kHungUp,    // The server closed the socket.
    kShutDown,  // It shut the channel down.
    kSilent,    // Nothing happened in time.
    kBroken,    // It said something that the protocol does not have.
  };
  End end = End::kAnswered;
  uint16_t mid = 0;
  Bytes payload;
  std::vector<Fd> donated;

  // 0 for success, the errno of an Error response; -1 where there was no answer, or no proper one.
  int error() const;
  bool ok() const { return error() == 0; }
  // "ok", "ENOENT", "hung up", "shut down", "no answer", "broken".
  std::string ToString() const;
};
std::ostream& operator<<(std::ostream& stream, const Answer& answer);

std::string ErrnoName(int error);

class Lane {
 public:
  virtual ~Lane() = default;
  // One request and its answer.
  virtual Answer Exchange(uint16_t mid, std::span<const std::byte> payload) = 0;

  std::chrono::milliseconds timeout = kAnswerTimeout;
};

// The main socket.
class RawSocket final : public Lane {
 public:
  explicit RawSocket(Fd socket) : socket_(std::move(socket)) {}

  Answer Exchange(uint16_t mid, std::span<const std::byte> payload) override;

  // Header and payload; the header may announce another length than the payload's.
  static Bytes Frame(uint16_t mid, std::span<const std::byte> payload);
  static Bytes FrameHeader(uint16_t mid, uint32_t length);
  // False if the server does not take the bytes in time or is gone. `descriptor` rides on the first of them.
  bool Send(std::span<const std::byte> bytes, int descriptor = -1);
  Answer Receive(std::chrono::milliseconds timeout = kAnswerTimeout);

  int fd() const { return socket_.get(); }
  // Hangs up.
  void Close() { socket_.reset(); }

 private:
  // Exactly into.size() bytes.
  Answer::End Read(std::span<std::byte> into, std::vector<Fd>* donated, std::chrono::steady_clock::time_point deadline);

  Fd socket_;
};

// A channel of shared memory.
class RawChannel final : public Lane {
 public:
  static constexpr uint32_t kClientActive = 0, kServerActive = 1, kShutDown = 2;
  static constexpr size_t kDataOffset = 16, kPayloadOffset = 20;

  // Maps the window that the server announced in `response`, with the two descriptors that came with it; invalid if
  // that is impossible.
  RawChannel(const ChannelResp& response, Fd memory, Fd descriptors);
  ~RawChannel() override;
  RawChannel(const RawChannel&) = delete;
  RawChannel& operator=(const RawChannel&) = delete;

  bool valid() const { return base_ != nullptr; }

  // The protocol's own handshake, or another. kAnswered if the server answered as it has to.
  Answer::End Handshake(std::string_view greeting = "{}\n");
  Answer Exchange(uint16_t mid, std::span<const std::byte> payload) override;

  // The parts of an exchange, and the window itself.
  void Write(uint16_t mid, uint8_t descriptors, std::span<const std::byte> payload);
  // Hands the window over with `data_length` bytes from kDataOffset on.
  void Flip(uint32_t data_length);
  Answer::End WaitForTurn(std::chrono::milliseconds timeout = kAnswerTimeout);
  // What lies in the window after WaitForTurn.
  Answer Collect();

  std::span<std::byte> window() { return {base_, length_}; }
  uint32_t Word(size_t offset) const;
  void SetWord(size_t offset, uint32_t value);
  void Wake();
  int memory() const { return memory_.get(); }
  int descriptors() const { return descriptors_.get(); }

 private:
  std::byte* base_ = nullptr;
  size_t length_ = 0;
  const Fd memory_;
  const Fd descriptors_;
};

}  // namespace lisafs::conformance

#endif  // LISAFS_TESTS_CONFORMANCE_LANE_H_
