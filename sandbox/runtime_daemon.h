#ifndef LISAFS_SANDBOX_RUNTIME_DAEMON_H_
#define LISAFS_SANDBOX_RUNTIME_DAEMON_H_

#include <chrono>
#include <string>

#include "absl/status/status.h"

// The lisafsd behind a socket: is it there, and if not, starting one, so that a single container needs no set-up.
//
// Its state and its log are beside its socket: DIR/control.sock, DIR/state and DIR/lisafsd.log.

namespace lisafs {

// Where a lisafsd started for `socket` keeps its state.
std::string StateDirectory(const std::string& socket);

// Whether somebody listens on the unix socket `socket`. UNAVAILABLE: nobody does, but a lisafsd that is started will.
// Other errors: it cannot be reached, for a reason that starting one does not change.
absl::Status FindDaemon(const std::string& socket);

// Makes sure that a lisafsd answers on `socket`: if none does, starts `program` (a lisafsd's path) and waits until it
// does, for at most `patience`. What it starts belongs to nobody: no terminal, no parent, no cgroup of an engine that
// would end it. Two callers at once are fine: of two lisafsds one sees that it is not needed.
//
// To be called while the process has one thread, and in the host's mount namespace, which the new lisafsd inherits.
absl::Status EnsureDaemon(const std::string& socket, const std::string& program,
                          std::chrono::milliseconds patience = std::chrono::seconds(10));

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_RUNTIME_DAEMON_H_
