#include "tests/support/stuck_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <utility>

#include "sandbox/fuse_mount.h"

namespace lisafs::tests {
namespace {

// FUSE_STATX, younger than Debian 12's <linux/fuse.h>.
constexpr uint32_t kFuseStatx = 52;

template <typename Body>
void Reply(const Fd& device, const fuse_in_header& header, const Body& body) {
  struct {
    fuse_out_header header;
    Body body;
  } reply = {{sizeof reply, 0, header.unique}, body};
  EXPECT_EQ(write(device.get(), &reply, sizeof reply), static_cast<ssize_t>(sizeof reply));
}

}  // namespace

StuckDisk::StuckDisk(const std::string& mount_point) : mount_point_(mount_point) {
  auto fuse = MakeFuseMount(S_IFDIR, {});
  if (!fuse.ok()) {
    why_not_ = fuse.status().ToString();
    return;
  }
  Fd point(open(mount_point.c_str(), O_PATH | O_CLOEXEC));
  if (!AttachMount(fuse->mount.get(), point.get()).ok()) {
    why_not_ = "it cannot be mounted";
    return;
  }
  device_ = std::move(fuse->device);
  answering_ = std::thread([this] { Answer(); });
}

StuckDisk::~StuckDisk() {
  Break();
  if (why_not_.empty()) umount2(mount_point_.c_str(), MNT_DETACH);
}

void StuckDisk::Stop() {
  stop_ = true;
  if (answering_.joinable()) answering_.join();
}

void StuckDisk::Break() {
  Stop();
  device_.reset();
}

void StuckDisk::Answer() {
  fcntl(device_.get(), F_SETFL, O_NONBLOCK);
  alignas(8) char request[1 << 16];
  while (!stop_) {
    ssize_t size = read(device_.get(), request, sizeof request);
    if (size < 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      continue;
    }
    fuse_in_header header;
    memcpy(&header, request, sizeof header);
    if (header.opcode == FUSE_INIT) {
      fuse_init_out init = {};
      init.major = FUSE_KERNEL_VERSION;
      init.minor = 31;
      init.max_write = 4096;
      init.flags = FUSE_PARALLEL_DIROPS;  // Otherwise one look-up in a directory waits for another.
      Reply(device_, header, init);
    } else if (header.opcode == FUSE_GETATTR && header.nodeid == FUSE_ROOT_ID) {
      fuse_attr_out attr = {};
      attr.attr_valid = 1'000'000;
      attr.attr.ino = 1;
      attr.attr.mode = S_IFDIR | 0755;
      attr.attr.nlink = 2;
      Reply(device_, header, attr);
    } else if (header.opcode == kFuseStatx) {
      const fuse_out_header refusal = {sizeof refusal, -ENOSYS, header.unique};
      EXPECT_EQ(write(device_.get(), &refusal, sizeof refusal), static_cast<ssize_t>(sizeof refusal));
    } else if (header.opcode != FUSE_INTERRUPT && header.opcode != FUSE_FORGET) {
      ++waiting_;
    }
  }
}

}  // namespace lisafs::tests
