#include "sandbox/runtime_create.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "sandbox/control_client.h"
#include "sandbox/low_level_runtime.h"
#include "sandbox/oci_config.h"
#include "sandbox/oci_mount_points.h"
#include "sandbox/oci_source.h"
#include "sandbox/runtime_daemon.h"
#include "sandbox/runtime_hook.h"
#include "sandbox/runtime_mounts.h"

namespace lisafs {
namespace {

using control::v1::CreateSandboxRequest;
using control::v1::MountSpec;

// Config and what its bind mounts' sources are on this host.
struct Container {
  OciConfig config;
  OciSource root;
  std::vector<OciSource> mounts;  // One for each of config.mounts(); of bind mounts only.
};

absl::StatusOr<Container> ReadContainer(const std::string& config_path, const std::string& bundle) {
  absl::StatusOr<OciConfig> config = OciConfig::Read(config_path, bundle);
  if (!config.ok()) return config.status();
  absl::StatusOr<OciSource> root = InspectSource(config->root());
  if (!root.ok()) return root.status();
  if (!root->directory || !root->served) {
    return absl::InvalidArgumentError(
        absl::StrCat("root.path: ", config->root().source, " is not a directory of files"));
  }
  Container container{std::move(*config), *root, {}};
  for (const OciMount& mount : container.config.mounts()) {
    absl::StatusOr<OciSource> source = OciSource{.directory = true};
    if (mount.bind) source = InspectSource(mount);
    if (!source.ok()) return source.status();
    container.mounts.push_back(*source);
  }
  return container;
}

// See oci_mount_points.h.
absl::Status MakeMountPointsInReadOnlyRoot(const Container& container) {
  std::vector<OciMountPoint> points;
  const std::vector<OciMount>& mounts = container.config.mounts();
  for (size_t i = 0; i < mounts.size(); ++i) points.push_back({mounts[i].target, container.mounts[i].directory});
  // The low-level runtime makes the working directory, too.
  if (!container.config.working_directory().empty()) points.push_back({container.config.working_directory(), true});
  for (const OciMountPoint& point : PointsInRoot(points)) {
    if (absl::Status made = MakeMountPoint(container.config.root().source, point); !made.ok()) return made;
  }
  return absl::OkStatus();
}

// Adds a mount to the request and makes its mount point.
absl::StatusOr<std::string> AddMount(const OciMount& mount, const OciSource& source, const std::string& name,
                                     CreateSandboxRequest& request) {
  absl::StatusOr<std::string> mount_point = StageMountPoint(name, source.directory);
  if (!mount_point.ok()) return mount_point.status();
  // Nothing forbids to mount twice on one place.
  std::string target = mount.target;
  for (int copy = 2; std::any_of(request.mounts().begin(), request.mounts().end(),
                                 [&](const MountSpec& other) { return other.target() == target; });
       ++copy) {
    target = absl::StrCat(mount.target, "#", copy);
  }
  MountSpec& spec = *request.add_mounts();
  spec.set_target(target);
  spec.set_source(mount.source);
  spec.set_mount_point(*mount_point);
  spec.set_recursive(mount.options.recursive);
  spec.set_read_only(mount.options.read_only || source.inherited.read_only);
  spec.set_nosuid(mount.options.nosuid || source.inherited.nosuid);
  spec.set_nodev(mount.options.nodev || source.inherited.nodev);
  spec.set_noexec(mount.options.noexec || source.inherited.noexec);
  return mount_point;
}

}  // namespace

absl::Status PrepareContainer(const RuntimeArguments& arguments) {
  std::error_code error;
  std::string bundle = arguments.bundle == "." ? std::filesystem::current_path(error)
                                               : std::filesystem::absolute(arguments.bundle, error);
  if (error) return absl::InternalError(absl::StrCat("bundle ", arguments.bundle, ": ", error.message()));
  std::string config_path = std::filesystem::path(bundle) / arguments.config_file;

  absl::StatusOr<Container> container = ReadContainer(config_path, bundle);
  if (!container.ok()) return container.status();
  const OciConfig& config = container->config;
  if (config.root().options.read_only) {
    if (absl::Status made = MakeMountPointsInReadOnlyRoot(*container); !made.ok()) return made;
  }

  absl::Status daemon = EnsureDaemon(arguments.socket, SiblingProgram("lisafsd"));
  if (!daemon.ok()) return daemon;

  if (absl::Status entered = EnterMountNamespace(); !entered.ok()) return entered;
  CreateSandboxRequest request;
  request.set_id(arguments.id);
  request.set_caller_pid(getpid());
  absl::StatusOr<std::string> root = AddMount(config.root(), container->root, "rootfs", request);
  if (!root.ok()) return root.status();
  std::vector<OciConfig::Replacement> replacements;
  for (size_t i = 0; i < config.mounts().size(); ++i) {
    if (!container->mounts[i].served) continue;
    absl::StatusOr<std::string> path = AddMount(config.mounts()[i], container->mounts[i], absl::StrCat(i), request);
    if (!path.ok()) return path.status();
    replacements.push_back({i, *path});
  }

  absl::StatusOr<pid_t> plugin = ControlClient(arguments.socket).CreateSandbox(request);
  if (!plugin.ok()) return plugin.status();
  auto hook = HookCommandLine(SiblingProgram("lisafs-runtime"), *plugin, kMountDirectory);
  if (!hook) return absl::InternalError(absl::StrCat("lisafs-plugin: ", hook.error()));
  return ReplaceFile(config_path, config.Rewritten(*root, replacements, *hook));
}

}  // namespace lisafs
