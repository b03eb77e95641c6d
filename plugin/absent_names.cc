#include "plugin/absent_names.h"

namespace lisafs {

bool AbsentNames::Add(uint64_t directory, std::string_view name) {
  std::lock_guard lock(mutex_);
  std::pair added(directory, std::string(name));
  if (names_.size() >= kMost) return names_.contains(added);
  names_.insert(std::move(added));
  any_.store(true, std::memory_order_relaxed);
  return true;
}

void AbsentNames::Remove(uint64_t directory, std::string_view name) {
  if (!any_.load(std::memory_order_relaxed)) return;
  std::lock_guard lock(mutex_);
  names_.erase({directory, std::string(name)});
}

AbsentNames::Names AbsentNames::All() {
  std::lock_guard lock(mutex_);
  return names_;
}

}  // namespace lisafs
