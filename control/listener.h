#ifndef LISAFS_CONTROL_LISTENER_H_
#define LISAFS_CONTROL_LISTENER_H_

#include <sys/stat.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "base/fd.h"
#include "control/caller.h"

namespace lisafs {

// A unix stream socket at a path. Who is not welcome is disconnected before a byte is read.
class Listener {
 public:
  // Takes a thread of its own, on which each connection of somebody with a role is given, non-blocking, to `accepted`.
  // A socket that nobody listens on any more is replaced, so two processes must not do this at the same time for one
  // path. Its owner alone may connect, and the group of readers if there is one.
  //
  // FAILED_PRECONDITION: somebody listens there, it is no socket, or others than root could put another there.
  static absl::StatusOr<std::unique_ptr<Listener>> Open(const std::string& path, const AccessRules& rules,
                                                        std::function<void(Fd)> accepted);

  // The same for a socket that listens already and is its starter's: its path stays as it is.
  static absl::StatusOr<std::unique_ptr<Listener>> Adopt(Fd socket, const AccessRules& rules,
                                                         std::function<void(Fd)> accepted);

  // Removes a path that it made, unless it has become somebody else's.
  ~Listener();

  const std::string& path() const { return path_; }

 private:
  Listener(std::string path, AccessRules rules, Fd socket, Fd stop, std::function<void(Fd)> accepted);

  void Start();
  void Run();
  // Whether the other side may use the control plane; says in the log if not.
  bool IsWelcome(const Fd& connection) const;

  const std::string path_;
  const AccessRules rules_;
  const Fd socket_;
  const Fd stop_;  // An eventfd.
  const std::function<void(Fd)> accepted_;
  struct stat identity_ = {};  // Of the path that was made; none otherwise.
  std::thread thread_;
};

}  // namespace lisafs

#endif  // LISAFS_CONTROL_LISTENER_H_
