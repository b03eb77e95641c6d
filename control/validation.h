#ifndef LISAFS_CONTROL_VALIDATION_H_
#define LISAFS_CONTROL_VALIDATION_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "proto/lisafs/control/v1/control.pb.h"

// What a request may say, checked once at the door. Everything behind it relies on it. All errors are INVALID_ARGUMENT
// and name the field.

namespace lisafs {

// An id is also a directory's name in the state directory.
absl::Status ValidateSandboxId(const std::string& id);

absl::Status ValidateCreateSandbox(const control::v1::CreateSandboxRequest& request);

absl::Status ValidateAddMount(const control::v1::AddMountRequest& request);
absl::Status ValidateRemoveMount(const control::v1::RemoveMountRequest& request);
absl::Status ValidateUpdateMount(const control::v1::UpdateMountRequest& request);

// What a list is asked for: 0 to 1,000 at a time, and behind which one.
absl::Status ValidatePage(int32_t size, const std::string& token);

// Decides what a valid request leaves open about caching: see MountSpec.Cache.
void ChooseCaching(control::v1::CreateSandboxRequest& request);
// The same of a mount that is added to a running sandbox.
void ChooseCaching(control::v1::MountSpec& added);

// 0, which stands for the default, or 100 to 3,600,000.
absl::Status ValidateInterval(uint32_t milliseconds);

}  // namespace lisafs

#endif  // LISAFS_CONTROL_VALIDATION_H_
