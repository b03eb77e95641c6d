#ifndef LISAFS_SANDBOX_PROGRAM_LOG_H_
#define LISAFS_SANDBOX_PROGRAM_LOG_H_

#include <stddef.h>

#include <string>

#include "absl/status/statusor.h"
#include "base/fd.h"

namespace lisafs {

// A file with what a program said, which the program cannot make larger than kMaxLogBytes: it writes to a FIFO, and its
// starter moves what it wrote to the file. The FIFO holds what is written while nobody does, and never lets the program
// wait; what finds no room is lost. Not thread-safe.
//
//   PATH        the file
//   PATH.fifo   the FIFO
class ProgramLog {
 public:
  static constexpr size_t kMaxLogBytes = 64 << 10;

  // New and empty.
  static absl::StatusOr<ProgramLog> Create(const std::string& path);
  // One that was created, to go on with.
  static absl::StatusOr<ProgramLog> Open(const std::string& path);

  // For the program's stdout and stderr.
  absl::StatusOr<Fd> OpenForProgram() const;

  // Readable when there is something to collect; -1 once the file is full.
  int fd() const { return fifo_.get(); }
  // Moves what was said to the file. Does not wait.
  void Collect();
  // The last line of the file, printable; "" if it is empty.
  std::string LastLine() const;

 private:
  ProgramLog(std::string path, Fd file, Fd fifo, size_t room)
      : path_(std::move(path)), file_(std::move(file)), fifo_(std::move(fifo)), room_(room) {}

  static absl::StatusOr<ProgramLog> OpenFiles(const std::string& path, int flags);

  std::string path_;
  Fd file_;
  Fd fifo_;
  size_t room_;  // For what the program says.
};

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_PROGRAM_LOG_H_
