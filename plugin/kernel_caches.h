#ifndef LISAFS_PLUGIN_KERNEL_CACHES_H_
#define LISAFS_PLUGIN_KERNEL_CACHES_H_

#include <cstdint>
#include <string_view>

#include "plugin/absent_names.h"
#include "plugin/fuse_device.h"
#include "plugin/inode_table.h"

namespace lisafs {

// Makes the kernel forget what it has cached. That it has nothing of the kind is as good. Any thread may call this, but
// those with a warning wait for locks that requests hold while they wait for us: not from a thread that serves
// requests.
class KernelCaches {
 public:
  // `kernel` must outlive this.
  explicit KernelCaches(FuseTransport& kernel) : kernel_(kernel) {}

  // A node's attributes, and not its pages.
  void ForgetAttributes(uint64_t nodeid);
  // Attributes, and pages or entries. Waits.
  void ForgetContent(uint64_t nodeid);
  // What the name leads to: it is looked up again when somebody uses it. Waits.
  void ForgetName(uint64_t directory, std::string_view name);
  // What all names lead to that `nodes` or `absent` knows. One by one: the kernel can be told at once, from Linux 6.16
  // on (FUSE_NOTIFY_INC_EPOCH), but then unmounts what the container has mounted within. Waits.
  void ForgetAllNames(InodeTable& nodes, AbsentNames& absent);

 private:
  void ForgetInode(uint64_t nodeid, int64_t offset);

  FuseTransport& kernel_;
};

}  // namespace lisafs

#endif  // LISAFS_PLUGIN_KERNEL_CACHES_H_
