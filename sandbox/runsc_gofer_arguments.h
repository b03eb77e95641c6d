#ifndef LISAFS_SANDBOX_RUNSC_GOFER_ARGUMENTS_H_
#define LISAFS_SANDBOX_RUNSC_GOFER_ARGUMENTS_H_

#include <span>
#include <string>
#include <tl/expected.hpp>
#include <vector>

namespace lisafs {

// What runsc tells its gofer on the command line, as far as it concerns whoever stands in for it:
//
//   runsc-gofer [runsc's global flags] gofer --bundle DIR --spec-fd=N --mounts-fd=N --io-fds=N … [other flags] [ID]
//
// Two vintages are known. Since 2023 --gofer-mount-confs says for each mount whether it is served and whether the
// sentry keeps its changes to itself; before that the global flags did.
struct RunscGoferArguments {
  std::string bundle;
  int spec_fd = -1;              // config.json.
  int mounts_fd = -1;            // Where the mounts go, as they are in the end.
  int pin_ring_fd = -1;          // To be held open, for a quick end; -1 if there is none.
  std::vector<int> connections;  // The gofer's ends, the root's first, then in the order of config.json.

  struct Mount {
    bool served = true;     // By the gofer, so that it has a connection.
    bool overlaid = false;  // The sentry changes nothing of it.
  };
  // Of the root and of each bind mount in the order of config.json. Empty in the older vintage: then all are like this.
  std::vector<Mount> mounts;
  Mount older_root, older_mount;

  // The sentry works on what is below a mount's descriptor by itself.
  bool directfs = false;
  // What the sandbox may do with unix sockets and FIFOs of the host.
  bool open_sockets = false;
  bool create_sockets = false;
  bool open_fifos = false;
  // What the sandbox asks of the host that lisafs's gofer does not do, as a reason to refuse; empty if nothing.
  std::string unsupported;
};

// Reads argv. The error says what is wrong, or missing.
tl::expected<RunscGoferArguments, std::string> ParseRunscGoferArguments(std::span<const char* const> argv);

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_RUNSC_GOFER_ARGUMENTS_H_
