#ifndef LISAFS_CONTROL_MOUNT_POLICY_H_
#define LISAFS_CONTROL_MOUNT_POLICY_H_

#include <cstddef>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/fd.h"
#include "proto/lisafs/control/v1/control.pb.h"

// What a mount allows at the moment: as the control plane says it, and as its gofer reads it.

namespace lisafs {

// INVALID_ARGUMENT: a number is out of its range.
absl::Status ValidateLimits(const control::v1::MountLimits& limits);

// What a new mount allows.
control::v1::MountPolicy InitialPolicy(const control::v1::MountSpec& spec);

// Whether the gofer of these mounts is to tell what others change, of any of them: if one is shared from the start,
// since the kernel has only so many who can be told.
bool HearsChanges(const control::v1::CreateSandboxRequest& request);

// What it allows after the update. The errors are UpdateMount's.
absl::StatusOr<control::v1::MountPolicy> UpdatedPolicy(const control::v1::Mount& mount,
                                                       const control::v1::UpdateMountRequest& update);

// Writes it for the mount with that index to `file`, a LivePolicyPage open for reading and writing, where the gofer
// finds it with its next request.
absl::Status PublishPolicy(const Fd& file, size_t index, const control::v1::MountPolicy& policy);

// One more, or one less, wants to know what the mount is asked for (access_recorder.h); or nobody does.
absl::Status AddRecording(const Fd& file, size_t index);
absl::Status RemoveRecording(const Fd& file, size_t index);
absl::Status RemoveAllRecordings(const Fd& file, size_t index);

}  // namespace lisafs

#endif  // LISAFS_CONTROL_MOUNT_POLICY_H_
