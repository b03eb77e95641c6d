#ifndef LISAFS_CONTROL_CALLER_H_
#define LISAFS_CONTROL_CALLER_H_

#include <grpcpp/server_context.h>
#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace lisafs {

// What a caller may do. Each role may do what those before it may.
enum class Role {
  kNone,
  kReader,  // Looks at everything.
  kAdmin,   // Changes things.
};

// "reader", "admin".
const char* RoleName(Role role);

// Who makes a call.
struct Caller {
  std::string name;      // "user 0, process 123", or "certificate ops".
  std::string identity;  // Without what differs between two connections of the same caller.
  Role role = Role::kNone;
};

// Who has which role. On the unix socket the kernel says who the peer is: root and the user that lisafsd runs as are
// admins, members of one group are readers. Over TLS it is the name in the certificate that says it.
struct AccessRules {
  std::optional<gid_t> reader_group;
  // Common names of client certificates.
  std::vector<std::string> tls_admins;
  std::vector<std::string> tls_readers;
};

// The peer of a connected unix socket. Its role may be kNone. An errno as a Status if it cannot be told.
absl::StatusOr<Caller> CallerOfSocket(int socket, const AccessRules& rules);

// Who made the call: over a socket that the server was given as a descriptor, or with TLS.
absl::StatusOr<Caller> CallerOf(const grpc::ServerContext& context, const AccessRules& rules);

}  // namespace lisafs

#endif  // LISAFS_CONTROL_CALLER_H_
