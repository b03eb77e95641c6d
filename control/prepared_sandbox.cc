#include "control/prepared_sandbox.h"

#include <errno.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/escape.h"
#include "base/status.h"
#include "sandbox/detached_tree.h"
#include "sandbox/foreign_fds.h"
#include "sandbox/fuse_mount.h"
#include "sandbox/launcher.h"

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
  DetachedTree tree;
  Fd gofer_connection;
  // Of what the plugin serves:
  Fd mount_point;
  FuseMount fuse;
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
  auto tree = OpenDetachedTree(spec.source(), Attributes(spec), spec.recursive(), types);
  if (!tree.ok()) return Annotate(absl::StrCat("source ", Escape(spec.source())), tree.status());
  parts.tree = *std::move(tree);
  if (has_own_client) return absl::OkStatus();
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
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return ErrnoStatus(errno, "socket pair");
  parts.gofer_connection.reset(ends[0]);
  parts.plugin_connection.reset(ends[1]);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Parts>> MakeParts(const CreateSandboxRequest& request, const MountNamespace& where) {
  std::vector<Parts> all(request.mounts_size());
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
std::string GoferOptions(const MountSpec& spec) {
  return absl::StrCat(spec.read_only() ? ":ro" : "", spec.withhold_descriptors() ? ":nodonate" : "",
                      spec.open_host_sockets() ? ":uds-open" : "", spec.create_host_sockets() ? ":uds-create" : "",
                      spec.open_host_fifos() ? ":fifo" : "", spec.donate_mount_point() ? ":mountpoint" : "");
}

// `lifeline` need not be valid.
Command GoferCommand(const std::string& path, const CreateSandboxRequest& request, std::vector<Parts>& all, Fd counters,
                     Fd lifeline) {
  Command command(path);
  for (size_t i = 0; i < all.size(); ++i) {
    int connection = command.Give(std::move(all[i].gofer_connection));
    int tree = command.Give(std::move(all[i].tree.fd));
    const MountSpec& spec = request.mounts(static_cast<int>(i));
    command.Add("--mount");
    command.Add(absl::StrCat(connection, ":", tree, GoferOptions(spec)));
  }
  command.Add("--counters");
  command.Add(absl::StrCat(command.Give(std::move(counters))));
  if (lifeline) {
    command.Add("--lifeline-fd");
    command.Add(absl::StrCat(command.Give(std::move(lifeline))));
  }
  return command;
}

Command PluginCommand(const SandboxPrograms& programs, const CreateSandboxRequest& request, std::vector<Parts>& all) {
  Command command(programs.plugin);
  for (size_t i = 0; i < all.size(); ++i) {
    int fuse = command.Give(std::move(all[i].fuse.device));
    int connection = command.Give(std::move(all[i].plugin_connection));
    command.Add("--mount");
    // A single file is not worth a thread for each CPU.
    const bool io_uring = programs.fuse_io_uring && S_ISDIR(all[i].tree.type);
    command.Add(absl::StrCat(fuse, ":", connection, request.mounts(static_cast<int>(i)).read_only() ? ":ro" : "",
                             io_uring ? ":uring" : ""));
  }
  return command;
}

void End(std::optional<Process>& process) {
  if (!process) return;
  process->Kill();
  process->Wait(kKillPatience);
  process.reset();
}

absl::StatusOr<Fd> Lifeline(const CreateSandboxRequest& request) {
  if (!request.has_client()) return Fd();
  const int number = request.client().lifeline_fd();
  auto duplicates = DuplicateForeignFds(request.client().pid(), {&number, 1});
  if (!duplicates.ok()) return Annotate("client", duplicates.status());
  return std::move(duplicates->front());
}

}  // namespace

absl::StatusOr<PreparedSandbox> PreparedSandbox::Prepare(const CreateSandboxRequest& request,
                                                         const SandboxPrograms& programs,
                                                         const SandboxDirectory& directory,
                                                         absl::FunctionRef<bool()> cancelled) {
  auto where = MountNamespace::OfProcess(request.caller_pid());
  if (!where.ok()) return Annotate("caller", where.status());
  auto parts = MakeParts(request, *where);
  if (!parts.ok()) return parts.status();
  auto counters = directory.CreateCounters();
  if (!counters.ok()) return counters.status();
  auto gofer_log = directory.CreateGoferLog();
  if (!gofer_log.ok()) return gofer_log.status();
  auto plugin_log = directory.CreatePluginLog();
  if (!plugin_log.ok()) return plugin_log.status();
  auto lifeline = Lifeline(request);
  if (!lifeline.ok()) return lifeline.status();

  // Both get ready at the same time.
  auto gofer_launch = Launch::Spawn(
      GoferCommand(programs.gofer, request, *parts, *std::move(counters), *std::move(lifeline)), *gofer_log);
  if (!gofer_launch.ok()) return Annotate("gofer did not start", gofer_launch.status());
  std::optional<Launch> plugin_launch;
  if (!request.has_client()) {
    auto launch = Launch::Spawn(PluginCommand(programs, request, *parts), *plugin_log);
    if (!launch.ok()) return Annotate("plugin did not start", launch.status());
    plugin_launch.emplace(*std::move(launch));
  }
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

  std::vector<Placed> mounts;
  if (request.has_client()) parts->clear();
  for (size_t i = 0; i < parts->size(); ++i) {
    const MountSpec& spec = request.mounts(static_cast<int>(i));
    mounts.push_back(
        {Name(spec), spec.mount_point(), std::move((*parts)[i].mount_point), std::move((*parts)[i].fuse.mount)});
  }
  return PreparedSandbox(*std::move(where), std::move(mounts), *std::move(ready_gofer), std::move(ready_plugin));
}

PreparedSandbox::PreparedSandbox(MountNamespace where, std::vector<Placed> mounts, Process gofer,
                                 std::optional<Process> plugin)
    : namespace_(std::move(where)), mounts_(std::move(mounts)), gofer_(std::move(gofer)), plugin_(std::move(plugin)) {}

// Written out since an optional that was moved from still has a value.
PreparedSandbox::PreparedSandbox(PreparedSandbox&& other) noexcept
    : namespace_(std::move(other.namespace_)),
      mounts_(std::move(other.mounts_)),
      gofer_(std::exchange(other.gofer_, std::nullopt)),
      plugin_(std::exchange(other.plugin_, std::nullopt)) {}

PreparedSandbox::~PreparedSandbox() {
  End(plugin_);
  End(gofer_);
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

std::pair<Process, std::optional<Process>> PreparedSandbox::Release() {
  std::pair<Process, std::optional<Process>> both(*std::move(gofer_), std::move(plugin_));
  gofer_.reset();
  plugin_.reset();
  return both;
}

}  // namespace lisafs
