#include "seccomp/plugin_policy.h"

#include "seccomp/runtime_rules.h"

namespace lisafs {

SeccompPolicy PluginPolicy(bool io_uring) {
  SeccompPolicy policy;
  AllowRuntime(policy);
  AllowTransport(policy);
  // There is no sendmsg on purpose: with it a hostile plugin could fill sockets with descriptors, of which all
  // processes of a user may have only so many on their way.
  policy.Allow(SCMP_SYS(read), "FUSE requests")
      .Allow(SCMP_SYS(write), "answers to them; the line that says ready")
      .Allow(SCMP_SYS(newfstatat), "the size of a channel's window file: libc's fstat", {ArgIsDescriptor(0)})
      .Allow(SCMP_SYS(pread64), "donated files")
      .Allow(SCMP_SYS(pwrite64), "donated files")
      .Allow(SCMP_SYS(lseek), "donated files: holes")
      .Allow(SCMP_SYS(fallocate), "donated files")
      .Allow(SCMP_SYS(fsync), "donated files")
      .Allow(SCMP_SYS(fdatasync), "donated files")
      .Allow(SCMP_SYS(copy_file_range), "between donated files");
  if (io_uring) {
    // A ring's command can name neither a file nor an operation that the ring was not made for.
    policy
        .Allow(SCMP_SYS(io_uring_enter), "FUSE over io_uring, if it is on: rings that were made, and narrowed, before")
        .Allow(SCMP_SYS(sched_setaffinity), "FUSE over io_uring, if it is on: a queue's thread stays on its CPU",
               {ArgIs(0, 0, "the calling thread")});
  }
  return policy;
}

}  // namespace lisafs
