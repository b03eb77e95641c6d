#ifndef LISAFS_GOFER_WATCHER_H_
#define LISAFS_GOFER_WATCHER_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "gofer/fanotify.h"
#include "gofer/self_fds.h"

namespace lisafs {

// Tells clients what others do to the directories that they watch. One for all connections of the process: a fanotify
// group, and a thread that reads it and writes to the clients' sockets. It waits for no client: one that does not read
// is told that something was lost as soon as it does.
//
//   auto watcher = Watcher::Create(self);  // With CAP_SYS_ADMIN, while there is one thread.
//   …                                      // Confinement.
//   (*watcher)->Start();
//   Watcher::Client client(**watcher);     // One for each connection.
class Watcher {
 public:
  // A directory that is watched takes about a kilobyte of the kernel's memory that is on nobody's bill. With one more,
  // all are given up and every client is told.
  static constexpr size_t kMaxWatches = 16384;

  // `self` outlives it.
  static StepResult<std::unique_ptr<Watcher>> Create(const SelfFds& self, size_t max_watches = kMaxWatches);
  ~Watcher();
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

  // The mount that `tree` is of, and no other, shows its files to a client: what that client writes to them by
  // descriptors is told to nobody, and what is told of them others did (HostChange::kByOthers). Before Start, with
  // CAP_SYS_ADMIN.
  StepResult<void> LeaveOutMount(int tree);

  // The descriptor that events are read from.
  int group_fd() const { return group_.fd(); }
  void Start();

  // One connection's part. The watcher outlives it. Any thread may call this.
  class Client {
   public:
    explicit Client(Watcher& watcher);
    ~Client();

    // The end that the client gets, a SOCK_SEQPACKET socket that it reads HostChanges from. A second one takes the
    // place of the first.
    Result<Fd> Subscribe();
    // Tells the client from now on what others do to fd's directory and what is in it, or to fd's regular file, calling
    // it `id`. ENOTCONN before Subscribe; EOPNOTSUPP where not every change can be seen.
    Status Watch(int fd, bool is_directory, uint64_t id);
    // The calling thread works for this client from now on, or no longer: what it does is no news.
    void ThreadBegins();
    void ThreadEnds();

   private:
    friend class Watcher;

    Watcher& watcher_;
    // Guarded by watcher_.mutex_:
    Fd socket_;
    bool lost_ = false;                         // It has not been told yet.
    bool unwatched_ = false;                    // Nor this.
    std::vector<std::byte> batch_;              // Not sent yet.
    std::unordered_set<std::string> in_batch_;  // Changes of files that need to be told once only.
  };

 private:
  // What one client calls a watched file.
  struct Interest {
    Client* client;
    uint64_t id;
    bool by_others;  // All that is told of it is done by others.
  };
  using Interests = std::vector<Interest>;

  Watcher(const SelfFds& self, FanotifyGroup group, Fd stop_read, Fd stop_write, size_t max_watches);

  void Run();
  // With the lock held.
  bool ReadEvents();
  void Tell(const HostEvent& event);
  void TellRename(const HostEvent& event, const Client* actor);
  void Add(Client& client, uint64_t id, uint16_t what, std::string_view name);
  void LoseEverything(bool unwatched);
  void Send(Client& client);
  bool SendAll();
  const Interests& InterestsIn(const FileKey& key) const;

  const SelfFds& self_;
  FanotifyGroup group_;
  const Fd stop_read_;
  Fd stop_write_;
  const size_t max_watches_;
  std::unordered_set<uint64_t> left_out_;  // Mounts. Does not change once it has started.
  std::thread thread_;

  std::mutex mutex_;
  // Guarded by mutex_:
  std::unordered_map<FileKey, Interests> watches_;
  std::unordered_map<pid_t, Client*> threads_;
  std::set<Client*> clients_;
};

}  // namespace lisafs

#endif  // LISAFS_GOFER_WATCHER_H_
