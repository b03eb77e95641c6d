#include "seccomp/broker_policy.h"

#include <sys/ioctl.h>
#include <sys/mman.h>

namespace lisafs {
namespace {

// FUSE_DEV_IOC_BACKING_OPEN and _CLOSE, younger than Debian 12's <linux/fuse.h>: a struct of 16 bytes, and a number.
constexpr unsigned kBackingOpen = _IOC(_IOC_WRITE, 229, 1, 16);
constexpr unsigned kBackingClose = _IOC(_IOC_WRITE, 229, 2, 4);

}  // namespace

SeccompPolicy BrokerPolicy() {
  SeccompPolicy policy;
  policy
      .Allow(SCMP_SYS(ioctl), "registering a file with a FUSE file system",
             {ArgIs(1, static_cast<int>(kBackingOpen), "FUSE_DEV_IOC_BACKING_OPEN")})
      .Allow(SCMP_SYS(ioctl), "taking it back",
             {ArgIs(1, static_cast<int>(kBackingClose), "FUSE_DEV_IOC_BACKING_CLOSE")})
      .Allow(SCMP_SYS(recvmsg), "requests, with a file's descriptor")
      .Allow(SCMP_SYS(sendmsg), "answers")
      .Allow(SCMP_SYS(poll), "waiting for a request, or for the plugin's end")
      .Allow(SCMP_SYS(restart_syscall), "a wait goes on after the process was stopped")
      .Allow(SCMP_SYS(newfstatat), "whether a file is a regular one: libc's fstat", {ArgIsDescriptor(0)})
      .Allow(SCMP_SYS(close), "descriptors")
      .Allow(SCMP_SYS(write), "the line that says ready; errors on stderr")
      .Allow(SCMP_SYS(brk), "heap")
      .Allow(SCMP_SYS(munmap), "heap")
      .Allow(SCMP_SYS(exit_group), "the end");
  return policy;
}

}  // namespace lisafs
