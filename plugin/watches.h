#ifndef LISAFS_PLUGIN_WATCHES_H_
#define LISAFS_PLUGIN_WATCHES_H_

#include <atomic>
#include <cstdint>

#include "base/fd.h"
#include "base/result.h"
#include "lisafs/client.h"
#include "plugin/inode_table.h"

namespace lisafs {

// Which directories the server tells us about when others change something in them. Any thread may call this.
//
// A directory is watched before it is asked about, so that every change either is in the answer or is told. A change
// may still be told, and the kernel's caches be dropped, while an answer that is older is on its way to the kernel:
// whoever answers looks at changes() before it asks the server and again when it answers, and lets the kernel keep
// nothing if they differ.
class Watches {
 public:
  // Once, before anything else. The descriptor is where the server's HostChanges are read from. An error: nothing is
  // ever watched.
  Result<Fd> Subscribe(Client& client);
  bool subscribed() const { return generation_.load(std::memory_order_relaxed) != 0; }

  // Has the directory, or the mount's single file, watched if it is not; false if that cannot be.
  bool Watch(Client& client, const Pinned& node);
  bool Watched(const Node& node) const {
    const uint32_t generation = generation_.load(std::memory_order_acquire);
    return generation != 0 && node.watch().load(std::memory_order_acquire) == generation;
  }

  // It has been tried.
  static bool CannotWatch(const Node& node) { return node.watch().load(std::memory_order_acquire) == kUnwatchable; }

  uint64_t changes() const { return changes_.load(std::memory_order_acquire); }
  // Something has changed. To be called before the kernel is told.
  void Changed() { changes_.fetch_add(1, std::memory_order_acq_rel); }
  // Nothing is watched any more; directories may be watched again. / None will be.
  void Lose() { generation_.fetch_add(1, std::memory_order_acq_rel); }
  void End() { generation_.store(0, std::memory_order_release); }

 private:
  // A node is watched if it has the number of the present generation, and cannot be if it has kUnwatchable.
  static constexpr uint32_t kUnwatchable = UINT32_MAX;
  std::atomic<uint32_t> generation_ = 0;
  std::atomic<uint64_t> changes_ = 0;
};

}  // namespace lisafs

#endif  // LISAFS_PLUGIN_WATCHES_H_
