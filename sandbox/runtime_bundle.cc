#include "sandbox/runtime_bundle.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace lisafs {

absl::StatusOr<RuntimeBundle> ReadRuntimeBundle(const RuntimeArguments& arguments) {
  std::error_code error;
  std::string directory = arguments.bundle == "." ? std::filesystem::current_path(error)
                                                  : std::filesystem::absolute(arguments.bundle, error);
  if (error) return absl::InternalError(absl::StrCat("bundle ", arguments.bundle, ": ", error.message()));
  std::string config_path = std::filesystem::path(directory) / arguments.config_file;

  absl::StatusOr<OciConfig> config = OciConfig::Read(config_path, directory);
  if (!config.ok()) return config.status();
  absl::StatusOr<OciSource> root = InspectSource(config->root());
  if (!root.ok()) return root.status();
  if (!root->directory || !root->served) {
    return absl::InvalidArgumentError(
        absl::StrCat("root.path: ", config->root().source, " is not a directory of files"));
  }
  RuntimeBundle bundle{std::move(config_path), *std::move(config), *root, {}};
  for (const OciMount& mount : bundle.config.mounts()) {
    absl::StatusOr<OciSource> source = OciSource{.directory = true};
    if (mount.bind) source = InspectSource(mount);
    if (!source.ok()) return source.status();
    bundle.mounts.push_back(*source);
  }
  return bundle;
}

}  // namespace lisafs
