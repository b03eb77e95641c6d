#ifndef LISAFS_CONTROL_LISTENER_H_
#define LISAFS_CONTROL_LISTENER_H_

#include <sys/stat.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "base/fd.h"

namespace lisafs {

// A unix stream socket at a path, for root and the user that this process runs as: whoever else connects is
// disconnected before a byte is read.
class Listener {
 public:
  // Takes a thread of its own, on which each connection, non-blocking, is given to `accepted`. A socket that nobody
  // listens on any more is replaced, so two processes must not do this at the same time for one path.
  //
  // FAILED_PRECONDITION: somebody listens there, or it is no socket.
  static absl::StatusOr<std::unique_ptr<Listener>> Open(const std::string& path, std::function<void(Fd)> accepted);

  // Removes the path, unless it has become somebody else's.
  ~Listener();

 private:
  Listener(std::string path, Fd socket, Fd stop, std::function<void(Fd)> accepted);

  void Run();

  const std::string path_;
  const Fd socket_;
  const Fd stop_;  // An eventfd.
  const std::function<void(Fd)> accepted_;
  struct stat identity_ = {};  // Of the path, when it was ours.
  std::thread thread_;
};

}  // namespace lisafs

#endif  // LISAFS_CONTROL_LISTENER_H_
