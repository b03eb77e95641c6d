#include "control/mount_policy.h"

#include <errno.h>
#include <google/protobuf/util/field_mask_util.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "base/escape.h"
#include "base/status.h"
#include "lisafs/live_policy.h"

namespace lisafs {
namespace {

using control::v1::Mount;
using control::v1::MountLimits;
using control::v1::MountPolicy;
using control::v1::MountSpec;
using google::protobuf::util::FieldMaskUtil;

// The slowest at which a single request, of a mebibyte at most, is done in a time that one waits for.
constexpr uint64_t kLeastBytesPerSecond = 64 << 10;
constexpr uint64_t kMostPerSecond = uint64_t{1} << 40;

absl::Status CheckRate(const char* name, uint64_t per_second, uint64_t burst, uint64_t least) {
  if (per_second == 0 && burst != 0) return absl::InvalidArgumentError(absl::StrCat(name, ": a burst without a rate"));
  if (per_second != 0 && per_second < least) {
    return absl::InvalidArgumentError(absl::StrCat(name, "_per_second: less than ", least));
  }
  if (per_second > kMostPerSecond || burst > kMostPerSecond) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": more than ", kMostPerSecond));
  }
  return absl::OkStatus();
}

uint32_t Restrictions(const MountPolicy& policy) {
  const MountLimits& limits = policy.limits();
  const bool limited = limits.operations_per_second() != 0 || limits.bytes_per_second() != 0;
  return (policy.read_only() ? kForbidChanges : 0) | (policy.revoked() ? kRevoked : 0) |
         (policy.withhold_descriptors() ? kWithholdDescriptors : 0) |
         (policy.withhold_passthrough() ? kWithholdPassthrough : 0) | (limited ? kLimited : 0) |
         (policy.cache() == MountSpec::CACHE_SHARED ? kShared : 0);
}

void Publish(LiveRate& rate, uint64_t per_second, uint64_t burst) {
  rate.burst.store(burst != 0 ? burst : per_second, std::memory_order_relaxed);
  rate.per_second.store(per_second, std::memory_order_relaxed);
}

// Leaves none unspecified.
absl::Status SettleCache(const MountSpec& spec, MountPolicy& policy) {
  if (!MountSpec::Cache_IsValid(policy.cache())) return absl::InvalidArgumentError("cache: not a value that is known");
  if (policy.cache() == MountSpec::CACHE_UNSPECIFIED) {
    policy.set_cache(spec.cache());
  } else if (spec.cache() == MountSpec::CACHE_UNSPECIFIED) {
    return absl::FailedPreconditionError("the mount's client does its own caching");
  }
  return absl::OkStatus();
}

absl::Status CheckGranted(const MountSpec& spec, const MountPolicy& policy) {
  auto refuse = [](const char* what) {
    return absl::FailedPreconditionError(absl::StrCat("the mount was made ", what));
  };
  if (spec.read_only() && !policy.read_only()) return refuse("read-only");
  if (spec.withhold_descriptors() && !policy.withhold_descriptors()) return refuse("with its descriptors withheld");
  if (spec.withhold_passthrough() && !policy.withhold_passthrough()) return refuse("without passthrough");
  return absl::OkStatus();
}

absl::Status ChangeLivePolicy(const Fd& file, size_t index, absl::FunctionRef<void(LivePolicy&)> change) {
  struct stat stat;
  if (fstat(file.get(), &stat) != 0) return ErrnoStatus(errno, "policy");
  if (stat.st_size < static_cast<off_t>(sizeof(LivePolicyPage)) || index >= kMaxMounts) {
    return absl::DataLossError("policy: the file is too short");
  }
  void* mapped = mmap(nullptr, sizeof(LivePolicyPage), PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (mapped == MAP_FAILED) return ErrnoStatus(errno, "policy");
  auto* page = static_cast<LivePolicyPage*>(mapped);
  absl::Status status;
  if (page->magic != kLivePolicyMagic || page->version != kLivePolicyVersion) {
    status = absl::DataLossError("policy: not of this version");
  } else {
    change(page->mounts[index]);
  }
  munmap(mapped, sizeof(LivePolicyPage));
  return status;
}

}  // namespace

absl::Status ValidateLimits(const MountLimits& limits) {
  LISAFS_RETURN_IF_NOT_OK(CheckRate("operations", limits.operations_per_second(), limits.operations_burst(), 1));
  return CheckRate("bytes", limits.bytes_per_second(), limits.bytes_burst(), kLeastBytesPerSecond);
}

MountPolicy InitialPolicy(const MountSpec& spec) {
  MountPolicy policy;
  policy.set_read_only(spec.read_only());
  policy.set_withhold_descriptors(spec.withhold_descriptors());
  policy.set_withhold_passthrough(spec.withhold_passthrough());
  if (spec.has_limits()) *policy.mutable_limits() = spec.limits();
  policy.set_cache(spec.cache());
  return policy;
}

bool HearsChanges(const control::v1::CreateSandboxRequest& request) {
  return std::any_of(request.mounts().begin(), request.mounts().end(),
                     [](const MountSpec& spec) { return spec.cache() == MountSpec::CACHE_SHARED; });
}

absl::StatusOr<MountPolicy> UpdatedPolicy(const Mount& mount, const control::v1::UpdateMountRequest& update) {
  for (const std::string& path : update.update_mask().paths()) {
    if (!FieldMaskUtil::IsValidPath<MountPolicy>(path)) {
      return absl::InvalidArgumentError(absl::StrCat("update_mask: no such field: ", Escape(path)));
    }
  }
  if (mount.spec().donate_mount_point()) {
    return absl::FailedPreconditionError("the mount's client works on its files by itself");
  }
  MountPolicy policy = mount.policy();
  if (update.update_mask().paths().empty()) {
    policy = update.policy();
  } else {
    FieldMaskUtil::MergeOptions take_over;
    take_over.set_replace_message_fields(true);
    take_over.set_replace_repeated_fields(true);
    FieldMaskUtil::MergeMessageTo(update.policy(), update.update_mask(), take_over, &policy);
  }
  LISAFS_RETURN_IF_NOT_OK(Annotate("limits", ValidateLimits(policy.limits())));
  LISAFS_RETURN_IF_NOT_OK(SettleCache(mount.spec(), policy));
  LISAFS_RETURN_IF_NOT_OK(CheckGranted(mount.spec(), policy));
  return policy;
}

absl::Status PublishPolicy(const Fd& file, size_t index, const MountPolicy& policy) {
  return ChangeLivePolicy(file, index, [&](LivePolicy& live) {
    const MountLimits& limits = policy.limits();
    Publish(live.operations, limits.operations_per_second(), limits.operations_burst());
    Publish(live.bytes, limits.bytes_per_second(), limits.bytes_burst());
    live.restrictions.store(Restrictions(policy), std::memory_order_release);
    live.changes.fetch_add(1, std::memory_order_release);
    WakeOnPolicyChange(live);
  });
}

absl::Status AddRecording(const Fd& file, size_t index) {
  return ChangeLivePolicy(file, index, [](LivePolicy& live) { live.recordings.fetch_add(1); });
}

absl::Status RemoveRecording(const Fd& file, size_t index) {
  return ChangeLivePolicy(file, index, [](LivePolicy& live) { live.recordings.fetch_sub(1); });
}

absl::Status RemoveAllRecordings(const Fd& file, size_t index) {
  return ChangeLivePolicy(file, index, [](LivePolicy& live) { live.recordings.store(0); });
}

}  // namespace lisafs
