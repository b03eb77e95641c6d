#ifndef LISAFS_CONTROL_ACCESS_RECORDER_H_
#define LISAFS_CONTROL_ACCESS_RECORDER_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/fd.h"
#include "lisafs/access_ring.h"

namespace lisafs {

// Has a gofer note what one of its mounts is asked for, for as long as this lives, and reads that. The gofer could have
// been taken over: what it wrote is read, not mapped, and may be anything.
class AccessRecorder {
 public:
  // What was asked for, as in lisafs/access_ring.h, by path from the mount's root on: "/etc/passwd", and "/" for the
  // root itself.
  using Profile = std::map<std::string, uint16_t>;

  // `policy` is the LivePolicyPage of the mount's gofer, `counters` its CountersPage, both open for reading and
  // writing, and `mount` the mount's number there. RESOURCE_EXHAUSTED: no space for what the gofer will write.
  static absl::StatusOr<std::unique_ptr<AccessRecorder>> Start(Fd policy, Fd counters, size_t mount);
  ~AccessRecorder();
  AccessRecorder(const AccessRecorder&) = delete;
  AccessRecorder& operator=(const AccessRecorder&) = delete;

  // What is new or has grown since the last time, once there is something, or nothing after `patience`.
  absl::StatusOr<Profile> Collect(std::chrono::milliseconds patience);

  // How many accesses of the gofer's mounts were lost, as it says: too many at once, or with too long a path.
  uint64_t missed() const { return missed_; }
  // There are more paths than are kept.
  bool full() const { return full_; }

 private:
  static constexpr size_t kMaxFiles = 100'000;
  static constexpr size_t kMaxPathBytes = 32 << 20;

  struct Header {
    uint64_t end;
    uint64_t records;
  };

  AccessRecorder(Fd policy, Fd counters, size_t mount)
      : policy_(std::move(policy)), counters_(std::move(counters)), mount_(mount) {}

  absl::StatusOr<Header> ReadHeader() const;
  absl::Status ReadNews(Profile& news);
  // Goes on at the end: what is before it is lost.
  void Skip(const Header& header);
  void Miss(uint64_t count);
  void Note(std::string_view path, uint16_t what, Profile& news);

  const Fd policy_;
  const Fd counters_;
  const size_t mount_;
  bool started_ = false;
  uint64_t position_ = 0;  // What has been read of the ring,
  uint64_t records_ = 0;   // and how many that were.
  Profile all_;
  size_t path_bytes_ = 0;  // Of all_.
  uint64_t missed_ = 0;
  bool full_ = false;
};

}  // namespace lisafs

#endif  // LISAFS_CONTROL_ACCESS_RECORDER_H_
