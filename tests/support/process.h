#ifndef LISAFS_TESTS_SUPPORT_PROCESS_H_
#define LISAFS_TESTS_SUPPORT_PROCESS_H_

#include <sys/types.h>

#include <chrono>
#include <ostream>
#include <string>
#include <vector>

#include "base/fd.h"
#include "tests/support/files.h"

// Running other programs from a test. The first call makes the test process the reaper of everything it starts,
// directly or not (PR_SET_CHILD_SUBREAPER): daemons and containers come to it when their parents go, and are reaped as
// init would. A test that uses this must not call wait() itself.

namespace lisafs::tests {

struct RunOptions {
  std::string input;                     // What it reads from standard input.
  std::vector<std::string> environment;  // "NAME=value", in addition to the test's own.
  std::string directory;                 // Working directory; empty: the test's own.
  std::chrono::milliseconds timeout = kPatience;
};

// How a program ended and what it said.
struct Ran {
  int status = -1;  // Exit status; 128 + signal if it was killed; 127 if it could not be started.
  bool timed_out = false;
  std::string out;
  std::string err;
  bool ok() const { return status == 0 && !timed_out; }
};
std::ostream& operator<<(std::ostream& stream, const Ran& ran);

// A program that runs beside the test, in a process group of its own. Its output goes to memory and not through a pipe:
// what it leaves running in the background may keep it open.
class Process {
 public:
  Process(const std::vector<std::string>& argv, const RunOptions& options);
  Process(Process&& other) noexcept;
  Process& operator=(Process&&) = delete;
  ~Process();  // Kills it if it still runs.

  pid_t pid() const { return pid_; }
  std::string out() const;  // So far.
  std::string err() const;
  void Signal(int signal);

  // Waits at most for the time-out given; kills its process group if that is over.
  Ran Wait(std::chrono::milliseconds timeout = kPatience);

 private:
  pid_t pid_ = -1;
  Fd out_;
  Fd err_;
  std::string start_error_;
};

// Starts it and waits for it.
Ran RunProgram(const std::vector<std::string>& argv, const RunOptions& options = {});

// A living process that the test, or something that the test started, has started.
struct Descendant {
  pid_t pid = 0;
  std::string name;
  std::string command_line;
};
std::ostream& operator<<(std::ostream& stream, const Descendant& descendant);
std::vector<Descendant> Descendants();

}  // namespace lisafs::tests

#endif  // LISAFS_TESTS_SUPPORT_PROCESS_H_
