#ifndef LISAFS_LISAFS_WINDOW_FILE_H_
#define LISAFS_LISAFS_WINDOW_FILE_H_

#include <cstdint>
#include <mutex>

#include "base/fd.h"
#include "base/result.h"

namespace lisafs {

// A connection's shared-memory file of packet windows, as the server makes it and donates it with every channel.
//
// It is sealed against shrinking, so that neither side can make the other fault, and against further seals. The client
// may still grow it or punch holes into it, which is harmless. Windows are not given back while the connection lives.
class WindowFile {
 public:
  static Result<WindowFile> Create();
  WindowFile(WindowFile&& other) noexcept : fd_(std::move(other.fd_)), next_(other.next_) {}

  int fd() const { return fd_.get(); }

  struct Window {
    int64_t offset;
    uint64_t length;
  };
  // The file's next `length` bytes, a multiple of the page size. From any thread.
  Result<Window> Allocate(uint64_t length);

 private:
  explicit WindowFile(Fd fd) : fd_(std::move(fd)) {}

  Fd fd_;
  std::mutex mutex_;
  uint64_t next_ = 0;  // Guarded by mutex_.
};

}  // namespace lisafs

#endif  // LISAFS_LISAFS_WINDOW_FILE_H_
