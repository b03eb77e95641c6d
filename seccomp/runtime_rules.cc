#include "seccomp/runtime_rules.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

namespace lisafs {
namespace {

// What libc's pthread_create passes to clone.
constexpr int kThreadFlags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_SIGHAND | CLONE_THREAD |
                             CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;

void AllowMemory(SeccompPolicy& policy) {
  // Nothing ever becomes executable: what is mapped so at the start is all the code there will be.
  policy.Allow(SCMP_SYS(mmap), "heap, stacks, shared windows", {ArgLacks(2, PROT_EXEC, "PROT_EXEC")})
      .Allow(SCMP_SYS(mprotect), "guard pages, the heaps of threads", {ArgLacks(2, PROT_EXEC, "PROT_EXEC")})
      .Allow(SCMP_SYS(munmap), "heap, stacks, windows")
      .Allow(SCMP_SYS(mremap), "realloc of large blocks")
      .Allow(SCMP_SYS(madvise), "malloc and thread stacks give memory back")
      .Allow(SCMP_SYS(brk), "heap");
}

void AllowThreads(SeccompPolicy& policy) {
  policy.Allow(SCMP_SYS(clone), "threads", {ArgIs(0, kThreadFlags, "a thread's flags exactly")})
      .Refuse(SCMP_SYS(clone3), ENOSYS, "its flags are out of a filter's sight; libc then uses clone")
      .Allow(SCMP_SYS(set_robust_list), "a new thread")
      .Allow(SCMP_SYS(rseq), "a new thread")
      .Allow(SCMP_SYS(gettid), "locks that know their owner")
      .Allow(SCMP_SYS(sched_yield), "spinning and shutting channels down")
      .Allow(SCMP_SYS(sched_getaffinity), "malloc counts CPUs; so does the decision to spin")
      .Allow(SCMP_SYS(exit), "the end of a thread")
      .Allow(SCMP_SYS(exit_group), "the end");

  constexpr uint32_t kCommand = ~static_cast<uint32_t>(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
  policy.Allow(SCMP_SYS(futex), "locks and channels", {ArgMasked(1, kCommand, FUTEX_WAIT, "FUTEX_WAIT")})
      .Allow(SCMP_SYS(futex), "locks and channels", {ArgMasked(1, kCommand, FUTEX_WAKE, "FUTEX_WAKE")})
      .Allow(SCMP_SYS(futex), "condition variables, joining",
             {ArgMasked(1, kCommand, FUTEX_WAIT_BITSET, "FUTEX_WAIT_BITSET")})
      .Allow(SCMP_SYS(futex), "condition variables", {ArgMasked(1, kCommand, FUTEX_WAKE_BITSET, "FUTEX_WAKE_BITSET")});
}

void AllowTimeAndSignals(SeccompPolicy& policy) {
  policy.Allow(SCMP_SYS(clock_gettime), "time, where the vDSO has none")
      .Allow(SCMP_SYS(clock_nanosleep), "waiting")
      .Allow(SCMP_SYS(restart_syscall), "a wait goes on after the process was stopped")
      .Allow(SCMP_SYS(getrandom), "malloc and hash seeds")
      .Allow(SCMP_SYS(rt_sigaction), "handlers, abort")
      .Allow(SCMP_SYS(rt_sigprocmask), "new threads, abort")
      .Allow(SCMP_SYS(rt_sigreturn), "the end of a handler")
      .Allow(SCMP_SYS(sigaltstack), "builds with sanitizers")
      .Allow(SCMP_SYS(getpid), "abort")
      .Allow(SCMP_SYS(tgkill), "abort", {ArgIs(0, getpid(), "this process")});
}

void AllowLastWords(SeccompPolicy& policy) {
  policy.Allow(SCMP_SYS(write), "errors", {ArgIs(0, STDERR_FILENO, "stderr")})
      .Allow(SCMP_SYS(writev), "libc's own last words", {ArgIs(0, STDERR_FILENO, "stderr")})
      // malloc asks /proc/sys/vm/overcommit_memory when a thread's heap shrinks, and does without an answer.
      .Refuse(SCMP_SYS(openat), ENOENT, "libc looks for system files; there are none",
              {ArgIs(0, AT_FDCWD, "AT_FDCWD")});
}

}  // namespace

void AllowRuntime(SeccompPolicy& policy) {
  AllowMemory(policy);
  AllowThreads(policy);
  AllowTimeAndSignals(policy);
  AllowLastWords(policy);
}

void AllowTransport(SeccompPolicy& policy) {
  policy.Allow(SCMP_SYS(recvmsg), "the socket lane; descriptors on a channel")
      .Allow(SCMP_SYS(sendto), "the socket lane")
      .Allow(SCMP_SYS(poll), "waiting for a message")
      .Allow(SCMP_SYS(ppoll), "waiting for a message")
      .Allow(SCMP_SYS(shutdown), "the end of a connection")
      .Allow(SCMP_SYS(close), "descriptors");
}

}  // namespace lisafs
