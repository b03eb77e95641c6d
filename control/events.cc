#include "control/events.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <random>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/escape.h"

namespace lisafs {
namespace {

constexpr size_t kInstanceLength = 16;

std::string NewInstance() {
  std::random_device random;
  return absl::StrCat(absl::Hex(random(), absl::kZeroPad8), absl::Hex(random(), absl::kZeroPad8));
}

}  // namespace

Events::Events(size_t kept) : kept_(kept), instance_(NewInstance()) {}

void Events::Add(control::v1::Event event) {
  const std::chrono::nanoseconds now = std::chrono::system_clock::now().time_since_epoch();
  *event.mutable_time() = google::protobuf::util::TimeUtil::NanosecondsToTimestamp(now.count());
  if (event.count() == 0) event.set_count(1);
  std::lock_guard lock(mutex_);
  counts_[event.type()] += event.count();
  events_.push_back(std::move(event));
  if (events_.size() > kept_) {
    events_.pop_front();
    ++begin_;
  }
  added_.notify_all();
}

void Events::Add(control::v1::Event::Type type, const std::string& sandbox_id, const std::string& mount_target,
                 const std::string& message) {
  control::v1::Event event;
  event.set_type(type);
  event.set_sandbox_id(sandbox_id);
  event.set_mount_target(mount_target);
  event.set_message(message);
  Add(std::move(event));
}

uint64_t Events::Begin() const {
  std::lock_guard lock(mutex_);
  return begin_;
}

uint64_t Events::End() const {
  std::lock_guard lock(mutex_);
  return begin_ + events_.size();
}

Events::Batch Events::Read(uint64_t& next, std::chrono::milliseconds patience) {
  Batch batch;
  std::unique_lock lock(mutex_);
  added_.wait_for(lock, patience, [&] { return begin_ + events_.size() > next; });
  if (begin_ > next) {
    batch.missed = begin_ - next;
    next = begin_;
  }
  const uint64_t end = std::min<uint64_t>(begin_ + events_.size(), next + kMaxBatch);
  for (; next < end; ++next) batch.events.push_back(events_[next - begin_]);
  return batch;
}

std::map<control::v1::Event::Type, uint64_t> Events::counts() const {
  std::lock_guard lock(mutex_);
  return counts_;
}

std::string Events::Token(uint64_t next) const { return absl::StrCat(instance_, ".", next); }

absl::StatusOr<std::optional<uint64_t>> Events::ParseToken(const std::string& token) const {
  uint64_t next;
  if (token.size() <= kInstanceLength || token[kInstanceLength] != '.' ||
      !absl::SimpleAtoi(token.substr(kInstanceLength + 1), &next)) {
    return absl::InvalidArgumentError(absl::StrCat("resume_token: ", Escape(token), ": is none"));
  }
  if (token.compare(0, kInstanceLength, instance_) != 0) return std::nullopt;
  if (next > End()) return absl::InvalidArgumentError(absl::StrCat("resume_token: ", token, ": is of no event yet"));
  return next;
}

}  // namespace lisafs
