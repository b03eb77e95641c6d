#include "tests/conformance/lane.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

namespace lisafs::conformance {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kHeaderSize = 8;
// More than any message donates.
constexpr size_t kMaxDescriptors = 8;

int MillisecondsUntil(Clock::time_point deadline) {
  auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return static_cast<int>(std::max<int64_t>(left, 0));
}

bool WaitFor(int fd, short events, Clock::time_point deadline) {
  pollfd entry{fd, events, 0};
  int n;
  while ((n = poll(&entry, 1, MillisecondsUntil(deadline))) < 0 && errno == EINTR) {
  }
  return n > 0;
}

void TakeDescriptors(msghdr& message, std::vector<Fd>& into) {
  for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr; control = CMSG_NXTHDR(&message, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      memcpy(&fd, CMSG_DATA(control) + i * sizeof(int), sizeof fd);
      into.emplace_back(fd);
    }
  }
}

std::atomic_ref<uint32_t> AtomicWord(std::byte* at) { return std::atomic_ref(*reinterpret_cast<uint32_t*>(at)); }

}  // namespace

std::string ErrnoName(int error) {
  const char* name = strerrorname_np(error);
  return name == nullptr ? "errno " + std::to_string(error) : name;
}

int Answer::error() const {
  if (end != End::kAnswered) return -1;
  if (mid != static_cast<uint16_t>(Mid::kError)) return 0;
  uint32_t error = 0;
  if (payload.size() != sizeof error) return -1;
  memcpy(&error, payload.data(), sizeof error);
  return error > 0 && error < 4096 ? static_cast<int>(error) : -1;
}

std::string Answer::ToString() const {
  switch (end) {
    case End::kAnswered:
      break;
    case End::kHungUp:
      return "hung up";
    case End::kShutDown:
      return "shut down";
    case End::kSilent:
      return "no answer";
    case End::kBroken:
      return "broken";
  }
  int error = this->error();
  if (error < 0) return "broken";
  return error == 0 ? "ok" : ErrnoName(error);
}

std::ostream& operator<<(std::ostream& stream, const Answer& answer) { return stream << answer.ToString(); }

Bytes RawSocket::FrameHeader(uint16_t mid, uint32_t length) {
  Bytes frame(kHeaderSize);
  memcpy(frame.data(), &length, sizeof length);
  memcpy(frame.data() + 4, &mid, sizeof mid);
  return frame;
}

Bytes RawSocket::Frame(uint16_t mid, std::span<const std::byte> payload) {
  Bytes frame = FrameHeader(mid, static_cast<uint32_t>(payload.size()));
  frame.insert(frame.end(), payload.begin(), payload.end());
  return frame;
}

bool RawSocket::Send(std::span<const std::byte> bytes, int descriptor) {
  auto deadline = Clock::now() + kAnswerTimeout;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  while (!bytes.empty()) {
    iovec data{const_cast<std::byte*>(bytes.data()), bytes.size()};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    if (descriptor >= 0) {
      message.msg_control = control;
      message.msg_controllen = sizeof control;
      cmsghdr* rights = CMSG_FIRSTHDR(&message);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(sizeof(int));
      memcpy(CMSG_DATA(rights), &descriptor, sizeof descriptor);
    }
    ssize_t sent = sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) {
      bytes = bytes.subspan(static_cast<size_t>(sent));
      descriptor = -1;
    } else if (errno == EAGAIN) {
      if (!WaitFor(socket_.get(), POLLOUT, deadline)) return false;
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

Answer::End RawSocket::Read(std::span<std::byte> into, std::vector<Fd>* donated, Clock::time_point deadline) {
  while (!into.empty()) {
    iovec data{into.data(), into.size()};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(kMaxDescriptors * sizeof(int))];
    if (donated != nullptr) {
      message.msg_control = control;
      message.msg_controllen = sizeof control;
    }
    ssize_t got = recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got > 0) {
      if (donated != nullptr) TakeDescriptors(message, *donated);
      donated = nullptr;  // They ride on the first byte.
      into = into.subspan(static_cast<size_t>(got));
    } else if (got < 0 && errno == EAGAIN) {
      if (!WaitFor(socket_.get(), POLLIN, deadline)) return Answer::End::kSilent;
    } else if (got == 0 || errno != EINTR) {
      return Answer::End::kHungUp;
    }
  }
  return Answer::End::kAnswered;
}

Answer RawSocket::Receive(std::chrono::milliseconds timeout) {
  auto deadline = Clock::now() + timeout;
  Answer answer;
  std::byte header[kHeaderSize];
  answer.end = Read(header, &answer.donated, deadline);
  if (answer.end != Answer::End::kAnswered) return answer;
  uint32_t length;
  memcpy(&length, header, sizeof length);
  memcpy(&answer.mid, header + 4, sizeof answer.mid);
  constexpr uint32_t kAbsurd = 1 << 24;
  if (length > kAbsurd) {
    answer.end = Answer::End::kBroken;
    return answer;
  }
  answer.payload.resize(length);
  answer.end = Read(answer.payload, nullptr, deadline);
  return answer;
}

Answer RawSocket::Exchange(uint16_t mid, std::span<const std::byte> payload) {
  // A server that hung up may have said why before.
  Send(Frame(mid, payload));
  Answer answer = Receive(timeout);
  if (answer.ok() && answer.mid != mid) answer.end = Answer::End::kBroken;
  return answer;
}

RawChannel::RawChannel(const ChannelResp& response, Fd memory, Fd descriptors)
    : memory_(std::move(memory)), descriptors_(std::move(descriptors)) {
  void* base = mmap(nullptr, response.data_length, PROT_READ | PROT_WRITE, MAP_SHARED, memory_.get(),
                    static_cast<off_t>(response.data_offset));
  if (base == MAP_FAILED || response.data_length < kPayloadOffset) return;
  base_ = static_cast<std::byte*>(base);
  length_ = response.data_length;
}

RawChannel::~RawChannel() {
  if (base_ != nullptr) munmap(base_, length_);
}

uint32_t RawChannel::Word(size_t offset) const { return AtomicWord(base_ + offset).load(); }
void RawChannel::SetWord(size_t offset, uint32_t value) { AtomicWord(base_ + offset).store(value); }
void RawChannel::Wake() { syscall(SYS_futex, base_, FUTEX_WAKE, 1, nullptr); }

Answer::End RawChannel::Handshake(std::string_view greeting) {
  memcpy(base_ + kDataOffset, greeting.data(), greeting.size());
  Flip(static_cast<uint32_t>(greeting.size()));
  Answer::End end = WaitForTurn();
  if (end != Answer::End::kAnswered) return end;
  constexpr std::string_view kReply = "{}\n";
  bool right = Word(4) == kReply.size() && memcmp(base_ + kDataOffset, kReply.data(), kReply.size()) == 0;
  return right ? Answer::End::kAnswered : Answer::End::kBroken;
}

void RawChannel::Write(uint16_t mid, uint8_t descriptors, std::span<const std::byte> payload) {
  SetWord(kDataOffset, mid | uint32_t{descriptors} << 16);
  if (!payload.empty()) memcpy(base_ + kPayloadOffset, payload.data(), payload.size());
}

void RawChannel::Flip(uint32_t data_length) {
  SetWord(4, data_length);
  uint32_t expected = kClientActive;
  AtomicWord(base_).compare_exchange_strong(expected, kServerActive);
  Wake();
}

Answer::End RawChannel::WaitForTurn(std::chrono::milliseconds timeout) {
  auto deadline = Clock::now() + timeout;
  for (;;) {
    uint32_t state = Word(0);
    if (state == kClientActive) return Answer::End::kAnswered;
    if (state == kShutDown) return Answer::End::kShutDown;
    if (state != kServerActive) return Answer::End::kBroken;
    int left = MillisecondsUntil(deadline);
    if (left == 0) return Answer::End::kSilent;
    timespec wait{left / 1000, left % 1000 * 1'000'000L};
    syscall(SYS_futex, base_, FUTEX_WAIT, kServerActive, &wait);
  }
}

Answer RawChannel::Collect() {
  Answer answer;
  uint32_t length = Word(4), message = Word(kDataOffset);
  if (length < kPayloadOffset - kDataOffset || length > length_ - kDataOffset) {
    answer.end = Answer::End::kBroken;
    return answer;
  }
  answer.mid = static_cast<uint16_t>(message);
  answer.payload.assign(base_ + kPayloadOffset, base_ + kDataOffset + length);
  for (uint32_t i = 0; i < (message >> 16 & UINT8_MAX); ++i) {
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    msghdr header{};
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    if (recvmsg(descriptors_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) >= 0) {
      TakeDescriptors(header, answer.donated);
    }
  }
  return answer;
}

Answer RawChannel::Exchange(uint16_t mid, std::span<const std::byte> payload) {
  Write(mid, 0, payload);
  Flip(static_cast<uint32_t>(kPayloadOffset - kDataOffset + payload.size()));
  if (Answer::End end = WaitForTurn(timeout); end != Answer::End::kAnswered) return {.end = end};
  Answer answer = Collect();
  if (answer.ok() && answer.mid != mid) answer.end = Answer::End::kBroken;
  return answer;
}

}  // namespace lisafs::conformance
