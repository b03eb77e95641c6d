#ifndef LISAFS_SANDBOX_RUNTIME_BUNDLE_H_
#define LISAFS_SANDBOX_RUNTIME_BUNDLE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "sandbox/oci/config.h"
#include "sandbox/oci/source.h"
#include "sandbox/runtime_arguments.h"

namespace lisafs {

// What an engine wants a container made of.
struct RuntimeBundle {
  std::string config_path;
  OciConfig config;
  // What stands at its bind mounts' sources on this host.
  OciSource root;
  std::vector<OciSource> mounts;  // One for each of config.mounts(); of bind mounts only.
};

// Reads the bundle of create or run and looks at its sources, in the calling thread's mount namespace. Errors are those
// of OciConfig::Read and InspectSource; INVALID_ARGUMENT also if the root is no directory of files.
absl::StatusOr<RuntimeBundle> ReadRuntimeBundle(const RuntimeArguments& arguments);

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_RUNTIME_BUNDLE_H_
