#include "plugin/kernel_caches.h"

#include <array>
#include <cstring>
#include <span>

#include "plugin/fuse_kernel.h"

namespace lisafs {

void KernelCaches::ForgetAttributes(uint64_t nodeid) { ForgetInode(nodeid, -1); }

void KernelCaches::ForgetContent(uint64_t nodeid) { ForgetInode(nodeid, 0); }

void KernelCaches::ForgetInode(uint64_t nodeid, int64_t offset) {
  struct {
    fuse_out_header header;
    fuse_notify_inval_inode_out node;
  } message = {};
  message.header.len = sizeof message;
  message.header.error = FUSE_NOTIFY_INVAL_INODE;
  message.node.ino = nodeid;
  message.node.off = offset;
  (void)kernel_.Send(std::as_bytes(std::span(&message, 1)));
}

void KernelCaches::ForgetName(uint64_t directory, std::string_view name) {
  if (name.empty() || name.size() > kMaxName) return;
  struct {
    fuse_out_header header;
    fuse_notify_inval_entry_out entry;
    std::array<char, kMaxName + 1> name;
  } message = {};
  message.header.len = static_cast<uint32_t>(offsetof(decltype(message), name) + name.size() + 1);
  message.header.error = FUSE_NOTIFY_INVAL_ENTRY;
  message.entry.parent = directory;
  message.entry.namelen = static_cast<uint32_t>(name.size());
  // To forget it at once would also unmount what the container has mounted there.
  message.entry.flags = FUSE_EXPIRE_ONLY;
  memcpy(message.name.data(), name.data(), name.size());
  (void)kernel_.Send(std::as_bytes(std::span(&message, 1)).first(message.header.len));
}

void KernelCaches::ForgetAllNames(InodeTable& nodes, AbsentNames& absent) {
  nodes.ForEachName([&](uint64_t directory, std::string_view name) { ForgetName(directory, name); });
  for (const auto& [directory, name] : absent.All()) ForgetName(directory, name);
}

}  // namespace lisafs
