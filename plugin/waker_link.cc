#include "plugin/waker_link.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cstring>
#include <optional>
#include <vector>

#include "base/program.h"
#include "plugin/turn.h"

namespace lisafs {

StepResult<WakerSocket> MakeWakerSocket(size_t mount) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return FailStepWithErrno("socketpair");
  const Fd first(ends[0]), second(ends[1]);
  WakerSocket socket;
  socket.own.reset(dup3(first.get(), kFirstOwnWakerFd + static_cast<int>(mount), O_CLOEXEC));
  socket.wakers.reset(dup3(second.get(), kFirstWakerFd + static_cast<int>(mount), O_CLOEXEC));
  if (!socket.own || !socket.wakers) return FailStepWithErrno("the number of the waker's socket");
  return socket;
}

WakerLink::WakerLink(InodeTable& nodes, WakerSocket socket, bool hears_opens)
    : nodes_(nodes), socket_(std::move(socket)), hears_opens_(hears_opens) {
  if (!socket_.own) return;
  unsigned char secret[kWakerSecretSize];
  if (getrandom(secret, sizeof secret, 0) != sizeof secret ||
      send(fd(), secret, sizeof secret, MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof secret) {
    socket_ = {};
    return;
  }
  attribute_ = kWakerAttribute;
  for (unsigned char byte : secret) {
    constexpr char kDigits[] = "0123456789abcdef";
    attribute_ += kDigits[byte >> 4];
    attribute_ += kDigits[byte & 15];
  }
}

void WakerLink::Begin() {
  std::lock_guard lock(mutex_);
  begun_ = true;
  // If it has gone, that is what is read first.
  if (socket_.own) pid_ = introduced_;
}

void WakerLink::Show(Wake wake) {
  if (!connected()) return;
  if (waiting_.size() >= kMaxWaiting) return LeaveOut();
  waiting_.push_back(std::move(wake));
  if (!is_showing_) ShowNext();
}

void WakerLink::OnReadable(KernelCaches& caches) {
  int32_t answer = 0;
  iovec part = {.iov_base = &answer, .iov_len = sizeof answer};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  const ssize_t received = recvmsg(fd(), &message, MSG_DONTWAIT);
  if (received < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (received != sizeof answer || answer == kWakerEnds) {
    if (received != sizeof answer) PrintError("lisafs-waker", "it is gone: those who watch files are woken no more");
    return End();
  }
  if (const uint64_t outdated = outdated_.exchange(0, std::memory_order_relaxed)) caches.ForgetContent(outdated);
  if (is_showing_ && IsInTheWay(answer)) {
    if (current_.old_directory) caches.ForgetName(current_.old_directory->id(), current_.old_name);
    if (current_.directory) caches.ForgetName(current_.directory->id(), current_.name);
    if (Send(current_)) return;
  }
  ShowNext();
}

// Somebody has looked since the kernel was made to forget the name, and has made it remember what the name leads to
// now.
bool WakerLink::IsInTheWay(int error) const {
  const bool is_there = error == EEXIST && current_.action == WakeAction::kCreate;
  const bool is_gone =
      error == ENOENT && (current_.action == WakeAction::kDelete || current_.action == WakeAction::kMove);
  return (is_there || is_gone) && tries_ < kMaxTries;
}

void WakerLink::End() {
  pid_ = kNobody;
  waiting_.clear();
  Wake shown;  // Its references go without the lock.
  std::lock_guard lock(mutex_);
  std::swap(shown, current_);
  is_showing_ = false;
  shown_.notify_all();
  socket_ = {};
}

bool WakerLink::Introduces(uint32_t pid, std::string_view attribute) {
  if (attribute_.empty() || attribute != attribute_ || pid == 0) return false;
  std::lock_guard lock(mutex_);
  if (introduced_ != kNobody) return false;
  // From now on the waker is the only one who holds that end, so that this end shows when it is gone.
  socket_.wakers.reset();
  introduced_ = pid;
  if (begun_) pid_ = pid;
  return true;
}

std::pair<std::unique_lock<std::mutex>, Wake*> WakerLink::Current() {
  std::unique_lock lock(mutex_);
  Wake* current = is_showing_ && !current_.is_void ? &current_ : nullptr;
  return {std::move(lock), current};
}

void WakerLink::AwaitClosed(const Node& file) {
  if (!connected()) return;
  auto is_closed = [&] {
    if (!is_showing_ || current_.action != WakeAction::kCloseWrite) return true;
    return current_.name.empty() ? current_.directory.get() != &file
                                 : !nodes_.IsChild(*current_.directory, current_.name, file);
  };
  std::unique_lock lock(mutex_);
  if (is_closed()) return;
  lock.unlock();
  // The waker's requests have to be read.
  GiveTurnAway();
  lock.lock();
  shown_.wait_for(lock, kMaxAwaitClosed, is_closed);
}

// Whoever is about to execute the file is counted before it looks at what is being shown.
bool WakerLink::MayOpen(const Wake& wake) {
  const NodeRef file = wake.name.empty() ? nodes_.Ref(*wake.directory) : nodes_.FindChild(*wake.directory, wake.name);
  if (!file) return true;
  const bool may_be_executed = hears_opens_ ? file->IsExecuted() : (file->mode() & 0111) != 0;
  return S_ISREG(file->mode()) && !may_be_executed;
}

void WakerLink::ShowNext() {
  while (true) {
    Wake next;
    const bool any = !waiting_.empty();
    if (any) {
      next = std::move(waiting_.front());
      waiting_.pop_front();
    }
    tries_ = 0;
    {
      std::lock_guard lock(mutex_);
      std::swap(current_, next);
      is_showing_ = any;
      shown_.notify_all();
    }
    if (!any) return;
    if (current_.action == WakeAction::kCloseWrite && !MayOpen(current_)) continue;
    if (Send(current_)) return;
    LeaveOut();
  }
}

// Before this the waker makes no request, so that nobody else has to do with `wake` yet.
bool WakerLink::Send(const Wake& wake) {
  auto path_of = [this](const NodeRef& directory, const std::string& name) -> std::optional<std::string> {
    if (!directory) return std::string(kElsewhere) + "/" + std::to_string(++moves_);
    auto path = nodes_.PathOf(*directory, kMaxWakePath - name.size() - 1);
    if (path && !name.empty()) *path += (path->empty() ? "" : "/") + name;
    return path;
  };
  std::optional<std::string> old_path = "";
  if (wake.action == WakeAction::kMove) old_path = path_of(wake.old_directory, wake.old_name);
  const auto path = path_of(wake.directory, wake.name);
  if (!old_path || !path) return false;
  const WakeCommand command = {.action = wake.action,
                               .is_directory = wake.is_directory,
                               .old_size = static_cast<uint16_t>(old_path->size()),
                               .size = static_cast<uint16_t>(path->size())};
  std::string message(reinterpret_cast<const char*>(&command), sizeof command);
  message += *old_path + *path;
  ++tries_;
  return send(fd(), message.data(), message.size(), MSG_DONTWAIT | MSG_NOSIGNAL) ==
         static_cast<ssize_t>(message.size());
}

// Said each time that it is twice as many.
void WakerLink::LeaveOut() {
  ++left_out_;
  if ((left_out_ & (left_out_ - 1)) != 0) return;
  PrintError("those who watch files", "not told so far of changes by others: " + std::to_string(left_out_));
}

}  // namespace lisafs
