#ifndef LISAFS_TESTS_DIFFERENTIAL_WORKER_H_
#define LISAFS_TESTS_DIFFERENTIAL_WORKER_H_

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <random>
#include <string>

#include "tests/differential/say.h"

namespace lisafs::differential {

// What the processes of a torture share, in memory that all of them have.
struct Shared {
  std::atomic<bool> failed;
  std::atomic<uint64_t> steps;
  std::atomic<uint64_t> changes;  // Of records, by everybody.
};

// One process at work, until the time is over or somebody has found something wrong.
class Worker {
 public:
  static inline Shared* shared = nullptr;

  Worker(std::string name, unsigned seed, time_t end) : name_(std::move(name)), random_(seed), end_(end) {}

  bool GoesOn() {
    shared->steps.fetch_add(1, std::memory_order_relaxed);
    return !shared->failed && time(nullptr) < end_;
  }
  size_t Below(size_t n) { return random_() % n; }
  // Says what is wrong, and ends everybody's work.
  void Expect(bool holds, const std::string& what) {
    if (holds) return;
    const int error = errno;
    shared->failed = true;
    SayText(name_, what + " (" + strerrorname_np(error) + ")");
    _exit(1);
  }
  std::string Bytes(size_t size) {
    std::string bytes(size, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random_());
    return bytes;
  }
  const std::string& name() const { return name_; }

 private:
  const std::string name_;
  std::mt19937 random_;
  const time_t end_;
};

}  // namespace lisafs::differential

#endif  // LISAFS_TESTS_DIFFERENTIAL_WORKER_H_
