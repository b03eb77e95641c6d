#ifndef LISAFS_CONTROL_REFUSAL_WATCH_H_
#define LISAFS_CONTROL_REFUSAL_WATCH_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "control/events.h"
#include "proto/lisafs/control/v1/control.pb.h"

namespace lisafs {

// Makes events of what gofers count: that they refused something, or had no room for it. Not thread-safe.
class RefusalTracker {
 public:
  explicit RefusalTracker(Events& events) : events_(events) {}

  // What all mounts have come to since the last time.
  void Note(const std::vector<control::v1::Sandbox>& sandboxes);

 private:
  struct Counts {
    uint64_t refused = 0;
    uint64_t exhausted = 0;
  };
  using Key = std::pair<std::string, std::string>;  // Sandbox and target.

  void Tell(control::v1::Event::Type type, const Key& key, uint64_t count, const std::string& what);

  Events& events_;
  std::map<Key, Counts> last_;
};

// Does so once a second, on a thread of its own, until it goes.
class RefusalWatch {
 public:
  RefusalWatch(std::function<std::vector<control::v1::Sandbox>()> list, Events& events);
  ~RefusalWatch();

 private:
  void Run(const std::function<std::vector<control::v1::Sandbox>()>& list, Events& events);

  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace lisafs

#endif  // LISAFS_CONTROL_REFUSAL_WATCH_H_
