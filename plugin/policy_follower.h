#ifndef LISAFS_PLUGIN_POLICY_FOLLOWER_H_
#define LISAFS_PLUGIN_POLICY_FOLLOWER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>

#include "lisafs/live_policy.h"
#include "plugin/absent_names.h"
#include "plugin/inode_table.h"
#include "plugin/kernel_caches.h"

namespace lisafs {

// Has the kernel drop what it has cached when what the mount allows changes: all of every file when the mount is
// revoked, so that what is open or mapped is read from the server, which refuses; names as well when others begin or
// cease to change the files. A thread of its own, which sleeps until there is a change and serves no requests.
//
// When a mount is revoked the names stay: nobody gets to use them, since a directory's attributes are asked for
// first; and to have them looked up again would take away what the container has mounted on them.
class PolicyFollower {
 public:
  // What is called on the thread when others begin to change the files: before anything is dropped, and after that.
  struct OthersChange {
    std::function<void()> before_drop;
    std::function<void()> after_drop;
  };
  // The policy is followed from this moment on. All must outlive this.
  PolicyFollower(const LivePolicy& policy, InodeTable& nodes, AbsentNames& absent, FuseTransport& kernel,
                 OthersChange others_change);
  // Ends the thread.
  ~PolicyFollower();
  PolicyFollower(const PolicyFollower&) = delete;
  PolicyFollower& operator=(const PolicyFollower&) = delete;

  // Once. Throws std::system_error if there is no thread to be had.
  void Start();

  // Something was answered that had been begun before a change: what was to be dropped for it is dropped again.
  void Repeat();

 private:
  void Run();
  void Sleep();
  void WakeUp();
  void Apply(uint32_t changed, uint32_t now);

  const LivePolicy& policy_;
  InodeTable& nodes_;
  AbsentNames& absent_;
  KernelCaches caches_;
  const OthersChange others_change_;
  uint32_t seen_;          // Changes, and
  uint32_t restrictions_;  // what held after them.
  bool names_owed_ = false;
  std::atomic<bool> repeat_ = false;
  std::atomic<bool> ending_ = false;
  std::atomic<bool> asleep_ = false;  // Or about to be: then it has still to look at the two above.
  std::thread thread_;
};

}  // namespace lisafs

#endif  // LISAFS_PLUGIN_POLICY_FOLLOWER_H_
