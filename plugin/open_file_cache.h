#ifndef LISAFS_PLUGIN_OPEN_FILE_CACHE_H_
#define LISAFS_PLUGIN_OPEN_FILE_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "plugin/handle.h"

namespace lisafs {

// Files that were opened for reading only, which stay open when the container closes them: who opens them again asks
// nobody. For mounts that nobody else changes. For any thread.
//
// What is given back is not kept any more.
class OpenFileCache {
 public:
  // One for the node `id` that was kept under the same restrictions. Null if there is none.
  std::shared_ptr<Handle> Find(uint64_t id, uint32_t restrictions) {
    std::lock_guard lock(mutex_);
    auto found = files_.find(id);
    if (found == files_.end() || found->second->restrictions != restrictions) return nullptr;
    by_use_.splice(by_use_.begin(), by_use_, found->second);
    return found->second->handle;
  }
  // Gives the one that it takes the place of, or that was used longest ago if there are too many; or null.
  std::shared_ptr<Handle> Keep(std::shared_ptr<Handle> handle, uint32_t restrictions) {
    std::lock_guard lock(mutex_);
    const uint64_t id = handle->node->id();
    std::shared_ptr<Handle> gone = DropHere(files_.find(id));
    if (!gone && files_.size() >= kMost) gone = DropHere(files_.find(by_use_.back().handle->node->id()));
    by_use_.push_front({std::move(handle), restrictions});
    files_[id] = by_use_.begin();
    return gone;
  }
  // Null if none was kept.
  std::shared_ptr<Handle> Drop(uint64_t id) {
    std::lock_guard lock(mutex_);
    return DropHere(files_.find(id));
  }
  std::vector<std::shared_ptr<Handle>> DropAll() {
    std::lock_guard lock(mutex_);
    files_.clear();
    std::vector<std::shared_ptr<Handle>> gone;
    for (Kept& kept : std::exchange(by_use_, {})) gone.push_back(std::move(kept.handle));
    return gone;
  }

 private:
  // Some for each mount, of the 4,096 descriptors that the gofer may have for all of them.
  static constexpr size_t kMost = 256;

  struct Kept {
    std::shared_ptr<Handle> handle;
    uint32_t restrictions;
  };
  using Files = std::unordered_map<uint64_t, std::list<Kept>::iterator>;

  std::shared_ptr<Handle> DropHere(Files::iterator found) {
    if (found == files_.end()) return nullptr;
    std::shared_ptr<Handle> handle = std::move(found->second->handle);
    by_use_.erase(found->second);
    files_.erase(found);
    return handle;
  }

  std::mutex mutex_;
  std::list<Kept> by_use_;  // The one used last comes first.
  Files files_;
};

}  // namespace lisafs

#endif  // LISAFS_PLUGIN_OPEN_FILE_CACHE_H_
