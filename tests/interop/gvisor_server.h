#ifndef LISAFS_TESTS_INTEROP_GVISOR_SERVER_H_
#define LISAFS_TESTS_INTEROP_GVISOR_SERVER_H_

#include <string>

namespace lisafs::tests {

// gVisor's gofer code as a program of its own: `fsgofer [-read-only] [-sockets] [-fifos] FD DIR` serves DIR on the
// socket FD, and ends with status 0 when the client has hung up.
struct GvisorServer {
  std::string path;     // Empty where there is none,
  std::string why_not;  // and why.
  bool broken = false;  // It should have been possible.
};

// The server of a vintage that run_go.sh knows: "newest" or "december2022". Built once in the process's life, and
// removed at its end.
const GvisorServer& GetGvisorServer(const std::string& vintage);

}  // namespace lisafs::tests

#endif  // LISAFS_TESTS_INTEROP_GVISOR_SERVER_H_
