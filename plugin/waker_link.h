#ifndef LISAFS_PLUGIN_WAKER_LINK_H_
#define LISAFS_PLUGIN_WAKER_LINK_H_

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "base/fd.h"
#include "base/result.h"
#include "base/waking.h"
#include "plugin/inode_table.h"
#include "plugin/kernel_caches.h"

namespace lisafs {

// Both ends of the socket between a mount and lisafs-waker; the waker's has the number that it is looked for under.
struct WakerSocket {
  Fd own, wakers;
};
// `mount` is the mount's number. To be called while the process may still make sockets.
StepResult<WakerSocket> MakeWakerSocket(size_t mount);

// What others have done to a file, to be shown to who watches it.
struct Wake {
  WakeAction action;
  bool is_directory = false;
  // A name in a directory; without a name the file that `directory` is. A move may come from, or go to, a directory
  // that nobody knows: then that one is empty.
  NodeRef directory;
  std::string name;
  NodeRef old_directory;
  std::string old_name;
  // What was moved, removed or changed, as far as the kernel knows it, and what a move has put itself in the place of.
  NodeRef file;
  NodeRef replaced;

  // What those who serve the waker's requests keep: whether the above is known to be right, and whether it is not to be
  // shown after all.
  bool is_resolved = false;
  bool is_void = false;
};

// One mount's line to lisafs-waker: what others have done goes there, one change at a time, and comes back as requests
// of the kernel (operations_wake.cc). Without a waker nothing is kept.
class WakerLink {
 public:
  // What waits beyond this many is left out.
  static constexpr size_t kMaxWaiting = 2048;

  // A directory in the mount's root that is there for the waker alone: what comes from, or goes to, where nobody looks.
  static constexpr char kElsewhere[] = ".lisafs-elsewhere";

  // Without a socket there is never a waker. `hears_opens`: the kernel says when a file is about to be executed.
  // `nodes` outlives this.
  explicit WakerLink(InodeTable& nodes, WakerSocket socket = {}, bool hears_opens = true);

  // For whoever reads what others change, on one thread:

  // From now on there is somebody to read it, and something to show.
  void Begin();
  // Something can be read from it: OnReadable. -1: never.
  int fd() const { return socket_.own.get(); }
  // Is there somebody to show anything to?
  bool connected() const { return pid_.load(std::memory_order_relaxed) != kNobody; }
  // Has it shown, at once or when its turn comes.
  void Show(Wake wake);
  // The waker has done something. Has the kernel forget what is in the way of it, and what it has left.
  void OnReadable(KernelCaches& caches);
  // Nothing more will be read.
  void End();

  // For those who serve requests:

  // Does the request come from the waker?
  bool IsCaller(uint32_t pid) const { return pid == pid_.load(std::memory_order_relaxed); }
  // The caller has asked for an attribute that does not exist. Is it the waker, by what it asked for? It is known from
  // then on; not before Begin, since nobody would see it go, and its number become somebody else's.
  bool Introduces(uint32_t pid, std::string_view attribute);
  // What is being shown, if anything, and no other thread that serves the waker.
  std::pair<std::unique_lock<std::mutex>, Wake*> Current();
  // The container is about to execute the file, of which it has a Handle that says so: waits until the waker does not
  // have it open for writing, where the kernel would refuse that. From then on it will not.
  void AwaitClosed(const Node& file);
  void SetPagesOutdated(uint64_t node) { outdated_.store(node, std::memory_order_relaxed); }

 private:
  // The kernel's own requests have 0, and no process has this.
  static constexpr uint32_t kNobody = UINT32_MAX;
  // The container can always be the quicker one again.
  static constexpr int kMaxTries = 4;

  // The waker needs this process for all it does, and a thread of it waits for the waker here: not for ever, should all
  // of them do so.
  static constexpr std::chrono::milliseconds kMaxAwaitClosed{100};

  // Whether the file may be opened for writing for a moment: not while the container executes it.
  bool MayOpen(const Wake& wake);
  // Whether it is to be shown once more.
  bool IsInTheWay(int error) const;
  void ShowNext();
  bool Send(const Wake& wake);
  void LeaveOut();

  InodeTable& nodes_;
  WakerSocket socket_;
  const bool hears_opens_;
  std::string attribute_;
  std::atomic<uint32_t> pid_ = kNobody;
  std::atomic<uint64_t> outdated_ = 0;

  // The thread's that reads changes:
  std::deque<Wake> waiting_;
  int tries_ = 0;  // Of what is being shown.
  uint64_t left_out_ = 0;
  uint64_t moves_ = 0;  // Gives names elsewhere.

  std::mutex mutex_;
  std::condition_variable shown_;  // What is being shown is another now.
  // Guarded by mutex_:
  Wake current_;
  bool is_showing_ = false;  // Written by the thread that reads changes alone.
  bool begun_ = false;
  uint32_t introduced_ = kNobody;
};

}  // namespace lisafs

#endif  // LISAFS_PLUGIN_WAKER_LINK_H_
