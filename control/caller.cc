#include "control/caller.h"

#include <errno.h>
#include <grpc/grpc_security_constants.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/escape.h"
#include "base/status.h"

namespace lisafs {
namespace {

bool Contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Whether the peer was in the group when it connected.
bool IsInGroup(int socket, const ucred& peer, gid_t group) {
  if (peer.gid == group) return true;
  socklen_t size = 0;
  // Fails with ERANGE and says how much there is.
  getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, nullptr, &size);
  std::vector<gid_t> groups(size / sizeof(gid_t));
  if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size) != 0) return false;
  return std::find(groups.begin(), groups.end(), group) != groups.end();
}

absl::StatusOr<Caller> CallerOfCertificate(const grpc::AuthContext& context, const AccessRules& rules) {
  if (!context.IsPeerAuthenticated()) return absl::UnauthenticatedError("the peer is not authenticated");
  auto names = context.FindPropertyValues(GRPC_X509_CN_PROPERTY_NAME);
  if (names.size() != 1) return absl::UnauthenticatedError("the certificate has not one common name");
  const std::string name(names.front().data(), names.front().size());
  Caller caller = {.name = absl::StrCat("certificate ", Escape(name)), .identity = absl::StrCat("certificate ", name)};
  if (Contains(rules.tls_admins, name)) {
    caller.role = Role::kAdmin;
  } else if (Contains(rules.tls_readers, name)) {
    caller.role = Role::kReader;
  }
  return caller;
}

}  // namespace

const char* RoleName(Role role) {
  switch (role) {
    case Role::kAdmin:
      return "admin";
    case Role::kReader:
      return "reader";
    case Role::kNone:
      break;
  }
  return "none";
}

absl::StatusOr<Caller> CallerOfSocket(int socket, const AccessRules& rules) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return ErrnoStatus(errno, "SO_PEERCRED");
  Caller caller = {.name = absl::StrCat("user ", peer.uid, ", process ", peer.pid),
                   .identity = absl::StrCat("user ", peer.uid)};
  if (peer.uid == 0 || peer.uid == geteuid()) {
    caller.role = Role::kAdmin;
  } else if (rules.reader_group && IsInGroup(socket, peer, *rules.reader_group)) {
    caller.role = Role::kReader;
  }
  return caller;
}

absl::StatusOr<Caller> CallerOf(const grpc::ServerContext& context, const AccessRules& rules) {
  // A connection that the server was given has "fd:NUMBER" for its peer's address. The descriptor stays open for as
  // long as one of its calls lives.
  const std::string peer = context.peer();
  absl::string_view number = peer;
  int socket;
  if (absl::ConsumePrefix(&number, "fd:") && absl::SimpleAtoi(number, &socket)) return CallerOfSocket(socket, rules);
  if (auto authenticated = context.auth_context()) return CallerOfCertificate(*authenticated, rules);
  return absl::UnauthenticatedError("the peer is not known");
}

}  // namespace lisafs
