#ifndef LISAFS_SANDBOX_LAUNCHER_H_
#define LISAFS_SANDBOX_LAUNCHER_H_

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "base/fd.h"
#include "sandbox/process.h"
#include "sandbox/program_log.h"

// Starts lisafs-gofer, lisafs-plugin and lisafs-broker, which go on as a child of whoever started them and say on a
// pipe when they are ready (docs/architecture.md, "What the processes are told").
//
//   Command command("/usr/bin/lisafs-gofer");
//   command.Add("--counters");
//   command.Add(absl::StrCat(command.Give(std::move(counters))));
//   ASSIGN(Launch launch, Launch::Spawn(std::move(command), log));
//   ASSIGN(Process gofer, launch.AwaitReady(deadline, cancelled));

namespace lisafs {

// A program with its arguments and the descriptors it inherits: those and no others.
class Command {
 public:
  explicit Command(std::string path) : path_(std::move(path)) {}

  void Add(std::string argument) { arguments_.push_back(std::move(argument)); }

  // Hands a descriptor over; gives the number it will have in the program. It is closed here once the program runs.
  int Give(Fd fd);

 private:
  friend class Launch;

  std::string path_;
  std::vector<std::string> arguments_;
  std::vector<Fd> descriptors_;
};

// A program that was started and is not known to be ready. If this goes before it is, the program is killed and reaped.
class Launch {
 public:
  // Starts the program, with --ready-fd added to its arguments, an empty environment and "/" as working directory. What
  // it writes goes to `log`, which must outlive the Launch.
  static absl::StatusOr<Launch> Spawn(Command command, ProgramLog& log);

  Launch(Launch&& other) noexcept;
  Launch& operator=(Launch&&) = delete;
  ~Launch();

  // The process that was started, which is not the one that lasts.
  pid_t first_pid() const { return first_->pid(); }

  // Waits until the program is ready and gives its lasting process. `cancelled` is asked again and again meanwhile.
  //
  // FAILED_PRECONDITION: it ended, or was not ready before the deadline; the message carries the last line it wrote.
  // CANCELLED: `cancelled` said so.
  absl::StatusOr<Process> AwaitReady(std::chrono::steady_clock::time_point deadline,
                                     absl::FunctionRef<bool()> cancelled);

 private:
  Launch(Process first, Fd ready, ProgramLog* log) : first_(std::move(first)), ready_(std::move(ready)), log_(log) {}

  // Reads which process the program goes on as: lasting_.
  absl::Status ReadPid(std::chrono::steady_clock::time_point deadline, absl::FunctionRef<bool()> cancelled);
  // The next line that the program wrote to the ready pipe.
  absl::StatusOr<std::string> ReadLine(std::chrono::steady_clock::time_point deadline,
                                       absl::FunctionRef<bool()> cancelled);

  std::optional<Process> first_;    // What was spawned, until it is reaped.
  std::optional<Process> lasting_;  // What goes on, until it is handed over.
  Fd ready_;
  ProgramLog* log_;
  std::string received_;
};

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_LAUNCHER_H_
