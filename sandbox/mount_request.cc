#include "sandbox/mount_request.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "sandbox/id_map_message.h"

namespace lisafs {

control::v1::MountSpec& AddMountSpec(const OciMount& mount, const OciSource& source,
                                     control::v1::CreateSandboxRequest& request) {
  std::string target = mount.target;
  auto taken = [&](const control::v1::MountSpec& other) { return other.target() == target; };
  for (int copy = 2; std::any_of(request.mounts().begin(), request.mounts().end(), taken); ++copy) {
    target = absl::StrCat(mount.target, "#", copy);
  }
  control::v1::MountSpec& spec = *request.add_mounts();
  spec.set_target(target);
  spec.set_source(mount.source);
  spec.set_recursive(mount.options.recursive);
  spec.set_read_only(mount.options.read_only || source.inherited.read_only);
  spec.set_nosuid(mount.options.nosuid || source.inherited.nosuid);
  spec.set_nodev(mount.options.nodev || source.inherited.nodev);
  spec.set_noexec(mount.options.noexec || source.inherited.noexec);
  if (mount.policy.cache == OciMountPolicy::Cache::kExclusive) spec.set_cache(control::v1::MountSpec::CACHE_EXCLUSIVE);
  if (mount.policy.cache == OciMountPolicy::Cache::kShared) spec.set_cache(control::v1::MountSpec::CACHE_SHARED);
  spec.set_withhold_descriptors(mount.policy.withhold_descriptors);
  spec.set_withhold_passthrough(mount.policy.withhold_passthrough);
  if (mount.options.id_mapped) {
    *spec.mutable_id_map() = mount.id_map ? ToMessage(*mount.id_map) : request.user_namespace();
    spec.set_id_map_recursive(mount.options.id_mapped_recursive);
  }
  return spec;
}

}  // namespace lisafs
