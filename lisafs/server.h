#ifndef LISAFS_LISAFS_SERVER_H_
#define LISAFS_LISAFS_SERVER_H_

#include <errno.h>

#include <memory>
#include <utility>

#include "base/fd.h"
#include "base/result.h"
#include "lisafs/fd_table.h"
#include "lisafs/handler_table.h"
#include "lisafs/messages.h"
#include "lisafs/node.h"

// A LISAFS server, in three parts:
//   Server      what all connections share: the handlers and the node tree.
//   MountPoint  one mounted tree; an implementation derives from it.
//   Connection  one client (connection.h).

namespace lisafs {

struct Server {
  HandlerTable handlers;  // Complete before the first connection serves.
  NodeTree tree;
};

// What a connection is allowed to ask for. Shared by connections that serve the same mount; outlives them.
class MountPoint {
 public:
  explicit MountPoint(Server& server) : tree_(server.tree), root_(server.tree.MakeRoot()) {}
  virtual ~MountPoint() = default;
  MountPoint(const MountPoint&) = delete;
  MountPoint& operator=(const MountPoint&) = delete;

  struct Root {
    std::shared_ptr<ControlFd> control;
    Statx stat;
  };
  // A new control FD for the mount's root. From any thread.
  virtual Result<Root> OpenRoot(FdBudget::Share share) = 0;

  // The host's descriptor of the root, to be given to the client (Connection::Options::donate_mount_point). From any
  // thread.
  virtual Result<Fd> OpenRootForClient() { return Fail(EOPNOTSUPP); }

  // Notes what was asked for and what became of it, while the live policy says so. The request is one that decodes, or
  // the result is an error. From any thread.
  virtual void Record(Connection& /*connection*/, Mid /*mid*/, const Call& /*call*/, const Result<size_t>& /*result*/) {
  }

  // A thread begins, and stops, to work for the connection. Called on it.
  virtual void ThreadBegins() {}
  virtual void ThreadEnds() {}

  const Node& root_node() const { return *root_; }

 protected:
  NodeRef root() const { return tree_.Copy(*root_); }

 private:
  NodeTree& tree_;
  const NodeRef root_;
};

}  // namespace lisafs

#endif  // LISAFS_LISAFS_SERVER_H_
