#include "lisafs/window_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace lisafs {

Result<WindowFile> WindowFile::Create() {
  Fd fd(memfd_create("flipcall_packet_windows", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return FailWithErrno();
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL) != 0) return FailWithErrno();
  return WindowFile(std::move(fd));
}

Result<WindowFile::Window> WindowFile::Allocate(uint64_t length) {
  std::lock_guard lock(mutex_);
  uint64_t end;
  if (__builtin_add_overflow(next_, length, &end) || end > INT64_MAX) return Fail(ENOMEM);
  // A byte at the window's end: unlike ftruncate this never means to shrink, however much the client has grown the
  // file.
  const char zero = 0;
  if (pwrite(fd_.get(), &zero, 1, static_cast<off_t>(end - 1)) != 1) return FailWithErrno();
  Window window{static_cast<int64_t>(next_), length};
  next_ = end;
  return window;
}

}  // namespace lisafs
