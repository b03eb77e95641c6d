#include "sandbox/program_log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <string_view>

#include "base/escape.h"
#include "base/status.h"

namespace lisafs {
namespace {

constexpr std::string_view kFull = "\nThe log is full, nothing more is kept.\n";
// For what the program says.
constexpr size_t kMaxSaid = ProgramLog::kMaxLogBytes - kFull.size();

std::string FifoPath(const std::string& path) { return path + ".fifo"; }

// A description of one's own: what the program sets on its own does not make the other side wait. With both ends open
// on either side, nobody finds the FIFO without a reader or a writer.
absl::StatusOr<Fd> OpenFifo(const std::string& path) {
  Fd fifo(open(FifoPath(path).c_str(), O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
  if (!fifo) return ErrnoStatus(errno, FifoPath(path));
  return fifo;
}

// Nothing can be done about a file that takes no more.
void Append(const Fd& file, std::string_view text) {
  if (write(file.get(), text.data(), text.size()) < 0) return;
}

}  // namespace

absl::StatusOr<ProgramLog> ProgramLog::Create(const std::string& path) {
  if (mkfifo(FifoPath(path).c_str(), 0600) != 0) return ErrnoStatus(errno, FifoPath(path));
  return OpenFiles(path, O_CREAT | O_EXCL);
}

absl::StatusOr<ProgramLog> ProgramLog::Open(const std::string& path) { return OpenFiles(path, 0); }

absl::StatusOr<ProgramLog> ProgramLog::OpenFiles(const std::string& path, int flags) {
  Fd file(open(path.c_str(), O_RDWR | O_APPEND | O_NOFOLLOW | O_CLOEXEC | flags, 0600));
  struct stat stat;
  if (!file || fstat(file.get(), &stat) != 0) return ErrnoStatus(errno, path);
  auto fifo = OpenFifo(path);
  if (!fifo.ok()) return fifo.status();
  size_t room = kMaxSaid - std::min(static_cast<size_t>(stat.st_size), kMaxSaid);
  if (room == 0) fifo->reset();
  return ProgramLog(path, std::move(file), *std::move(fifo), room);
}

absl::StatusOr<Fd> ProgramLog::OpenForProgram() const { return OpenFifo(path_); }

void ProgramLog::Collect() {
  char bytes[4096];
  while (fifo_) {
    ssize_t size = read(fifo_.get(), bytes, std::min(sizeof bytes, room_));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return;
    Append(file_, std::string_view(bytes, size));
    room_ -= size;
    if (room_ > 0) continue;
    Append(file_, kFull);
    fifo_.reset();
  }
}

std::string ProgramLog::LastLine() const {
  struct stat stat;
  if (fstat(file_.get(), &stat) != 0) return "";
  char tail[2048];
  off_t start = std::max<off_t>(0, stat.st_size - static_cast<off_t>(sizeof tail));
  ssize_t size = pread(file_.get(), tail, sizeof tail, start);
  if (size <= 0) return "";
  std::string_view text(tail, size);
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  return Escape(text.substr(text.rfind('\n') + 1));
}

}  // namespace lisafs
