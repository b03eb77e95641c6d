// lisafs-gofer: serves host files over LISAFS to clients that it does not trust. docs/architecture.md has its command
// line; docs/security.md says what it is left with once it is confined.

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/program.h"
#include "base/result.h"
#include "base/shared_page.h"
#include "broker/client.h"
#include "confine/confine.h"
#include "gofer/access_log.h"
#include "gofer/arguments.h"
#include "gofer/file.h"
#include "gofer/handlers.h"
#include "gofer/host_tree.h"
#include "gofer/self_fds.h"
#include "gofer/watcher.h"
#include "lisafs/connection.h"
#include "lisafs/counters.h"
#include "lisafs/live_policy.h"
#include "lisafs/server.h"
#include "lisafs/spin.h"
#include "seccomp/gofer_policy.h"

namespace lisafs {
namespace {

// The gofer watches a channel this long before it sleeps: a client with more to ask asks within it.
constexpr SpinPolicy kSpin = {.microseconds = 100};

// Descriptors that are not the clients' to use up: the process's own, and a connection's, which are its socket, its
// tree, its windows and what its lanes hold for the time of a request.
constexpr int64_t kOwnFds = 32;
constexpr int64_t kFdsPerConnection = 32;
// What busy mounts come to hold; 64 KiB of the kernel's memory.
constexpr int kRoomForFds = 8192;

// Threads: a connection's lanes, each with one more while it connects a socket as somebody else; and some.
constexpr int kOwnThreads = 16;
constexpr int kThreadsPerConnection = 2 * kMaxLanes + 2;
// Bytes of memory of its own: stacks are a thread's largest, names and nodes a descriptor's.
constexpr uint64_t kOwnMemory = uint64_t{512} << 20;
constexpr uint64_t kMemoryPerConnection = uint64_t{128} << 20;
constexpr uint64_t kMemoryPerFd = 4096;

struct Served {
  GoferArguments::Mount arguments;
  Fd connection;
  Fd tree;
  bool is_directory = false;
};

GoferArguments ParseOrExit(int argc, char** argv) {
  auto arguments = ParseGoferArguments(argc, argv);
  if (!arguments) {
    PrintError(arguments.error().what, arguments.error().why);
    exit(kExitUsage);
  }
  if (!arguments->only_print.empty()) {
    fputs(arguments->only_print.c_str(), stdout);
    exit(kExitSuccess);
  }
  return std::move(*arguments);
}

std::vector<Served> OpenTrees(const GoferArguments& arguments) {
  std::vector<Served> all;
  for (const auto& mount : arguments.mounts) {
    Served served = {.arguments = mount, .connection = Fd(mount.connection), .tree = Fd(mount.tree)};
    if (!served.tree) {
      auto tree = OpenHostTree(mount.directory, mount.read_only);
      if (!tree) Die(mount.directory, tree.error().what + ": " + tree.error().error.ToString());
      served.tree = std::move(*tree);
    }
    struct stat stat;
    if (fstat(served.tree.get(), &stat) != 0) DieErrno("a mount's tree");
    served.is_directory = S_ISDIR(stat.st_mode);
    all.push_back(std::move(served));
  }
  return all;
}

// The page that everything is counted in: the file `fd`, which is closed, or memory of our own.
CountersPage& MapCounters(int fd) {
  const Fd file(fd);
  if (!file) {
    void* memory = mmap(nullptr, sizeof(CountersPage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) DieErrno("memory for the counters");
    return *static_cast<CountersPage*>(memory);
  }
  auto page = MapSharedPage<CountersPage>(file);
  if (!page) Die("--counters", page.error().ToString());
  if ((*page)->magic != kCountersMagic || (*page)->version != kCountersVersion) {
    Die("--counters", "the file is not of this version");
  }
  return **page;
}

// What restricts the mounts while they are served: the file `fd`, which is closed, or nothing.
const LivePolicyPage* MapPolicy(int fd) {
  Fd file(fd);
  return file ? OrDie(MapLivePolicy(file)) : nullptr;
}

std::vector<int> InheritedFds(const std::vector<Served>& all, const GoferArguments& arguments) {
  std::vector<int> fds;
  for (const Served& served : all) {
    fds.push_back(served.connection.get());
    fds.push_back(served.tree.get());
  }
  for (int fd : {arguments.broker_fd, arguments.ready_fd, arguments.lifeline_fd, arguments.user_namespace_fd}) {
    if (fd >= 0) fds.push_back(fd);
  }
  return fds;
}

// Whether a mount has the option.
bool Any(const std::vector<Served>& all, bool GoferArguments::Mount::*option) {
  return std::any_of(all.begin(), all.end(), [&](const Served& served) { return served.arguments.*option; });
}

bool AllReadOnly(const std::vector<Served>& all) {
  return std::all_of(all.begin(), all.end(), [](const Served& served) { return served.arguments.read_only; });
}

std::vector<int> NeededCapabilities(const std::vector<Served>& all) {
  const bool connects = Any(all, &GoferArguments::Mount::uds_open);
  std::vector<int> needed = {CAP_DAC_READ_SEARCH};
  // File capabilities among them: whoever may make a program set-user-id root can do no more with those.
  if (!AllReadOnly(all)) needed.insert(needed.end(), {CAP_CHOWN, CAP_FOWNER, CAP_FSETID, CAP_SETFCAP});
  // To connect to a socket takes the right to write to it.
  if (!AllReadOnly(all) || connects) needed.push_back(CAP_DAC_OVERRIDE);
  // ConnectWithCreds.
  if (connects) needed.insert(needed.end(), {CAP_SETUID, CAP_SETGID});
  return needed;
}

uint64_t MaxMemory(size_t mounts) {
  rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) DieErrno("the limit of open files");
  return kOwnMemory + mounts * kMemoryPerConnection + files.rlim_max * kMemoryPerFd;
}

std::vector<FileAccess> ServedTrees(const std::vector<Served>& all) {
  std::vector<FileAccess> trees;
  for (const Served& served : all) trees.push_back({served.tree.get(), served.arguments.read_only});
  return trees;
}

// What each mount may hold of the process's descriptors, in the order of `all`. A single file needs few.
std::vector<int64_t> DivideFds(const std::vector<Served>& all) {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) DieErrno("the limit of open files");
  auto weight = [](const Served& served) { return served.is_directory ? 8 : 1; };
  int64_t weights = 0;
  for (const Served& served : all) weights += weight(served);
  int64_t own = kOwnFds + kFdsPerConnection * static_cast<int64_t>(all.size());
  int64_t left = static_cast<int64_t>(limit.rlim_cur) - own;
  if (left < weights) Die("the limit of open files", "too low for the number of mounts");
  std::vector<int64_t> shares;
  for (const Served& served : all) shares.push_back(left * weight(served) / weights);
  return shares;
}

// Tells clients what others change; null if no mount wants that, or the host does not have it: they do without.
std::unique_ptr<Watcher> MakeWatcher(const std::vector<Served>& all, const SelfFds& self) {
  if (!Any(all, &GoferArguments::Mount::watch)) return nullptr;
  auto watcher = Watcher::Create(self);
  if (!watcher) {
    PrintError(watcher.error().what, watcher.error().error.ToString());
    return nullptr;
  }
  for (const Served& served : all) {
    if (!served.arguments.watch || !served.arguments.alone) continue;
    auto left_out = (*watcher)->LeaveOutMount(served.tree.get());
    if (!left_out) PrintError(left_out.error().what, left_out.error().error.ToString());
  }
  return std::move(*watcher);
}

// Returns when all connections have ended.
void ServeAll(std::vector<Served> all, const std::vector<int64_t>& max_fds, const SelfFds& self, CountersPage& counters,
              const LivePolicyPage* policy, BrokerClient* broker, Watcher* watcher) {
  Server server;
  ServeHostFiles(server.handlers);
  if (broker != nullptr) ServeBacking(server.handlers);
  if (watcher != nullptr) {
    ServeWatching(server.handlers);
    watcher->Start();
  }
  AccessLog accesses(counters.accesses);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < all.size(); ++i) {
    threads.emplace_back([&, i] {
      Served& served = all[i];
      HostMount mount(server, self, std::move(served.tree),
                      {.open_sockets = served.arguments.uds_open,
                       .create_sockets = served.arguments.uds_create,
                       .open_fifos = served.arguments.fifo},
                      {.broker = served.arguments.passthrough ? broker : nullptr, .mount = static_cast<uint32_t>(i)},
                      served.arguments.watch ? watcher : nullptr,
                      {.log = &accesses, .mount = static_cast<uint16_t>(i)});
      Connection connection(server, mount, std::move(served.connection),
                            {.read_only = served.arguments.read_only,
                             .donate_regular_files = served.arguments.donate,
                             .donate_mount_point = served.arguments.donate_mount_point,
                             .spin = kSpin,
                             .counters = &counters.mounts[i],
                             .policy = policy == nullptr ? &kNoRestrictions : &policy->mounts[i],
                             .max_fds = max_fds[i]});
      connection.Serve();
    });
  }
  for (std::thread& thread : threads) thread.join();
}

int Main(int argc, char** argv) {
  SetProgramName("lisafs-gofer");
  GoferArguments arguments = ParseOrExit(argc, argv);
  signal(SIGPIPE, SIG_IGN);

  std::vector<Served> mounts = OpenTrees(arguments);
  CountersPage& counters = MapCounters(arguments.counters_fd);
  const LivePolicyPage* policy = MapPolicy(arguments.policy_fd);

  OrDie(CloseOtherDescriptors(InheritedFds(mounts, arguments)));
  const Fd lifeline(arguments.lifeline_fd);
  OrDie(EnterNamespaces(arguments.ready_fd, kOwnThreads + kThreadsPerConnection * static_cast<int>(mounts.size())));
  OrDie(MakeRoomForDescriptors(kRoomForFds));
  LetWakersRunFirst();
  Fd proc_self_fd = OrDie(OpenProcSelfFd());
  OrDie(EmptyRoot());
  SelfFds self = OrDie(SelfFds::Make(std::move(proc_self_fd)));
  std::unique_ptr<Watcher> watcher = MakeWatcher(mounts, self);
  // The watcher's fanotify group was the last thing that takes a right in the initial user namespace.
  OrDie(EnterUserNamespace(Fd(arguments.user_namespace_fd)));
  OrDie(DropPrivileges({.capabilities = NeededCapabilities(mounts),
                        .max_memory = MaxMemory(mounts.size()),
                        .file_uid = arguments.file_uid,
                        .file_gid = arguments.file_gid}));
  OrDie(RestrictFileAccess(ServedTrees(mounts)));
  std::vector<int64_t> max_fds = DivideFds(mounts);
  OrDie(GoferPolicy({.proc_self_fd = self.fd(),
                     .read_only = AllReadOnly(mounts),
                     .open_sockets = Any(mounts, &GoferArguments::Mount::uds_open),
                     .create_sockets = Any(mounts, &GoferArguments::Mount::uds_create),
                     .watch_fd = watcher ? watcher->group_fd() : -1,
                     .ready_fd = arguments.ready_fd})
            .Install(arguments.name_violations ? OnViolation::kNameAndKill : OnViolation::kKill));

  OrDie(SayReady(Fd(arguments.ready_fd)));
  std::optional<BrokerClient> broker;
  if (arguments.broker_fd >= 0) broker.emplace(Fd(arguments.broker_fd));
  ServeAll(std::move(mounts), max_fds, self, counters, policy, broker ? &*broker : nullptr, watcher.get());
  return kExitSuccess;
}

}  // namespace
}  // namespace lisafs

int main(int argc, char** argv) { return lisafs::Main(argc, argv); }
