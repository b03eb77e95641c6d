#ifndef LISAFS_PLUGIN_RECORDING_KERNEL_H_
#define LISAFS_PLUGIN_RECORDING_KERNEL_H_

#include <gtest/gtest.h>

#include <condition_variable>
#include <cstring>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "plugin/fuse_device.h"
#include "plugin/fuse_kernel.h"

namespace lisafs {

// Takes down what the kernel is told to forget.
class RecordingKernel : public FuseTransport {
 public:
  Result<size_t> Receive(std::span<std::byte>) override { return Fail(ENODEV); }
  Status Send(std::span<const std::byte> message) override {
    fuse_out_header header;
    memcpy(&header, message.data(), sizeof header);
    EXPECT_EQ(header.len, message.size());
    EXPECT_EQ(header.unique, 0u);
    const std::byte* body = message.data() + sizeof header;
    std::lock_guard lock(mutex_);
    if (header.error == FUSE_NOTIFY_INVAL_INODE) {
      fuse_notify_inval_inode_out node;
      memcpy(&node, body, sizeof node);
      told_.push_back((node.off < 0 ? "attributes " : "content ") + std::to_string(node.ino));
    } else if (header.error == FUSE_NOTIFY_INVAL_ENTRY) {
      fuse_notify_inval_entry_out entry;
      memcpy(&entry, body, sizeof entry);
      EXPECT_EQ(entry.flags, unsigned{FUSE_EXPIRE_ONLY});
      std::string name(reinterpret_cast<const char*>(body + sizeof entry));
      EXPECT_EQ(name.size(), entry.namelen);
      told_.push_back("name " + name + " in " + std::to_string(entry.parent));
    } else {
      ADD_FAILURE() << header.error;
    }
    changed_.notify_all();
    return {};
  }
  std::vector<std::string> Take() {
    std::lock_guard lock(mutex_);
    return std::exchange(told_, {});
  }
  void WaitFor(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return told_.size() >= count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> told_;
};

}  // namespace lisafs

#endif  // LISAFS_PLUGIN_RECORDING_KERNEL_H_
