#include "control/refusal_watch.h"

#include <chrono>

#include "absl/strings/str_cat.h"

namespace lisafs {

using control::v1::Event;

void RefusalTracker::Note(const std::vector<control::v1::Sandbox>& sandboxes) {
  std::map<Key, Counts> now;
  for (const control::v1::Sandbox& sandbox : sandboxes) {
    for (const control::v1::Mount& mount : sandbox.mounts()) {
      const Key key{sandbox.id(), mount.spec().target()};
      const Counts counts{mount.refused(), mount.exhausted()};
      const Counts before = last_[key];
      // A sandbox of the same id may be another one, which has counted less.
      if (counts.refused > before.refused) {
        Tell(Event::TYPE_ACCESS_DENIED, key, counts.refused - before.refused, "the gofer refused");
      }
      if (counts.exhausted > before.exhausted) {
        Tell(Event::TYPE_LIMIT_HIT, key, counts.exhausted - before.exhausted, "the gofer had no room for");
      }
      now[key] = counts;
    }
  }
  last_ = std::move(now);
}

void RefusalTracker::Tell(Event::Type type, const Key& key, uint64_t count, const std::string& what) {
  Event event;
  event.set_type(type);
  event.set_sandbox_id(key.first);
  event.set_mount_target(key.second);
  event.set_count(count);
  event.set_message(absl::StrCat(what, " ", count, count == 1 ? " request" : " requests"));
  events_.Add(std::move(event));
}

RefusalWatch::RefusalWatch(std::function<std::vector<control::v1::Sandbox>()> list, Events& events)
    : thread_([this, list = std::move(list), &events] { Run(list, events); }) {}

RefusalWatch::~RefusalWatch() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_all();
  thread_.join();
}

void RefusalWatch::Run(const std::function<std::vector<control::v1::Sandbox>()>& list, Events& events) {
  RefusalTracker tracker(events);
  std::unique_lock lock(mutex_);
  do {
    lock.unlock();
    tracker.Note(list());
    lock.lock();
  } while (!stop_.wait_for(lock, std::chrono::seconds(1), [&] { return stopping_; }));
}

}  // namespace lisafs
