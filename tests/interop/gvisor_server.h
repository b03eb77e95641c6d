#ifndef LISAFS_TESTS_INTEROP_GVISOR_SERVER_H_
#define LISAFS_TESTS_INTEROP_GVISOR_SERVER_H_

#include <string>

namespace lisafs::tests {

// The vintages of gVisor that there are to speak with: the newest module's, and that of Debian 12.
enum class GvisorVintage { kNewest, kDecember2022 };

// gVisor's gofer code as a program of its own: `fsgofer [-read-only] [-sockets] [-fifos] FD DIR` serves DIR on the
// socket FD, and ends with status 0 when the client has hung up.
struct GvisorServer {
  std::string path;     // Empty where there is none,
  std::string why_not;  // and why.
  bool broken = false;  // It should have been possible.
};

// Built once in the process's life, and removed at its end.
const GvisorServer& GetGvisorServer(GvisorVintage vintage);

}  // namespace lisafs::tests

#endif  // LISAFS_TESTS_INTEROP_GVISOR_SERVER_H_
