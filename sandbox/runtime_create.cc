#include "sandbox/runtime_create.h"

#include <unistd.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "sandbox/control_client.h"
#include "sandbox/files_as.h"
#include "sandbox/id_map.h"
#include "sandbox/id_map_message.h"
#include "sandbox/low_level_runtime.h"
#include "sandbox/mount_request.h"
#include "sandbox/oci/config.h"
#include "sandbox/oci/mount_points.h"
#include "sandbox/oci/source.h"
#include "sandbox/runtime_bundle.h"
#include "sandbox/runtime_daemon.h"
#include "sandbox/runtime_hook.h"
#include "sandbox/runtime_mounts.h"
#include "sandbox/user_namespace.h"

namespace lisafs {
namespace {

using control::v1::CreateSandboxRequest;

// See oci/mount_points.h.
absl::Status MakeMountPointsInReadOnlyRoot(const RuntimeBundle& container, const IdMap& ids) {
  const FilesAs owner(FirstId(ids.uids), FirstId(ids.gids));
  std::vector<OciMountPoint> points;
  const std::vector<OciMount>& mounts = container.config.mounts();
  for (size_t i = 0; i < mounts.size(); ++i) points.push_back({mounts[i].target, container.mounts[i].directory});
  // The low-level runtime makes the working directory, too.
  if (!container.config.working_directory().empty()) points.push_back({container.config.working_directory(), true});
  for (const OciMountPoint& point : PointsInRoot(points)) {
    auto made = MakeMountPoint(container.config.root().source, point);
    if (!made.ok()) return made.status();
  }
  return absl::OkStatus();
}

// Which ids the container has: of a namespace that is there the kernel says it.
absl::StatusOr<IdMap> IdMapOf(const OciConfig& config) {
  if (!config.user_namespace()) return IdentityMap();
  const OciUserNamespace& user_namespace = *config.user_namespace();
  if (user_namespace.path.empty()) return user_namespace.id_map;
  absl::StatusOr<IdMap> map = ReadIdMapOfNamespace(user_namespace.path);
  if (!map.ok()) return absl::Status(map.status().code(), absl::StrCat("linux.namespaces: ", map.status().message()));
  if (map->uids.empty() || map->gids.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("linux.namespaces: ", user_namespace.path, " has no ids"));
  }
  return map;
}

// Adds a mount to the request and makes its mount point.
absl::StatusOr<std::string> AddMount(const OciMount& mount, const OciSource& source, const std::string& name,
                                     CreateSandboxRequest& request) {
  absl::StatusOr<std::string> mount_point = StageMountPoint(name, source.directory);
  if (!mount_point.ok()) return mount_point.status();
  AddMountSpec(mount, source, request).set_mount_point(*mount_point);
  return mount_point;
}

}  // namespace

absl::Status PrepareContainer(const RuntimeArguments& arguments) {
  absl::StatusOr<RuntimeBundle> container = ReadRuntimeBundle(arguments);
  if (!container.ok()) return container.status();
  const OciConfig& config = container->config;
  absl::StatusOr<IdMap> ids = IdMapOf(config);
  if (!ids.ok()) return ids.status();
  if (config.root().options.read_only) {
    if (absl::Status made = MakeMountPointsInReadOnlyRoot(*container, *ids); !made.ok()) return made;
  }

  absl::Status daemon = EnsureDaemon(arguments.socket, SiblingProgram("lisafsd"));
  if (!daemon.ok()) return daemon;

  if (absl::Status entered = EnterMountNamespace(); !entered.ok()) return entered;
  CreateSandboxRequest request;
  request.set_id(arguments.id);
  request.set_caller_pid(getpid());
  if (config.user_namespace()) *request.mutable_user_namespace() = ToMessage(*ids);
  std::vector<std::string> names = {"rootfs"};
  absl::StatusOr<std::string> root = AddMount(config.root(), container->root, names.front(), request);
  if (!root.ok()) return root.status();
  std::vector<OciConfig::Replacement> replacements;
  for (size_t i = 0; i < config.mounts().size(); ++i) {
    if (!container->mounts[i].served) continue;
    names.push_back(absl::StrCat(i));
    absl::StatusOr<std::string> path = AddMount(config.mounts()[i], container->mounts[i], names.back(), request);
    if (!path.ok()) return path.status();
    replacements.push_back({i, *path});
  }

  // Not taken down before the low-level runtime takes this process over: that alone would take milliseconds.
  static ControlClient client(arguments.socket);
  auto created = client.CreateSandbox(request);
  if (!created.ok()) return created.status();
  auto hook = HookCommandLine(SiblingProgram("lisafs-runtime"), created->sandbox().plugin_pid(), kMountDirectory,
                              created->container_file(), SiblingProgram("lisafs-waker"), names);
  if (!hook) return absl::InternalError(absl::StrCat("lisafs-plugin: ", hook.error()));
  return ReplaceFile(container->config_path, config.Rewritten(*root, replacements, *hook));
}

}  // namespace lisafs
