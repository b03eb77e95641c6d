#include "control/prepared_sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/escape.h"
#include "base/status.h"
#include "control/gofer_user.h"
#include "control/mount_policy.h"
#include "sandbox/detached_tree.h"
#include "sandbox/foreign_fds.h"
#include "sandbox/fuse_mount.h"
#include "sandbox/id_map_message.h"
#include "sandbox/launcher.h"
#include "sandbox/user_namespace.h"

namespace lisafs {
namespace {

using control::v1::CreateSandboxRequest;
using control::v1::MountSpec;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr auto kStartPatience = seconds(10);
constexpr auto kKillPatience = seconds(5);

// What one mount is made of, on its way to the processes.
struct Parts {
  Fd mapped_ids;  // The user namespace of an id-mapped source.
  DetachedTree tree;
  Fd gofer_connection;
  // Of what the plugin serves:
  Fd mount_point;
  FuseMount fuse;
  std::string file_system;  // Its number.
  Fd plugin_connection;
};

std::string Name(const MountSpec& spec) { return absl::StrCat("mount ", Escape(spec.target())); }

MountAttributes Attributes(const MountSpec& spec) {
  return {.read_only = spec.read_only(), .nosuid = spec.nosuid(), .nodev = spec.nodev(), .noexec = spec.noexec()};
}

// What has to be found in the caller's mount namespace, on a thread that is there.
absl::Status OpenPaths(const MountSpec& spec, bool has_own_client, Parts& parts) {
  // Only FUSE file systems have to have a root that they know.
  TreeTypes types = has_own_client ? TreeTypes::kAny : TreeTypes::kDirectoryOrFile;
  auto tree = OpenDetachedTree(spec.source(), Attributes(spec), spec.recursive(), types,
                               {parts.mapped_ids.get(), spec.id_map_recursive()});
  if (!tree.ok()) return Annotate(absl::StrCat("source ", Escape(spec.source())), tree.status());
  parts.tree = *std::move(tree);
  if (has_own_client || spec.mount_point().empty()) return absl::OkStatus();
  auto mount_point = OpenMountPoint(spec.mount_point(), parts.tree.type);
  if (!mount_point.ok()) {
    return Annotate(absl::StrCat("mount point ", Escape(spec.mount_point())), mount_point.status());
  }
  parts.mount_point = *std::move(mount_point);
  return absl::OkStatus();
}

// What has not.
absl::Status MakeRest(const MountSpec& spec, Parts& parts) {
  auto fuse = MakeFuseMount(parts.tree.type, Attributes(spec));
  if (!fuse.ok()) return fuse.status();
  parts.fuse = *std::move(fuse);
  auto number = FileSystemNumber(parts.fuse.mount);
  if (!number.ok()) return number.status();
  parts.file_system = *std::move(number);
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return ErrnoStatus(errno, "socket pair");
  parts.gofer_connection.reset(ends[0]);
  parts.plugin_connection.reset(ends[1]);
  return absl::OkStatus();
}

// Bytes. To open a file of less takes less time if it is not passed through, and so does reading all of it
// (docs/performance.md).
constexpr uint64_t kPassthroughFrom = 256 << 10;

// Only a plugin's files are the kernel's to read.
bool PassesThrough(const CreateSandboxRequest& request, const MountSpec& spec) {
  return !request.has_client() && !spec.withhold_descriptors() && !spec.withhold_passthrough();
}

// What ties the broker to the others; nothing of it if no mount wants a broker.
struct BrokerParts {
  std::vector<std::pair<int, Fd>> devices;  // By the mount's index.
  Fd broker_socket, gofer_socket;
  Fd broker_lifeline, plugin_lifeline;
};

absl::StatusOr<BrokerParts> MakeBrokerParts(const CreateSandboxRequest& request, const std::vector<Parts>& all) {
  BrokerParts parts;
  for (int i = 0; i < request.mounts_size(); ++i) {
    if (!PassesThrough(request, request.mounts(i))) continue;
    Fd device(fcntl(all[i].fuse.device.get(), F_DUPFD_CLOEXEC, 0));
    if (!device) return ErrnoStatus(errno, "FUSE device");
    parts.devices.emplace_back(i, std::move(device));
  }
  if (parts.devices.empty()) return parts;
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return ErrnoStatus(errno, "socket pair");
  parts.broker_socket.reset(ends[0]);
  parts.gofer_socket.reset(ends[1]);
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe");
  parts.broker_lifeline.reset(ends[0]);
  parts.plugin_lifeline.reset(ends[1]);
  return parts;
}

absl::StatusOr<std::vector<Parts>> MakeParts(const CreateSandboxRequest& request, const MountNamespace& where) {
  std::vector<Parts> all(request.mounts_size());
  for (int i = 0; i < request.mounts_size(); ++i) {
    if (!request.mounts(i).has_id_map()) continue;
    auto made = MakeUserNamespace(FromMessage(request.mounts(i).id_map()));
    if (!made.ok()) return Annotate(Name(request.mounts(i)) + ": id map", made.status());
    all[i].mapped_ids = *std::move(made);
  }
  LISAFS_RETURN_IF_NOT_OK(where.Run([&] {
    for (int i = 0; i < request.mounts_size(); ++i) {
      const MountSpec& spec = request.mounts(i);
      LISAFS_RETURN_IF_NOT_OK(Annotate(Name(spec), OpenPaths(spec, request.has_client(), all[i])));
    }
    return absl::OkStatus();
  }));
  if (request.has_client()) {
    const auto& numbers = request.client().connection_fds();
    auto connections = DuplicateForeignFds(request.client().pid(), {numbers.data(), all.size()});
    if (!connections.ok()) return Annotate("client", connections.status());
    for (size_t i = 0; i < all.size(); ++i) all[i].gofer_connection = std::move((*connections)[i]);
    return all;
  }
  for (int i = 0; i < request.mounts_size(); ++i) {
    LISAFS_RETURN_IF_NOT_OK(Annotate(Name(request.mounts(i)), MakeRest(request.mounts(i), all[i])));
  }
  return all;
}

// As lisafs-gofer's command line has them.
std::string GoferOptions(const MountSpec& spec, bool passthrough, bool watch, bool alone) {
  return absl::StrCat(spec.read_only() ? ":ro" : "", spec.withhold_descriptors() ? ":nodonate" : "",
                      passthrough ? ":passthrough" : "", watch ? ":watch" : "", watch && alone ? ":alone" : "",
                      spec.open_host_sockets() ? ":uds-open" : "", spec.create_host_sockets() ? ":uds-create" : "",
                      spec.open_host_fifos() ? ":fifo" : "", spec.donate_mount_point() ? ":mountpoint" : "");
}

// Whether no other mount shows the same files.
bool IsAlone(const std::vector<Parts>& all, size_t mount) {
  for (size_t i = 0; i < all.size(); ++i) {
    if (i != mount && all[i].tree.Overlaps(all[mount].tree)) return false;
  }
  return true;
}

// What the gofer is given besides its mounts. `broker` and `lifeline` need not be valid.
struct GoferParts {
  GoferUser user;
  Fd broker, counters, policy, lifeline;
};

Command GoferCommand(const std::string& path, const CreateSandboxRequest& request, std::vector<Parts>& all,
                     GoferParts parts) {
  Command command(path);
  const bool watch = HearsChanges(request);
  for (size_t i = 0; i < all.size(); ++i) {
    int connection = command.Give(std::move(all[i].gofer_connection));
    int tree = command.Give(std::move(all[i].tree.fd));
    const MountSpec& spec = request.mounts(static_cast<int>(i));
    command.Add("--mount");
    command.Add(
        absl::StrCat(connection, ":", tree, GoferOptions(spec, PassesThrough(request, spec), watch, IsAlone(all, i))));
  }
  if (parts.user.user_namespace) {
    command.Add("--user-namespace");
    command.Add(absl::StrCat(command.Give(std::move(parts.user.user_namespace))));
  }
  if (parts.user.file_uid != 0 || parts.user.file_gid != 0) {
    command.Add("--files-as");
    command.Add(absl::StrCat(parts.user.file_uid, ":", parts.user.file_gid));
  }
  if (parts.broker) {
    command.Add("--broker");
    command.Add(absl::StrCat(command.Give(std::move(parts.broker))));
  }
  command.Add("--counters");
  command.Add(absl::StrCat(command.Give(std::move(parts.counters))));
  command.Add("--policy");
  command.Add(absl::StrCat(command.Give(std::move(parts.policy))));
  if (parts.lifeline) {
    command.Add("--lifeline-fd");
    command.Add(absl::StrCat(command.Give(std::move(parts.lifeline))));
  }
  return command;
}

Command PluginCommand(const SandboxPrograms& programs, const CreateSandboxRequest& request, std::vector<Parts>& all,
                      Fd policy, Fd claims, Fd lifeline) {
  Command command(programs.plugin);
  for (size_t i = 0; i < all.size(); ++i) {
    int fuse = command.Give(std::move(all[i].fuse.device));
    int connection = command.Give(std::move(all[i].plugin_connection));
    const MountSpec& spec = request.mounts(static_cast<int>(i));
    command.Add("--mount");
    // A single file is not worth a thread for each CPU.
    const bool io_uring = programs.fuse_io_uring && S_ISDIR(all[i].tree.type);
    // Exclusive, unless the policy's page says that it is not at the moment.
    command.Add(absl::StrCat(fuse, ":", connection, spec.read_only() ? ":ro" : "", ":exclusive",
                             PassesThrough(request, spec) ? absl::StrCat(":passthrough=", kPassthroughFrom) : "",
                             io_uring ? ":uring" : ""));
  }
  command.Add("--policy");
  command.Add(absl::StrCat(command.Give(std::move(policy))));
  command.Add("--claims");
  command.Add(absl::StrCat(command.Give(std::move(claims))));
  if (lifeline) {
    command.Add("--lifeline");
    command.Add(absl::StrCat(command.Give(std::move(lifeline))));
  }
  return command;
}

Command BrokerCommand(const std::string& path, BrokerParts& parts) {
  Command command(path);
  for (auto& [mount, device] : parts.devices) {
    command.Add("--device");
    command.Add(absl::StrCat(mount, "=", command.Give(std::move(device))));
  }
  command.Add("--gofer");
  command.Add(absl::StrCat(command.Give(std::move(parts.broker_socket))));
  command.Add("--lifeline");
  command.Add(absl::StrCat(command.Give(std::move(parts.broker_lifeline))));
  return command;
}

// Without it everything works, if more slowly: the gofer finds nobody at the other end of its socket.
std::optional<Launch> LaunchBroker(const std::string& path, BrokerParts parts, ProgramLog& log, const std::string& id) {
  if (parts.devices.empty()) return std::nullopt;
  auto launch = Launch::Spawn(BrokerCommand(path, parts), log);
  if (launch.ok()) return *std::move(launch);
  spdlog::warn("sandbox {}: broker did not start: {}", id, std::string(launch.status().message()));
  return std::nullopt;
}

std::optional<Process> AwaitBroker(std::optional<Launch>& launch, steady_clock::time_point deadline,
                                   absl::FunctionRef<bool()> cancelled, const std::string& id) {
  if (!launch) return std::nullopt;
  auto broker = launch->AwaitReady(deadline, cancelled);
  if (broker.ok()) return *std::move(broker);
  spdlog::warn("sandbox {}: broker did not start: {}", id, std::string(broker.status().message()));
  return std::nullopt;
}

void End(Process& process) {
  process.Kill();
  process.Wait(kKillPatience);
}

void End(std::optional<Process>& process) {
  if (process) End(*process);
  process.reset();
}

absl::StatusOr<Fd> Lifeline(const CreateSandboxRequest& request) {
  if (!request.has_client()) return Fd();
  const int number = request.client().lifeline_fd();
  auto duplicates = DuplicateForeignFds(request.client().pid(), {&number, 1});
  if (!duplicates.ok()) return Annotate("client", duplicates.status());
  return std::move(duplicates->front());
}

absl::Status PublishPolicies(const CreateSandboxRequest& request, const SandboxDirectory& directory) {
  auto file = directory.CreatePolicy();
  if (!file.ok()) return file.status();
  for (int i = 0; i < request.mounts_size(); ++i) {
    LISAFS_RETURN_IF_NOT_OK(PublishPolicy(*file, i, InitialPolicy(request.mounts(i))));
  }
  return absl::OkStatus();
}

}  // namespace

// As PluginCommand gives them: a device and a connection for each mount.
int PluginDevice(int index) { return STDERR_FILENO + 1 + 2 * index; }

absl::StatusOr<PreparedSandbox> PreparedSandbox::Prepare(const CreateSandboxRequest& request,
                                                         const SandboxPrograms& programs,
                                                         const SandboxDirectory& directory,
                                                         absl::FunctionRef<bool()> cancelled,
                                                         absl::FunctionRef<void(pid_t)> started) {
  auto where = MountNamespace::OfProcess(request.caller_pid());
  if (!where.ok()) return Annotate("caller", where.status());
  auto user = ChooseGoferUser(request);
  if (!user.ok()) return user.status();
  auto parts = MakeParts(request, *where);
  if (!parts.ok()) return parts.status();
  auto broker_parts = MakeBrokerParts(request, *parts);
  if (!broker_parts.ok()) return broker_parts.status();
  auto counters = directory.CreateCounters();
  if (!counters.ok()) return counters.status();
  LISAFS_RETURN_IF_NOT_OK(PublishPolicies(request, directory));
  auto gofer_policy = directory.OpenPolicyForProgram(), plugin_policy = directory.OpenPolicyForProgram();
  if (!gofer_policy.ok()) return gofer_policy.status();
  if (!plugin_policy.ok()) return plugin_policy.status();
  auto gofer_log = directory.CreateGoferLog();
  if (!gofer_log.ok()) return gofer_log.status();
  auto plugin_log = directory.CreatePluginLog();
  if (!plugin_log.ok()) return plugin_log.status();
  auto lifeline = Lifeline(request);
  if (!lifeline.ok()) return lifeline.status();
  auto broker_log = directory.CreateBrokerLog();
  if (!broker_log.ok()) return broker_log.status();

  // All get ready at the same time.
  auto gofer_launch = Launch::Spawn(GoferCommand(programs.gofer, request, *parts,
                                                 {.user = *std::move(user),
                                                  .broker = std::move(broker_parts->gofer_socket),
                                                  .counters = *std::move(counters),
                                                  .policy = *std::move(gofer_policy),
                                                  .lifeline = *std::move(lifeline)}),
                                    *gofer_log);
  if (!gofer_launch.ok()) return Annotate("gofer did not start", gofer_launch.status());
  started(gofer_launch->first_pid());
  std::optional<Launch> plugin_launch;
  if (!request.has_client()) {
    auto claims = directory.CreateClaims();
    if (!claims.ok()) return claims.status();
    auto launch = Launch::Spawn(PluginCommand(programs, request, *parts, *std::move(plugin_policy), *std::move(claims),
                                              std::move(broker_parts->plugin_lifeline)),
                                *plugin_log);
    if (!launch.ok()) return Annotate("plugin did not start", launch.status());
    plugin_launch.emplace(*std::move(launch));
  }
  auto broker_launch = LaunchBroker(programs.broker, *std::move(broker_parts), *broker_log, request.id());
  auto deadline = steady_clock::now() + kStartPatience;
  auto gofer = gofer_launch->AwaitReady(deadline, cancelled);
  if (!gofer.ok()) return Annotate("gofer did not start", gofer.status());
  std::optional<Process> ready_gofer = *std::move(gofer), ready_plugin;
  if (plugin_launch) {
    auto plugin = plugin_launch->AwaitReady(deadline, cancelled);
    if (!plugin.ok()) {
      End(ready_gofer);
      return Annotate("plugin did not start", plugin.status());
    }
    ready_plugin = *std::move(plugin);
  }
  std::optional<Process> broker = AwaitBroker(broker_launch, deadline, cancelled, request.id());

  std::vector<Placed> mounts;
  std::vector<std::string> file_systems;
  if (request.has_client()) parts->clear();
  for (size_t i = 0; i < parts->size(); ++i) {
    const MountSpec& spec = request.mounts(static_cast<int>(i));
    file_systems.push_back(std::move((*parts)[i].file_system));
    mounts.push_back(
        {Name(spec), spec.mount_point(), std::move((*parts)[i].mount_point), std::move((*parts)[i].fuse.mount)});
  }
  return PreparedSandbox(*std::move(where), std::move(mounts), std::move(file_systems),
                         {*std::move(ready_gofer), std::move(ready_plugin), std::move(broker)});
}

PreparedSandbox::PreparedSandbox(MountNamespace where, std::vector<Placed> mounts,
                                 std::vector<std::string> file_systems, SandboxProcesses processes)
    : namespace_(std::move(where)),
      mounts_(std::move(mounts)),
      file_systems_(std::move(file_systems)),
      processes_(std::move(processes)) {}

// Written out since an optional that was moved from still has a value.
PreparedSandbox::PreparedSandbox(PreparedSandbox&& other) noexcept
    : namespace_(std::move(other.namespace_)),
      mounts_(std::move(other.mounts_)),
      file_systems_(std::move(other.file_systems_)),
      processes_(std::exchange(other.processes_, std::nullopt)) {}

PreparedSandbox::~PreparedSandbox() {
  if (!processes_) return;
  End(processes_->broker);
  End(processes_->plugin);
  End(processes_->gofer);
}

absl::Status PreparedSandbox::Mount() {
  if (mounts_.empty()) return absl::OkStatus();
  absl::Status status = namespace_.Run([&]() -> absl::Status {
    for (size_t i = 0; i < mounts_.size(); ++i) {
      absl::Status attached = AttachMount(mounts_[i].mount.get(), mounts_[i].mount_point.get());
      if (attached.ok()) continue;
      while (i-- > 0) umount2(mounts_[i].path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
      return Annotate(mounts_[i].target, attached);
    }
    return absl::OkStatus();
  });
  // From here on the mount points alone keep the file systems.
  mounts_.clear();
  return status;
}

Fd PreparedSandbox::TakeMount() {
  Fd mount = std::move(mounts_.front().mount);
  mounts_.clear();
  return mount;
}

SandboxProcesses PreparedSandbox::Release() {
  SandboxProcesses all = *std::move(processes_);
  processes_.reset();
  return all;
}

}  // namespace lisafs
