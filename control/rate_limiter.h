#ifndef LISAFS_CONTROL_RATE_LIMITER_H_
#define LISAFS_CONTROL_RATE_LIMITER_H_

#include <algorithm>
#include <chrono>
#include <map>
#include <string>

namespace lisafs {

// How many calls each caller may make: `per_second` in the long run, and so many at once. Not thread-safe.
class RateLimiter {
 public:
  using Clock = std::chrono::steady_clock;

  // 0: as many as it likes.
  explicit RateLimiter(double per_second) : per_second_(per_second) {}

  bool Admit(const std::string& caller, Clock::time_point now) {
    if (per_second_ <= 0) return true;
    if (buckets_.size() > kMaxCallers) Forget(now);
    auto [found, is_new] = buckets_.try_emplace(caller, Bucket{per_second_, now});
    Bucket& bucket = found->second;
    bucket.left = std::min(per_second_, bucket.left + Seconds(now - bucket.since) * per_second_);
    bucket.since = now;
    if (bucket.left < 1) return false;
    bucket.left -= 1;
    return true;
  }

 private:
  struct Bucket {
    double left;
    Clock::time_point since;
  };
  static constexpr size_t kMaxCallers = 1000;

  static double Seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

  // Those whose bucket is full again.
  void Forget(Clock::time_point now) {
    std::erase_if(buckets_, [&](const auto& bucket) { return now - bucket.second.since > std::chrono::seconds(1); });
  }

  const double per_second_;
  std::map<std::string, Bucket> buckets_;
};

}  // namespace lisafs

#endif  // LISAFS_CONTROL_RATE_LIMITER_H_
