#ifndef LISAFS_TESTS_CONFINEMENT_TRACED_PROGRAM_H_
#define LISAFS_TESTS_CONFINEMENT_TRACED_PROGRAM_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace lisafs::tests {

struct SystemCall {
  pid_t pid;
  uint64_t number;
  uint64_t args[6];
};

// A program that runs under ptrace with everything it starts, and stops before each system call of any of them. It
// inherits the descriptors that are not close-on-exec. The test must have no other children, and one thread.
class TracedProgram {
 public:
  explicit TracedProgram(const std::vector<std::string>& argv);
  TracedProgram(const TracedProgram&) = delete;
  TracedProgram& operator=(const TracedProgram&) = delete;
  ~TracedProgram();  // Kills what is left.

  // Lets it run until a process is about to make a call that `wanted` wants, which then waits. Nothing if all ended.
  std::optional<SystemCall> RunUntil(const std::function<bool(const SystemCall&)>& wanted);

  // Has the waiting process make another call instead, with arguments of 0, and lets everything run until that process
  // ends. Gives its wait status, or -1 if it makes yet another call: it survived.
  int MakeInstead(const SystemCall& waiting, uint64_t number);

 private:
  std::vector<pid_t> live_;
  pid_t waiting_ = 0;
};

}  // namespace lisafs::tests

#endif  // LISAFS_TESTS_CONFINEMENT_TRACED_PROGRAM_H_
