#ifndef LISAFS_GOFER_FILE_H_
#define LISAFS_GOFER_FILE_H_

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <utility>

#include "base/fd.h"
#include "base/result.h"
#include "broker/client.h"
#include "gofer/access_log.h"
#include "gofer/name.h"
#include "gofer/self_fds.h"
#include "gofer/watcher.h"
#include "lisafs/connection.h"
#include "lisafs/fd_table.h"
#include "lisafs/handler_table.h"
#include "lisafs/messages.h"
#include "lisafs/server.h"

// The host's files behind the FDs of a connection, and what several handlers do with them.

namespace lisafs {

// A control FD holds an O_PATH descriptor: it stands for the file, and has not opened it.
class HostControl final : public ControlFd {
 public:
  HostControl(FdBudget::Share share, NodeRef node, uint32_t file_type, Fd fd)
      : ControlFd(std::move(share), std::move(node), file_type), fd_(std::move(fd)) {}
  int fd() const { return fd_.get(); }

 private:
  const Fd fd_;
};

// An open FD holds a descriptor of the file with the access mode that was asked for.
class HostOpen final : public OpenFd {
 public:
  HostOpen(FdBudget::Share share, std::shared_ptr<HostControl> control, Fd fd, int flags)
      : OpenFd(std::move(share), std::move(control)), fd_(std::move(fd)), flags_(flags) {}
  int fd() const { return fd_.get(); }
  bool readable() const;
  bool writable() const;
  // To be held while a directory's position is used: requests on several lanes may list it at once.
  std::mutex& position() { return position_; }
  // The file's registration with the client's FUSE file system, made by `make` when it is first asked for. It goes with
  // this FD.
  template <typename Make>
  Result<uint32_t> BackingId(Make&& make) {
    std::lock_guard lock(backing_mutex_);
    if (!backing_) {
      LISAFS_ASSIGN_OR_RETURN(Backing made, make());
      backing_.emplace(std::move(made));
    }
    return backing_->id();
  }

 private:
  const Fd fd_;
  const int flags_;  // O_ACCMODE of open(2).
  std::mutex position_;
  std::mutex backing_mutex_;
  std::optional<Backing> backing_;  // Guarded by backing_mutex_.
};

// A socket that is bound to a file.
class HostBoundSocket final : public BoundSocketFd {
 public:
  HostBoundSocket(FdBudget::Share share, std::shared_ptr<HostControl> control, Fd fd)
      : BoundSocketFd(std::move(share), std::move(control)), fd_(std::move(fd)) {}
  int fd() const { return fd_.get(); }

 private:
  const Fd fd_;
};

// How a mount's client may talk to programs of the host. Nothing of it is needed to see FIFOs and sockets, nor to make
// them for the client's own kernel.
struct HostPolicy {
  bool open_sockets = false;    // Connect, ConnectWithCreds.
  bool create_sockets = false;  // BindAt, Listen, Accept.
  bool open_fifos = false;      // OpenAt.
};

// The way to register files with the client's FUSE file system; without a broker there is none.
struct HostPassthrough {
  BrokerClient* broker = nullptr;  // Outlives the mount.
  uint32_t mount = 0;              // Which of the broker's file systems it is.
};

// Where it is noted what the mount is asked for.
struct HostRecording {
  AccessLog* log = nullptr;  // Outlives the mount. Null: nowhere.
  uint16_t mount = 0;        // Which of the log's mounts it is.
};

// A host tree that a connection serves: a directory with all that is below it, or a single file.
class HostMount final : public MountPoint {
 public:
  // `tree` may be O_PATH. `self` and `watcher` outlive the mount.
  HostMount(Server& server, const SelfFds& self, Fd tree, const HostPolicy& policy = {},
            const HostPassthrough& passthrough = {}, Watcher* watcher = nullptr, const HostRecording& recording = {})
      : MountPoint(server),
        self_(self),
        tree_(std::move(tree)),
        policy_(policy),
        passthrough_(passthrough),
        recording_(recording) {
    if (watcher != nullptr) watcher_.emplace(*watcher);
  }

  Result<Root> OpenRoot(FdBudget::Share share) override;
  Result<Fd> OpenRootForClient() override;
  void ThreadBegins() override {
    if (watcher_) watcher_->ThreadBegins();
  }
  void ThreadEnds() override {
    if (watcher_) watcher_->ThreadEnds();
  }
  void Record(Connection& connection, Mid mid, const Call& call, const Result<size_t>& result) override {
    if (recording_.log != nullptr) recording_.log->Note(recording_.mount, connection, mid, call, result);
  }
  const SelfFds& self() const { return self_; }
  const HostPolicy& policy() const { return policy_; }
  // Null if the client is not told of others' changes.
  Watcher::Client* watcher() { return watcher_ ? &*watcher_ : nullptr; }

  // Registers a regular file. EOPNOTSUPP without a broker.
  Result<Backing> OpenBacking(int fd);
  // Whether the client wants the descriptors of the regular files that it opens.
  bool donates() const { return donates_.load(std::memory_order_relaxed); }
  void set_donates(bool donates) { donates_.store(donates, std::memory_order_relaxed); }

 private:
  const SelfFds& self_;
  const Fd tree_;
  const HostPolicy policy_;
  const HostPassthrough passthrough_;
  const HostRecording recording_;
  std::optional<Watcher::Client> watcher_;
  std::atomic<bool> donates_ = true;
};

// The connection's mount, and what it knows.
HostMount& MountOf(Connection& connection);
const SelfFds& Self(Connection& connection);
const HostPolicy& Policy(Connection& connection);

// The attributes of fd's file, which may be O_PATH; of `name` in the directory, not following a link.
Result<Statx> StatFd(int fd);
Result<Statx> StatName(int directory, const char* name);

// A control FD not yet given to the client, and its attributes.
struct NewControl {
  std::shared_ptr<HostControl> control;
  Statx stat;
};
// `name` in `directory`, whatever its type. The caller holds the directory's op lock.
Result<NewControl> OpenChild(Connection& connection, FdBudget::Share share, HostControl& directory, const Name& name);
// The same for a child that the caller has opened (O_PATH).
NewControl AdoptChild(Connection& connection, FdBudget::Share share, HostControl& directory, const Name& name, Fd child,
                      const Statx& stat);
// Gives it to the client.
Inode Issue(Connection& connection, NewControl&& made);

// A second descriptor of fd's file, for the client.
Result<Fd> Duplicate(int fd);
// Gives the client an open regular file's descriptor with the response, if the connection is to and the client wants
// it.
void DonateRegular(Connection& connection, const std::shared_ptr<HostOpen>& open, Call& call);

// A directory in which names are about to be made or removed.
struct LockedDirectory {
  std::shared_ptr<HostControl> control;
  std::unique_lock<std::shared_mutex> lock;
  int fd() const { return control->fd(); }
};
// EBADF, EINVAL, ENOTDIR; EINVAL if it has been deleted.
Result<LockedDirectory> LockDirectory(Connection& connection, Fdid fd);

// Gives a new file to its owner; kNoId leaves an id as the host chose it. `stat` is what the file was made with, `mode`
// what the client asked for: set-id bits that chown(2) or mkdir(2) took away are set again. Returns the file's
// attributes.
Result<Statx> SetNewOwner(const SelfFds& self, int fd, Statx stat, uint32_t uid, uint32_t gid, uint32_t mode);

}  // namespace lisafs

#endif  // LISAFS_GOFER_FILE_H_
