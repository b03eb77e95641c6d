#ifndef LISAFS_TESTS_CONFINEMENT_CALL_WATCHER_H_
#define LISAFS_TESTS_CONFINEMENT_CALL_WATCHER_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "seccomp/policy.h"

namespace lisafs::tests {

// Sees which rules of its policy a running process makes use of: it is traced, by a child of the test, from
// construction to destruction, with all threads that it has and makes. It is a good deal slower meanwhile.
class CallWatcher {
 public:
  // `policy` is the process's, which is past its set-up. A failure to trace it fails the running test.
  CallWatcher(pid_t pid, const SeccompPolicy& policy);
  CallWatcher(const CallWatcher&) = delete;
  CallWatcher& operator=(const CallWatcher&) = delete;
  ~CallWatcher();

  // Rules that no call so far has matched, as "fcntl (1: F_SETFL; 2: O_NONBLOCK)".
  std::vector<std::string> Unused() const;
  // Calls seen that no rule matches, by name: that the process lives on means that it is under another policy.
  std::vector<std::string> Unmatched() const;

 private:
  struct Seen;

  const std::vector<SeccompPolicy::Rule> rules_;
  Seen* seen_;  // Shared with the child.
  pid_t tracer_ = -1;
};

// "fcntl (1: F_SETFL; 2: O_NONBLOCK)"; "brk".
std::string RuleName(const SeccompPolicy::Rule& rule);

}  // namespace lisafs::tests

#endif  // LISAFS_TESTS_CONFINEMENT_CALL_WATCHER_H_
