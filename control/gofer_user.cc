#include "control/gofer_user.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <vector>

#include "base/status.h"
#include "sandbox/id_map.h"
#include "sandbox/id_map_message.h"
#include "sandbox/user_namespace.h"

namespace lisafs {
namespace {

using IdList = std::vector<IdRange> IdMap::*;

absl::StatusOr<uint32_t> ChooseFileId(const std::vector<IdMap>& maps, IdList ids, uint32_t root) {
  std::vector<std::vector<IdRange>> all;
  for (const IdMap& map : maps) all.push_back(map.*ids);
  auto common = CommonOutsideId(all, root);
  if (!common) return absl::InvalidArgumentError("the id maps of the mounts and the container have no id in common");
  return *common;
}

}  // namespace

absl::Status ValidateIdMap(const control::v1::IdMap& map) {
  const IdMap ids = FromMessage(map);
  LISAFS_RETURN_IF_NOT_OK(Annotate("uids", CheckIdRanges(ids.uids)));
  return Annotate("gids", CheckIdRanges(ids.gids));
}

absl::StatusOr<GoferUser> ChooseGoferUser(const control::v1::CreateSandboxRequest& request) {
  const bool has_own = request.has_user_namespace();
  const IdMap own = has_own ? OutsideOf(FromMessage(request.user_namespace())) : IdentityMap();
  std::vector<IdMap> maps = {own};
  for (const control::v1::MountSpec& mount : request.mounts()) {
    if (mount.has_id_map()) maps.push_back(FromMessage(mount.id_map()));
  }
  const IdMap container = has_own ? FromMessage(request.user_namespace()) : own;
  auto uid = ChooseFileId(maps, &IdMap::uids, FirstId(container.uids));
  if (!uid.ok()) return uid.status();
  auto gid = ChooseFileId(maps, &IdMap::gids, FirstId(container.gids));
  if (!gid.ok()) return gid.status();

  GoferUser user{.file_uid = *uid, .file_gid = *gid};
  auto writable = [](const control::v1::MountSpec& mount) { return !mount.read_only(); };
  if (!has_own && std::any_of(request.mounts().begin(), request.mounts().end(), writable)) return user;
  auto made = MakeUserNamespace(own);
  if (made.ok()) {
    user.user_namespace = *std::move(made);
  } else {
    spdlog::warn("sandbox {}: the gofer gets no user namespace of its own: {}", request.id(),
                 std::string(made.status().message()));
  }
  return user;
}

}  // namespace lisafs
