#ifndef LISAFS_SECCOMP_POLICY_TESTING_H_
#define LISAFS_SECCOMP_POLICY_TESTING_H_

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <span>
#include <string>

#include "seccomp/policy.h"

namespace lisafs {

// How a forked child ends that runs `body`, which installs a policy at some point: "exit 0", "killed by SIGSYS", …
inline std::string OutcomeOf(const std::function<void()>& body) {
  pid_t pid = fork();
  if (pid == 0) {
    rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    body();
    _exit(0);
  }
  int status = 0;
  if (pid < 0 || waitpid(pid, &status, 0) != pid) return "no child";
  if (WIFEXITED(status)) return "exit " + std::to_string(WEXITSTATUS(status));
  return std::string("killed by SIG") + sigabbrev_np(WTERMSIG(status));
}
inline constexpr char kSurvived[] = "exit 0";
inline constexpr char kKilled[] = "killed by SIGSYS";

// Exits with a status that no outcome expects if the policy cannot be installed.
inline void InstallOrExit(const SeccompPolicy& policy) {
  if (auto installed = policy.Install(); !installed) {
    dprintf(STDERR_FILENO, "%s: %s\n", installed.error().what.c_str(), installed.error().error.ToString().c_str());
    _exit(99);
  }
}

// What a process under a policy tries with a file and a socket that it had before.
struct PolicyCase {
  const char* name;
  bool survives;
  void (*call)(int file, int socket);
};

inline std::string OutcomeUnder(const SeccompPolicy& policy, const PolicyCase& c) {
  return OutcomeOf([&] {
    const int file = memfd_create("file", MFD_CLOEXEC);
    int ends[2];
    if (file < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) _exit(1);
    InstallOrExit(policy);
    c.call(file, ends[0]);
  });
}

inline void ExpectOutcomes(const SeccompPolicy& policy, std::span<const PolicyCase> cases) {
  for (const PolicyCase& c : cases) {
    EXPECT_EQ(OutcomeUnder(policy, c), c.survives ? kSurvived : kKilled) << c.name;
  }
}

}  // namespace lisafs

#endif  // LISAFS_SECCOMP_POLICY_TESTING_H_
