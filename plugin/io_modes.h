#ifndef LISAFS_PLUGIN_IO_MODES_H_
#define LISAFS_PLUGIN_IO_MODES_H_

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>

#include "base/result.h"
#include "plugin/handle.h"
#include "plugin/node.h"

namespace lisafs {

// How the open files of each node are read and written: by requests to us, or, passed through, by the kernel on the
// host's file. The kernel wants all open files of a node to be of one kind, and those that are passed through to have
// one backing file; so the first open decides, and those that come while one is open follow. Any thread may call this.
class IoModes {
 public:
  // What a server answers to the first open's question for a backing file, with the file's attributes. Asked without a
  // lock; others that open the same node wait for the answer meanwhile.
  using OpenBacking = Result<OpenBackingResp> (*)(const Handle& handle);

  struct Mode {
    uint32_t backing_id = 0;      // 0: requests come to us.
    bool stat_known = false;      // Whether
    Statx stat;                   // this has just been looked at.
    bool cache_outdated = false;  // Not passed through, but it was since the kernel last cached pages.
  };

  // Has the kernel offered to pass anything through? Until then nothing is asked for.
  void Enable() { enabled_ = true; }
  bool enabled() const { return enabled_; }

  // Whether a refusal is one for good: for all files, or for all of a file system.
  static bool IsFinal(Errno refusal);

  // A file is about to be open. `may_start`: it may be passed through if it is the first.
  Mode Enter(const std::shared_ptr<Handle>& handle, bool may_start, OpenBacking open_backing);
  // It is not open any more.
  void Leave(const Handle& handle);
  // Whether the node's open files are.
  bool PassesThrough(const Node& node);

 private:
  struct OpenNode {
    uint32_t users = 0;
    bool deciding = false;
    uint32_t backing_id = 0;
    std::shared_ptr<Handle> backing;  // Whose open FD the backing file belongs to.
  };
  using Device = std::pair<uint32_t, uint32_t>;
  static Device DeviceOf(const Node& node) { return {node.identity().dev_major, node.identity().dev_minor}; }

  // With the lock held: what is to be learned from a refusal.
  void Refused(const Node& node, Errno error);

  // Written by FUSE_INIT, which comes before everything else.
  bool enabled_ = false;

  std::mutex mutex_;
  std::condition_variable decided_;
  // Guarded by mutex_:
  bool given_up_ = false;
  std::set<Device> too_deep_;  // File systems that are stacked too deep.
  std::unordered_map<Node*, OpenNode> open_;
};

}  // namespace lisafs

#endif  // LISAFS_PLUGIN_IO_MODES_H_
