#include <errno.h>
#include <sys/stat.h>

#include <utility>

#include "gofer/file.h"
#include "gofer/handlers.h"

namespace lisafs {
namespace {

Result<size_t> Subscribe(Connection& connection, const Empty&, Call& call) {
  Watcher::Client* client = MountOf(connection).watcher();
  if (client == nullptr) return Fail(EOPNOTSUPP);
  LISAFS_ASSIGN_OR_RETURN(Fd socket, client->Subscribe());
  call.donations.Add(std::move(socket));
  return 0;
}

Status Watch(Connection& connection, const WatchReq& request) {
  Watcher::Client* client = MountOf(connection).watcher();
  if (client == nullptr) return Fail(EOPNOTSUPP);
  LISAFS_ASSIGN_OR_RETURN(auto control, connection.fds().Get<HostControl>(request.fd));
  if (!control->is_directory() && control->file_type() != S_IFREG) return Fail(EINVAL);
  return client->Watch(control->fd(), control->is_directory(), request.id);
}

}  // namespace

void ServeWatching(HandlerTable& table) {
  table.Serve<Mid::kSubscribe, Subscribe>();
  table.Serve<Mid::kWatch, Watch>();
}

}  // namespace lisafs
