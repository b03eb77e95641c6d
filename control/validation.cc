#include "control/validation.h"

#include <limits.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "base/escape.h"
#include "base/status.h"
#include "control/gofer_user.h"
#include "control/mount_policy.h"
#include "lisafs/counters.h"
#include "sandbox/container_mounts.h"

namespace lisafs {
namespace {

constexpr size_t kMaxIdLength = 255;

absl::Status ValidatePath(const std::string& path) {
  if (path.empty()) return absl::InvalidArgumentError("missing");
  if (path.front() != '/') return absl::InvalidArgumentError("not an absolute path");
  if (path.find('\0') != std::string::npos) return absl::InvalidArgumentError("contains a zero byte");
  if (path.size() >= PATH_MAX) return absl::InvalidArgumentError("longer than 4095 bytes");
  return absl::OkStatus();
}

// Two spellings of one path are one path. Symbolic links are not looked at.
std::string Normalized(const std::string& path) {
  std::string normal = std::filesystem::path(path).lexically_normal();
  if (normal.size() > 1 && normal.back() == '/') normal.pop_back();
  return normal;
}

absl::Status ValidateClient(const control::v1::CreateSandboxRequest& request) {
  const control::v1::Client& client = request.client();
  if (client.pid() <= 0) return absl::InvalidArgumentError("pid: not a process id");
  if (client.connection_fds_size() != request.mounts_size()) {
    return absl::InvalidArgumentError("connection_fds: not one for each mount");
  }
  auto negative = [](int32_t fd) { return fd < 0; };
  if (std::any_of(client.connection_fds().begin(), client.connection_fds().end(), negative)) {
    return absl::InvalidArgumentError("connection_fds: not a descriptor");
  }
  if (client.lifeline_fd() < 0) return absl::InvalidArgumentError("lifeline_fd: not a descriptor");
  return absl::OkStatus();
}

// What depends on whether the client is mounted, or there already.
absl::Status ValidateUse(const control::v1::MountSpec& mount, bool has_own_client) {
  if (!has_own_client) {
    if (mount.donate_mount_point()) {
      return absl::InvalidArgumentError("donate_mount_point: only for a sandbox with a client of its own");
    }
    return Annotate("mount_point", ValidatePath(mount.mount_point()));
  }
  if (mount.cache() != control::v1::MountSpec::CACHE_UNSPECIFIED) {
    return absl::InvalidArgumentError("cache: not for a sandbox with a client of its own");
  }
  if (mount.has_id_map()) return absl::InvalidArgumentError("id_map: not for a sandbox with a client of its own");
  if (!mount.mount_point().empty()) {
    return absl::InvalidArgumentError("mount_point: not for a sandbox with a client of its own");
  }
  return absl::OkStatus();
}

absl::Status ValidateTogether(const control::v1::MountSpec& mount) {
  if (!control::v1::MountSpec::Cache_IsValid(mount.cache())) {
    return absl::InvalidArgumentError("cache: not a value that is known");
  }
  if (mount.read_only() && mount.create_host_sockets()) {
    return absl::InvalidArgumentError("read_only and create_host_sockets exclude each other");
  }
  if (mount.id_map_recursive() && !mount.has_id_map()) {
    return absl::InvalidArgumentError("id_map_recursive: there is no id_map");
  }
  return mount.has_id_map() ? Annotate("id_map", ValidateIdMap(mount.id_map())) : absl::OkStatus();
}

}  // namespace

absl::Status ValidateSandboxId(const std::string& id) {
  auto allowed = [](char c) { return absl::ascii_isalnum(c) || c == '_' || c == '+' || c == '-' || c == '.'; };
  if (id.empty()) return absl::InvalidArgumentError("sandbox id: missing");
  if (id.size() > kMaxIdLength) return absl::InvalidArgumentError("sandbox id: longer than 255 bytes");
  if (!std::all_of(id.begin(), id.end(), allowed) || id == "." || id == "..") {
    return absl::InvalidArgumentError(
        absl::StrCat("sandbox id \"", Escape(id), "\": only A-Z a-z 0-9 _ + - . are allowed, and neither . nor .."));
  }
  return absl::OkStatus();
}

absl::Status ValidateCreateSandbox(const control::v1::CreateSandboxRequest& request) {
  LISAFS_RETURN_IF_NOT_OK(ValidateSandboxId(request.id()));
  if (request.caller_pid() <= 0) return absl::InvalidArgumentError("caller_pid: not a process id");
  if (request.request_id().size() > 128) return absl::InvalidArgumentError("request_id: longer than 128 bytes");
  if (request.mounts().empty()) return absl::InvalidArgumentError("mounts: at least one is needed");
  if (static_cast<size_t>(request.mounts_size()) > kMaxMounts) {
    return absl::InvalidArgumentError(absl::StrCat("mounts: more than ", kMaxMounts));
  }
  if (request.has_user_namespace()) {
    LISAFS_RETURN_IF_NOT_OK(Annotate("user_namespace", ValidateIdMap(request.user_namespace())));
  }
  if (request.has_client()) LISAFS_RETURN_IF_NOT_OK(Annotate("client", ValidateClient(request)));
  std::set<std::string> targets, mount_points;
  for (int i = 0; i < request.mounts_size(); ++i) {
    const control::v1::MountSpec& mount = request.mounts(i);
    std::string name = absl::StrCat("mount ", i);
    LISAFS_RETURN_IF_NOT_OK(Annotate(name + ": target", ValidatePath(mount.target())));
    LISAFS_RETURN_IF_NOT_OK(Annotate(name + ": source", ValidatePath(mount.source())));
    LISAFS_RETURN_IF_NOT_OK(Annotate(name, ValidateUse(mount, request.has_client())));
    LISAFS_RETURN_IF_NOT_OK(Annotate(name + ": limits", ValidateLimits(mount.limits())));
    LISAFS_RETURN_IF_NOT_OK(Annotate(name, ValidateTogether(mount)));
    if (!targets.insert(Normalized(mount.target())).second) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": target ", Escape(mount.target()), ": given twice"));
    }
    if (!request.has_client() && !mount_points.insert(Normalized(mount.mount_point())).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": mount_point ", Escape(mount.mount_point()), ": given twice"));
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateAddMount(const control::v1::AddMountRequest& request) {
  LISAFS_RETURN_IF_NOT_OK(ValidateSandboxId(request.sandbox_id()));
  const control::v1::MountSpec& mount = request.mount();
  LISAFS_RETURN_IF_NOT_OK(Annotate("target", ValidatePath(mount.target())));
  LISAFS_RETURN_IF_NOT_OK(Annotate(absl::StrCat("target ", Escape(mount.target())), CheckMountTarget(mount.target())));
  LISAFS_RETURN_IF_NOT_OK(Annotate("source", ValidatePath(mount.source())));
  if (!mount.mount_point().empty()) return absl::InvalidArgumentError("mount_point: the target says where");
  if (mount.donate_mount_point()) {
    return absl::InvalidArgumentError("donate_mount_point: only for a sandbox with a client of its own");
  }
  LISAFS_RETURN_IF_NOT_OK(Annotate("limits", ValidateLimits(mount.limits())));
  return ValidateTogether(mount);
}

absl::Status ValidateRemoveMount(const control::v1::RemoveMountRequest& request) {
  LISAFS_RETURN_IF_NOT_OK(ValidateSandboxId(request.sandbox_id()));
  LISAFS_RETURN_IF_NOT_OK(Annotate("target", ValidatePath(request.target())));
  if (!control::v1::RemoveMountRequest::WhenBusy_IsValid(request.when_busy())) {
    return absl::InvalidArgumentError("when_busy: not known");
  }
  if (request.wait_milliseconds() > 600'000) return absl::InvalidArgumentError("wait_milliseconds: more than 600000");
  return absl::OkStatus();
}

absl::Status ValidateUpdateMount(const control::v1::UpdateMountRequest& request) {
  LISAFS_RETURN_IF_NOT_OK(ValidateSandboxId(request.sandbox_id()));
  return Annotate("target", ValidatePath(request.target()));
}

absl::Status ValidatePage(int32_t size, const std::string& token) {
  if (size < 0 || size > 1000) return absl::InvalidArgumentError("page_size: not 0 to 1000");
  if (!token.empty() && !ValidateSandboxId(token).ok()) return absl::InvalidArgumentError("page_token: is none");
  return absl::OkStatus();
}

void ChooseCaching(control::v1::MountSpec& added) {
  if (added.cache() == control::v1::MountSpec::CACHE_UNSPECIFIED) {
    added.set_cache(control::v1::MountSpec::CACHE_SHARED);
  }
}

void ChooseCaching(control::v1::CreateSandboxRequest& request) {
  if (request.has_client()) return;
  auto below = [](const std::string& path, const std::string& directory) {
    return directory == "/" || path == directory || absl::StartsWith(path, directory + "/");
  };
  for (control::v1::MountSpec& mount : *request.mutable_mounts()) {
    if (mount.cache() != control::v1::MountSpec::CACHE_UNSPECIFIED) continue;
    const std::string source = Normalized(mount.source());
    const bool alone =
        std::none_of(request.mounts().begin(), request.mounts().end(), [&](const control::v1::MountSpec& other) {
          const std::string others = Normalized(other.source());
          return &other != &mount && (below(others, source) || below(source, others));
        });
    const bool exclusive = Normalized(mount.target()) == "/" && alone;
    mount.set_cache(exclusive ? control::v1::MountSpec::CACHE_EXCLUSIVE : control::v1::MountSpec::CACHE_SHARED);
  }
}

absl::Status ValidateInterval(uint32_t milliseconds) {
  if (milliseconds == 0 || (milliseconds >= 100 && milliseconds <= 3'600'000)) return absl::OkStatus();
  return absl::InvalidArgumentError("interval_milliseconds: neither 0 nor 100 to 3600000");
}

}  // namespace lisafs
