#include "lisafs/channel.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <string_view>
#include <utility>

namespace lisafs {
namespace {

// Values of Window::state.
constexpr uint32_t kClientActive = 0;
constexpr uint32_t kServerActive = 1;
constexpr uint32_t kShutDown = 2;

// Bits of Channel::local_.
constexpr uint32_t kAsleep = 1;
constexpr uint32_t kStopping = 2;

constexpr uint32_t kSleeps = 1;  // In a place.

constexpr uint32_t kMessageHeaderSize = 4;
constexpr size_t kDataOffset = 16;
constexpr uint32_t kMaxDemoted = 16 << 10;
constexpr std::string_view kHandshake = "{}\n";

// Moves what was just written from this CPU's own cache to the one that CPUs share. The peer then finds it without
// asking this CPU for it, and as its own to write: otherwise a window's first line crosses twice for a message, once to
// be read and once to be written. Nearly halves the time of a round trip where the processor has CLDEMOTE; elsewhere
// the instruction does nothing.
void Demote(std::span<const std::byte> written) {
#if defined(__x86_64__)
  constexpr size_t kLine = 64;
  for (size_t i = 0; i < written.size(); i += kLine) asm volatile("cldemote %0" : : "m"(written[i]));
#else
  (void)written;
#endif
}

// Where this thread is, if it does not sleep.
uint32_t Place() { return static_cast<uint32_t>(sched_getcpu() + 1) << 1; }

// The peer maps the same word at another address, so these are not the private kind.
// The number of threads that slept.
long FutexWake(std::atomic<uint32_t>& word, int count) { return syscall(SYS_futex, &word, FUTEX_WAKE, count, nullptr); }
// False if that took longer than `timeout`, which may be null.
bool FutexWait(std::atomic<uint32_t>& word, uint32_t expected, const timespec* timeout) {
  return syscall(SYS_futex, &word, FUTEX_WAIT, expected, timeout) == 0 || errno != ETIMEDOUT;
}

}  // namespace

// What a window begins with.
struct Channel::Window {
  std::atomic<uint32_t> state;
  std::atomic<uint32_t> data_length;  // From kDataOffset.
  // Where each side is: kSleeps, and above it one more than the number of its CPU. gVisor leaves these two alone.
  std::atomic<uint32_t> client_place;
  std::atomic<uint32_t> server_place;
  // u16 message, u8 number of descriptors, u8 zero: one word, so that it is read once.
  std::atomic<uint32_t> message;
};

Channel::Channel(Side side, std::byte* base, uint64_t length, Fd fd_socket, SpinPolicy spin)
    : base_(base),
      length_(length),
      window_(reinterpret_cast<Window*>(base)),
      mine_(side == Side::kClient ? kClientActive : kServerActive),
      theirs_(side == Side::kClient ? kServerActive : kClientActive),
      my_place_(side == Side::kClient ? &window_->client_place : &window_->server_place),
      peer_place_(side == Side::kClient ? &window_->server_place : &window_->client_place),
      fd_socket_(std::move(fd_socket)),
      spinner_(spin) {
  static_assert(offsetof(Window, message) == kDataOffset && sizeof(Window) == kPayloadOffset);
  static_assert(std::atomic<uint32_t>::is_always_lock_free);
}

Result<std::unique_ptr<Channel>> Channel::Create(Side side, int memory_fd, int64_t offset, uint64_t length,
                                                 Fd fd_socket, SpinPolicy spin) {
  const uint64_t page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  if (length < page || length > UINT32_MAX || length % page != 0 || offset < 0) return Fail(EINVAL);
  void* base = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, offset);
  if (base == MAP_FAILED) return FailWithErrno();
  return std::unique_ptr<Channel>(new Channel(side, static_cast<std::byte*>(base), length, std::move(fd_socket), spin));
}

Channel::~Channel() { munmap(base_, length_); }

uint64_t Channel::WindowSize(uint32_t max_message) {
  const uint64_t page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return (kPayloadOffset + uint64_t{max_message} + page - 1) / page * page;
}

Status Channel::Connect() {
  memcpy(base_ + kDataOffset, kHandshake.data(), kHandshake.size());
  LISAFS_RETURN_IF_ERROR(SendRaw(kHandshake.size()));
  LISAFS_RETURN_IF_ERROR(WaitForTurn());
  return CheckHandshake();
}

Status Channel::Accept() {
  LISAFS_RETURN_IF_ERROR(WaitForTurn());
  LISAFS_RETURN_IF_ERROR(CheckHandshake());
  memcpy(base_ + kDataOffset, kHandshake.data(), kHandshake.size());
  return SendRaw(kHandshake.size());
}

// Peers greet each other with an empty JSON object, room for parameters that nobody has yet.
Status Channel::CheckHandshake() {
  char copy[64];
  const uint32_t length = window_->data_length.load(std::memory_order_relaxed);
  if (length > sizeof copy) return Fail(EPROTO);
  memcpy(copy, base_ + kDataOffset, length);
  size_t kept = 0;
  for (char c : std::string_view(copy, length)) {
    if (c != ' ' && c != '\t' && c != '\r' && c != '\n') copy[kept++] = c;
  }
  if (std::string_view(copy, kept) != "{}") return Fail(EPROTO);
  return {};
}

Result<Channel::Incoming> Channel::SendAndReceive(Mid mid, size_t size, Donations* send) {
  LISAFS_RETURN_IF_ERROR(Send(mid, size, send));
  return Receive();
}

Status Channel::Send(Mid mid, size_t size, Donations* send) {
  assert(size <= payload().size());
  UpdatePlace();
  const size_t donated = send != nullptr && send->size() > 0 ? SendDonations(*send) : 0;
  window_->message.store(static_cast<uint16_t>(mid) | static_cast<uint32_t>(donated << 16), std::memory_order_relaxed);
  return SendRaw(kMessageHeaderSize + static_cast<uint32_t>(size));
}

Result<Channel::Incoming> Channel::Receive() {
  LISAFS_RETURN_IF_ERROR(WaitForTurn());
  return ReadIncoming();
}

Result<Channel::Incoming> Channel::ReadIncoming() {
  const uint32_t length = window_->data_length.load(std::memory_order_relaxed);
  if (length < kMessageHeaderSize || length > length_ - kDataOffset) return Fail(EPROTO);
  const uint32_t message = window_->message.load(std::memory_order_relaxed);
  return Incoming{static_cast<uint16_t>(message), payload().first(length - kMessageHeaderSize),
                  (message >> 16) & UINT8_MAX};
}

// Hands over what lies in the window.
Status Channel::SendRaw(uint32_t data_length) {
  if ((local_.load(std::memory_order_relaxed) & kStopping) != 0) return Fail(ECONNRESET);
  window_->data_length.store(data_length, std::memory_order_relaxed);
  uint32_t state = mine_;
  if (!window_->state.compare_exchange_strong(state, theirs_)) return Fail(state == kShutDown ? ECONNRESET : EPROTO);
  WakePeer();
  // A peer that sleeps is likely to run on this very CPU next, and of much data this CPU's cache has parts only.
  if (!kOneCpu && tell_sleep_ && !peer_was_asleep_) Demote({base_, kDataOffset + std::min(data_length, kMaxDemoted)});
  return {};
}

// Before anything of a message is written: between two writes to the window's first line the peer may take it away.
void Channel::UpdatePlace() {
  if (!tell_sleep_) return;
  const uint32_t place = Place();
  if (place != place_) my_place_->store(place_ = place, std::memory_order_relaxed);
}

// The peer says that it sleeps, then looks at the state; here the state was changed, then the peer's word is looked at.
// All four are sequentially consistent, so that one of the two sides sees the other's.
void Channel::WakePeer() {
  const uint32_t peer = peer_place_->load();
  peer_was_asleep_ = (!trust_sleep_flag_ || (peer & kSleeps)) && FutexWake(window_->state, 1) > 0;
  peer_is_here_ = (peer | kSleeps) == (place_ | kSleeps);
  trust_sleep_flag_ = tell_sleep_;
}

Status Channel::WaitForTurn() {
  arrived_ = 0;
  SpinForTurn();
  for (bool patient = spinner_.before_sleep() != nullptr;;) {
    const uint32_t state = window_->state.load(std::memory_order_acquire);
    if (state == mine_) return {};
    if (state != theirs_) return Fail(state == kShutDown ? ECONNRESET : EPROTO);
    LISAFS_RETURN_IF_ERROR(Sleep(patient));
    patient = false;
  }
}

// Returns when the window is not the peer's any more, or when it is better to sleep. A look is some 40 ns after the one
// before: fetching the window's first cache line all the time takes it away from a peer that is about to write there,
// state and small payload alike.
void Channel::SpinForTurn() {
  // A peer without sleep flags sleeps whenever it waits. Woken by a side that sleeps next, it runs on the same CPU at
  // once; a side that spins holds that CPU, and the peer's is an idle one that has to wake up first.
  if (!tell_sleep_) return;
  // On the server's CPU a client does better to make room: then it is woken as soon as the answer is there, and the
  // server's spinning, which is to be interrupted, has the kernel wake the client's next thread on another CPU.
  if (peer_is_here_ && mine_ == kClientActive && !kOneCpu) return;
  const bool turned = spinner_.Until(peer_was_asleep_ || peer_is_here_, arrived_, [this] {
    return window_->state.load(std::memory_order_acquire) != theirs_ ||
           (local_.load(std::memory_order_relaxed) & kStopping) != 0;
  });
  if (!turned) arrived_ = 0;
}

// Until the window may have changed hands. The kernel looks at the state again before it puts the thread to sleep.
Status Channel::Sleep(bool briefly) {
  constexpr timespec kBriefly = {.tv_nsec = 300'000};
  if (tell_sleep_) my_place_->store((place_ = Place()) | kSleeps);
  if ((local_.fetch_or(kAsleep) & kStopping) == 0 && window_->state.load() == theirs_) {
    if (!FutexWait(window_->state, theirs_, briefly ? &kBriefly : nullptr)) spinner_.before_sleep()();
  }
  const bool shut_down = (local_.fetch_and(~kAsleep) & kStopping) != 0;
  if (tell_sleep_) my_place_->store(place_ = Place());
  if (shut_down) return Fail(ECONNRESET);
  return {};
}

void Channel::Shutdown() {
  const uint32_t before = local_.fetch_or(kStopping);
  if ((before & kStopping) != 0) return;
  window_->state.exchange(kShutDown);
  FutexWake(window_->state, INT_MAX);
  // A hostile peer may undo the change of state and let its own threads swallow wake-ups, and this side's thread may
  // not have come to sleep yet: wake until it is seen to be awake. It then finds kStopping, whatever the window says.
  while ((local_.load() & kAsleep) != 0) {
    FutexWake(window_->state, INT_MAX);
    sched_yield();
  }
}

void Channel::UseSleepFlags() {
  tell_sleep_ = true;
  // The server's next message is the response to SleepFlags, for which the client waits as it always did; WakePeer
  // trusts the flag after it.
  if (mine_ == kClientActive) trust_sleep_flag_ = true;
}

size_t Channel::SendDonations(Donations& send) {
  size_t sent = 0;
  for (; sent < send.size(); ++sent) {
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    const int number = send[sent];
    memcpy(CMSG_DATA(rights), &number, sizeof number);
    // A client that does not read its descriptors must not hold this thread up.
    if (sendmsg(fd_socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) break;
  }
  send.Clear();
  return sent;
}

void Channel::ReceiveDonations(size_t count, Donations* received) {
  for (; count > 0; --count) {
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    msghdr message{};
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    if (recvmsg(fd_socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0) return;
    if (ReceiveDescriptors(message, 1, received) != 1) return;
  }
}

}  // namespace lisafs
