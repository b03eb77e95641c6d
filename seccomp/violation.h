#ifndef LISAFS_SECCOMP_VIOLATION_H_
#define LISAFS_SECCOMP_VIOLATION_H_

namespace lisafs {

// From now on a system call that a filter of this process traps (SECCOMP_RET_TRAP) ends it with SIGSYS, once it has
// said on stderr: "seccomp: openat (257) is not allowed, with 0xffffff9c 0x7f… …, at 0x…". To be called while the
// process has one thread.
void NameViolations();

}  // namespace lisafs

#endif  // LISAFS_SECCOMP_VIOLATION_H_
