#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string_view>

#include "base/program.h"
#include "confine/confine.h"

namespace lisafs {
namespace {

constexpr int kStopSignals[] = {SIGTERM, SIGINT, SIGHUP};

sigset_t StopSignalSet() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : kStopSignals) sigaddset(&set, signal);
  return set;
}

void HandleStopSignals(void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  sigfillset(&action.sa_mask);
  for (int signal : kStopSignals) sigaction(signal, &action, nullptr);
}

void ExitOnSignal(int signal) { _exit(128 + signal); }

volatile sig_atomic_t supervised_child = 0;

void ForwardSignal(int signal) {
  int saved = errno;
  kill(supervised_child, signal);
  errno = saved;
}

// As fork, with `namespaces` and other clone flags.
pid_t ForkInto(uint64_t flags) {
  clone_args args = {};
  args.flags = flags;
  // CLONE_PARENT takes the caller's own exit signal.
  args.exit_signal = (flags & CLONE_PARENT) ? 0 : SIGCHLD;
  // libc keeps the thread's id in memory and has the kernel update it across fork. It must not go stale in the child,
  // where another thread might get the same number. Kernels without checkpoint support do not tell the address; there
  // the number stays what it was.
  int* libc_tid = nullptr;
  if (prctl(PR_GET_TID_ADDRESS, &libc_tid) == 0 && libc_tid != nullptr) {
    args.flags |= CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
    args.child_tid = reinterpret_cast<uint64_t>(libc_tid);
  }
  return static_cast<pid_t>(syscall(SYS_clone3, &args, sizeof args));
}

constexpr char kHighestPid[] = "/proc/sys/kernel/pid_max";
// Once the numbers have gone round, those below this are not given out again (RESERVED_PIDS).
constexpr int kLowestPid = 301;

// Gives the new namespace numbers for so many threads. `outside` is the file as the old namespace has it, open.
StepResult<void> LimitPids(const Fd& outside, int max_threads) {
  Fd own(open(kHighestPid, O_WRONLY | O_CLOEXEC));
  struct stat own_stat, outside_stat;
  // Where /proc/sys is not to be written there is no limit.
  if (!own || !outside || fstat(own.get(), &own_stat) != 0 || fstat(outside.get(), &outside_stat) != 0) return {};
  // Before Linux 6.14 there is one number for the whole machine.
  if (own_stat.st_dev == outside_stat.st_dev && own_stat.st_ino == outside_stat.st_ino) return {};
  char text[16];
  int length = snprintf(text, sizeof text, "%d", kLowestPid + max_threads);
  if (write(own.get(), text, length) != length) return FailStepWithErrno(kHighestPid);
  return {};
}

// The calling process when it stays: exits as the child does. It lets go of every descriptor but `alive`, by which
// the child knows that it lives: whoever is at the other end of one must see when the child closes it.
[[noreturn]] void Supervise(pid_t child, const sigset_t& original_mask, const Fd& alive) {
  const int keep[] = {alive.get()};
  if (auto closed = CloseOtherDescriptors(keep); !closed) Die(closed.error().what, closed.error().error.ToString());
  supervised_child = child;
  HandleStopSignals(ForwardSignal);
  sigprocmask(SIG_SETMASK, &original_mask, nullptr);
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) DieErrno("waitpid");
  }
  _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

// The calling process when it leaves: tells the child's pid, and only then lets the child go on.
StepResult<void> HandOver(pid_t child, int ready_fd, Fd release) {
  char line[16];
  int length = snprintf(line, sizeof line, "%d\n", child);
  if (write(ready_fd, line, length) != length) return FailStepWithErrno("write the child's pid to --ready-fd");
  if (write(release.get(), "", 1) != 1) return FailStepWithErrno("release the child");
  _exit(kExitSuccess);
}

// In the child that was handed over. Without a byte in the pipe the caller failed, and said so.
StepResult<void> AwaitRelease(Fd released) {
  char byte;
  if (read(released.get(), &byte, 1) != 1) _exit(kExitFailure);
  if (setsid() < 0) return FailStepWithErrno("setsid");
  return {};
}

// In the child whose caller stays. The caller holds the pipe's other end as long as it lives.
StepResult<void> DieWithParent(Fd parent_alive) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) return FailStepWithErrno("prctl PR_SET_PDEATHSIG");
  pollfd hang_up = {parent_alive.get(), 0, 0};
  if (poll(&hang_up, 1, 0) != 0) _exit(kExitFailure);
  return {};
}

}  // namespace

StepResult<void> EnterNamespaces(int ready_fd, int max_threads) {
  const bool hand_over = ready_fd >= 0;
  Fd outside_pids(max_threads > 0 ? open(kHighestPid, O_RDONLY | O_CLOEXEC) : -1);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return FailStepWithErrno("pipe2");
  Fd child_end(ends[0]);
  Fd parent_end(ends[1]);

  // Signals wait until both processes have their handlers; an ignored SIGCHLD would lose the child's status.
  signal(SIGCHLD, SIG_DFL);
  const sigset_t stop_signals = StopSignalSet();
  sigset_t original_mask;
  sigprocmask(SIG_BLOCK, &stop_signals, &original_mask);

  constexpr uint64_t kNamespaces =
      CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
  pid_t child = ForkInto(kNamespaces | (hand_over ? CLONE_PARENT : 0));
  if (child < 0) {
    auto failure = FailStepWithErrno("clone3 into new namespaces");
    sigprocmask(SIG_SETMASK, &original_mask, nullptr);
    return failure;
  }
  if (child > 0) {
    child_end.reset();
    if (!hand_over) Supervise(child, original_mask, parent_end);
    return HandOver(child, ready_fd, std::move(parent_end));
  }

  parent_end.reset();
  HandleStopSignals(hand_over ? SIG_IGN : ExitOnSignal);
  sigprocmask(SIG_UNBLOCK, &stop_signals, nullptr);
  if (max_threads > 0) {
    if (auto limited = LimitPids(outside_pids, max_threads); !limited) return limited;
  }
  return hand_over ? AwaitRelease(std::move(child_end)) : DieWithParent(std::move(child_end));
}

StepResult<void> SayReady(Fd ready) {
  constexpr std::string_view kLine = "ready\n";
  if (ready && write(ready.get(), kLine.data(), kLine.size()) < 0) return FailStepWithErrno("write to --ready-fd");
  return {};
}

}  // namespace lisafs
