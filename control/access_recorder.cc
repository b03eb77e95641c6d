#include "control/access_recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <thread>

#include "base/status.h"
#include "control/mount_policy.h"
#include "lisafs/counters.h"

namespace lisafs {
namespace {

constexpr size_t kRing = offsetof(CountersPage, accesses);
constexpr size_t kBytes = kRing + offsetof(AccessRing, bytes);

absl::Status ReadAt(const Fd& file, void* to, size_t size, size_t offset) {
  if (pread(file.get(), to, size, static_cast<off_t>(offset)) != static_cast<ssize_t>(size)) {
    return absl::DataLossError("the counters' file is too short");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<AccessRecorder>> AccessRecorder::Start(Fd policy, Fd counters, size_t mount) {
  // The gofer would die of a page that there is no space for.
  if (fallocate(counters.get(), 0, kRing, sizeof(AccessRing)) != 0 && errno != EOPNOTSUPP) {
    if (errno == ENOSPC) return absl::ResourceExhaustedError("no space for what the gofer notes");
    return ErrnoStatus(errno, "counters");
  }
  std::unique_ptr<AccessRecorder> recorder(new AccessRecorder(std::move(policy), std::move(counters), mount));
  auto header = recorder->ReadHeader();
  if (!header.ok()) return header.status();
  recorder->position_ = header->end;
  recorder->records_ = header->records;
  LISAFS_RETURN_IF_NOT_OK(AddRecording(recorder->policy_, mount));
  recorder->started_ = true;
  return recorder;
}

AccessRecorder::~AccessRecorder() {
  // What the page's mapping failed for would be known from AddRecording.
  if (started_) RemoveRecording(policy_, mount_).IgnoreError();
}

absl::StatusOr<AccessRecorder::Profile> AccessRecorder::Collect(std::chrono::milliseconds patience) {
  constexpr auto kBetweenLooks = std::chrono::milliseconds(10);
  Profile news;
  const auto end = std::chrono::steady_clock::now() + patience;
  const uint64_t missed = missed_;
  const bool full = full_;
  while (true) {
    LISAFS_RETURN_IF_NOT_OK(ReadNews(news));
    if (!news.empty() || missed_ != missed || full_ != full || std::chrono::steady_clock::now() >= end) return news;
    std::this_thread::sleep_for(kBetweenLooks);
  }
}

absl::StatusOr<AccessRecorder::Header> AccessRecorder::ReadHeader() const {
  static_assert(offsetof(AccessRing, end) == offsetof(Header, end) &&
                offsetof(AccessRing, records) == offsetof(Header, records));
  Header header;
  LISAFS_RETURN_IF_NOT_OK(ReadAt(counters_, &header, sizeof header, kRing));
  return header;
}

// All on a copy, of which only what the gofer cannot have overwritten meanwhile is looked at.
absl::Status AccessRecorder::ReadNews(Profile& news) {
  auto header = ReadHeader();
  if (!header.ok()) return header.status();
  const uint64_t size = header->end - position_;
  if (size == 0) return absl::OkStatus();
  constexpr uint64_t kMost = AccessRing::kSize - kMaxAccessRecord;
  if (header->end < position_ || size > kMost) {
    Skip(*header);
    return absl::OkStatus();
  }
  std::string copy(size, '\0');
  const size_t place = position_ % AccessRing::kSize;
  const size_t first = std::min<size_t>(size, AccessRing::kSize - place);
  LISAFS_RETURN_IF_NOT_OK(ReadAt(counters_, copy.data(), first, kBytes + place));
  LISAFS_RETURN_IF_NOT_OK(ReadAt(counters_, copy.data() + first, size - first, kBytes));
  auto now = ReadHeader();
  if (!now.ok()) return now.status();
  if (now->end < header->end || now->end - position_ > kMost) {
    Skip(*now);
    return absl::OkStatus();
  }

  for (std::string_view left = copy; !left.empty();) {
    AccessRecord record;
    if (left.size() < sizeof record) {
      Skip(*header);
      return absl::OkStatus();
    }
    memcpy(&record, left.data(), sizeof record);
    left.remove_prefix(sizeof record);
    if (record.path_length > kMaxAccessPath || record.path_length > left.size()) {
      Skip(*header);
      return absl::OkStatus();
    }
    const std::string_view path = left.substr(0, record.path_length);
    left.remove_prefix(record.path_length);
    ++records_;
    if (record.mount == mount_) Note(path, record.what & kAllAccesses, news);
  }
  position_ = header->end;
  return absl::OkStatus();
}

void AccessRecorder::Skip(const Header& header) {
  Miss(header.records > records_ ? header.records - records_ : 1);
  position_ = header.end;
  records_ = header.records;
}

void AccessRecorder::Miss(uint64_t count) {
  missed_ += std::min(count, std::numeric_limits<uint64_t>::max() - missed_);
}

void AccessRecorder::Note(std::string_view path, uint16_t what, Profile& news) {
  if (!path.starts_with('/') || path.find('\0') != path.npos) return Miss(1);
  auto known = all_.find(std::string(path));
  if (known == all_.end()) {
    if (all_.size() >= kMaxFiles || path_bytes_ + path.size() > kMaxPathBytes) {
      full_ = true;
      return;
    }
    path_bytes_ += path.size();
    known = all_.emplace(path, 0).first;
  } else if ((known->second | what) == known->second) {
    return;
  }
  news[known->first] = known->second |= what;
}

}  // namespace lisafs
