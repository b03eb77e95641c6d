#ifndef LISAFS_PLUGIN_OPEN_DIRECTORIES_H_
#define LISAFS_PLUGIN_OPEN_DIRECTORIES_H_

#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <utility>

#include "plugin/handle.h"

namespace lisafs {

// Open FDs of directories that somebody lists with attributes and has not got all of: the server is asked by them again
// when the next part is wanted. Those used longest ago are closed. For any thread.
class OpenDirectories {
 public:
  // Nobody else has it until it is put back. Null if there is none.
  std::shared_ptr<Handle> Take(const Node& directory) {
    std::lock_guard lock(mutex_);
    for (auto handle = handles_.begin(); handle != handles_.end(); ++handle) {
      if ((*handle)->node.get() != &directory) continue;
      auto taken = std::move(*handle);
      handles_.erase(handle);
      return taken;
    }
    return nullptr;
  }
  void PutBack(std::shared_ptr<Handle> handle) {
    std::shared_ptr<Handle> oldest;  // Closed without the lock.
    std::lock_guard lock(mutex_);
    handles_.push_front(std::move(handle));
    if (handles_.size() <= kMost) return;
    oldest = std::move(handles_.back());
    handles_.pop_back();
  }

 private:
  static constexpr size_t kMost = 8;

  std::mutex mutex_;
  std::list<std::shared_ptr<Handle>> handles_;
};

}  // namespace lisafs

#endif  // LISAFS_PLUGIN_OPEN_DIRECTORIES_H_
