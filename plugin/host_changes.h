#ifndef LISAFS_PLUGIN_HOST_CHANGES_H_
#define LISAFS_PLUGIN_HOST_CHANGES_H_

#include <cstddef>
#include <optional>
#include <span>
#include <thread>

#include "base/fd.h"
#include "lisafs/host_changes.h"
#include "plugin/absent_names.h"
#include "plugin/inode_table.h"
#include "plugin/kernel_caches.h"
#include "plugin/waker_link.h"
#include "plugin/watches.h"

namespace lisafs {

// Reads what others change on the host, as the server tells it, has the kernel forget what it has cached of that, and
// those who watch it woken. A thread of its own, which serves no requests.
class HostChanges {
 public:
  // `socket` is what Watches::Subscribe gave. The others must outlive this.
  HostChanges(Fd socket, InodeTable& nodes, AbsentNames& absent, Watches& watches, WakerLink& waker,
              FuseTransport& kernel);
  // Ends the thread.
  ~HostChanges();
  HostChanges(const HostChanges&) = delete;
  HostChanges& operator=(const HostChanges&) = delete;

  // What the thread does with a datagram.
  void Apply(std::span<const std::byte> datagram);

 private:
  void Run();
  void Apply(const HostChange& change);
  void ForgetEverything(bool unwatched);
  // What is cached of the file that `node` is.
  void ForgetFile(Node& node, uint16_t what);
  // What happened to `name` in the directory, which has led to `child` so far; without a name to the directory itself.
  void Show(NodeRef directory, const HostChange& change);
  void ShowMove(NodeRef directory, const HostChange& change);
  void ShowMoveAway();

  const Fd socket_;
  InodeTable& nodes_;
  AbsentNames& absent_;
  Watches& watches_;
  WakerLink& waker_;
  KernelCaches caches_;
  std::optional<Wake> moved_;  // Half of a move: from where.
  std::thread thread_;
};

}  // namespace lisafs

#endif  // LISAFS_PLUGIN_HOST_CHANGES_H_
