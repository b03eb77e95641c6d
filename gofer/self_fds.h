#ifndef LISAFS_GOFER_SELF_FDS_H_
#define LISAFS_GOFER_SELF_FDS_H_

#include <sys/types.h>

#include "base/fd.h"
#include "base/result.h"

namespace lisafs {

// The name that a descriptor has in /proc/self/fd: a link that leads to the descriptor's very file, whatever has
// happened to the file's own name since.
class FdName {
 public:
  explicit FdName(int fd);
  const char* c_str() const { return text_; }

 private:
  char text_[12];
};

// The directory /proc/self/fd: the way to do to a descriptor's file what Linux has no call on descriptors for, or none
// on O_PATH descriptors. Every file that the gofer holds is O_PATH until a client opens it, so that walking over a file
// needs no permission on it and has no effect on it. Any thread may call any of these.
class SelfFds {
 public:
  // `directory` is this process's. It becomes the working directory, so that the *xattr calls, which take only paths,
  // can be given an FdName.
  static StepResult<SelfFds> Make(Fd directory);

  int fd() const { return directory_.get(); }

  // A new descriptor of fd's file. Never waits: O_NONBLOCK and O_CLOEXEC are added.
  Result<Fd> Reopen(int fd, int flags) const;
  // ELOOP or EOPNOTSUPP on a symbolic link.
  Status Chmod(int fd, mode_t mode) const;
  // A hard link to fd's file, also to a symbolic link.
  Status Link(int fd, int directory, const char* name) const;

 private:
  explicit SelfFds(Fd directory) : directory_(std::move(directory)) {}
  Fd directory_;
};

}  // namespace lisafs

#endif  // LISAFS_GOFER_SELF_FDS_H_
