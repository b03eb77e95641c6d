#include "seccomp/waker_policy.h"

#include <sys/stat.h>
#include <unistd.h>

namespace lisafs {

SeccompPolicy WakerPolicy(const WakerPolicyOptions& options) {
  SeccompPolicy policy;
  policy.Allow(SCMP_SYS(mknodat), "a file was made", {ArgIsDescriptor(0), ArgIs(2, S_IFREG, "S_IFREG")})
      .Allow(SCMP_SYS(mkdirat), "a directory was made", {ArgIsDescriptor(0)})
      .Allow(SCMP_SYS(unlinkat), "a name was removed", {ArgIsDescriptor(0)})
      .Allow(SCMP_SYS(renameat), "a name was changed", {ArgIsDescriptor(0), ArgIsDescriptor(2)})
      .Allow(SCMP_SYS(utimensat), "content or attributes were changed", {ArgIsDescriptor(0)})
      .Allow(SCMP_SYS(openat), "a file was closed by who could write to it",
             {ArgIsDescriptor(0), ArgIs(2, kOpenForWriting, "O_WRONLY|O_NOFOLLOW|O_NONBLOCK|O_NOCTTY|O_CLOEXEC")})
      .Allow(SCMP_SYS(openat), "the same of a mount of one file",
             {ArgIs(0, options.proc_self_fd, "/proc/self/fd"),
              ArgIs(2, kReopenForWriting, "O_WRONLY|O_NONBLOCK|O_NOCTTY|O_CLOEXEC")})
      .Allow(SCMP_SYS(fgetxattr), "the plugin learns which process this is")
      .Allow(SCMP_SYS(recvfrom), "commands: no descriptors come with them")
      .Allow(SCMP_SYS(sendto), "that one is done")
      .Allow(SCMP_SYS(poll), "waiting for a command, or for the container's end")
      .Allow(SCMP_SYS(restart_syscall), "a wait goes on after the process was stopped")
      .Allow(SCMP_SYS(close), "descriptors")
      .Allow(SCMP_SYS(write), "the line that says ready", {ArgIs(0, options.ready_fd, "--ready-fd")})
      .Allow(SCMP_SYS(write), "errors", {ArgIs(0, STDERR_FILENO, "stderr")})
      .Allow(SCMP_SYS(brk), "heap")
      .Allow(SCMP_SYS(munmap), "heap")
      .Allow(SCMP_SYS(exit_group), "the end");
  return policy;
}

}  // namespace lisafs
