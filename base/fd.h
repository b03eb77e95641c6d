#ifndef LISAFS_BASE_FD_H_
#define LISAFS_BASE_FD_H_

#include <errno.h>
#include <unistd.h>

#include <utility>

namespace lisafs {

// Owns a file descriptor: closes it when it goes. Movable, not copyable. A descriptor that travels without an owner is
// a leak waiting for an early return, so functions take and give Fd; they take a plain int only to look at a descriptor
// somebody else owns.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~Fd() { reset(); }

  // The descriptor, or -1 for none.
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  explicit operator bool() const { return valid(); }

  // Gives the descriptor up: the caller closes it.
  int release() { return std::exchange(fd_, -1); }

  // Closes what is held, if anything, and holds `fd` instead. Keeps errno.
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

inline void Fd::reset(int fd) {
  if (fd_ >= 0) {
    int saved = errno;
    close(fd_);
    errno = saved;
  }
  fd_ = fd;
}

}  // namespace lisafs

#endif  // LISAFS_BASE_FD_H_
