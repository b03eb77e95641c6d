#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <initializer_list>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

#include "gofer/file.h"
#include "gofer/handlers.h"
#include "gofer/undo.h"

// Unix sockets that other programs of the host serve or use. Their paths begin in the working directory, which is
// /proc/self/fd: "N" is descriptor N's file itself, and "N/name" a name in the directory that N is.

namespace lisafs {
namespace {

class Address {
 public:
  // The socket file that `fd` is on.
  explicit Address(int fd) {
    FdName name(fd);
    memcpy(address_.sun_path, name.c_str(), strlen(name.c_str()));
  }
  // `name` in `directory`. EINVAL if that is more than an address holds.
  static Result<Address> Of(int directory, const Name& name) {
    Address address(directory);
    size_t used = strlen(address.address_.sun_path);
    if (used + 1 + name.view().size() > sizeof address.address_.sun_path) return Fail(EINVAL);
    address.address_.sun_path[used] = '/';
    memcpy(address.address_.sun_path + used + 1, name.view().data(), name.view().size());
    return address;
  }

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address_); }
  static constexpr socklen_t size() { return sizeof(sockaddr_un); }

 private:
  sockaddr_un address_ = {.sun_family = AF_UNIX, .sun_path = {}};
};

bool IsSocketType(uint32_t type) { return type == SOCK_STREAM || type == SOCK_DGRAM || type == SOCK_SEQPACKET; }

// Never waits: the client does, by the descriptor that it is given.
Result<Fd> MakeSocket(uint32_t type) {
  Fd made(socket(AF_UNIX, static_cast<int>(type) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!made) return FailWithErrno();
  return made;
}

using ConnectFn = Status (*)(int socket, const Address& address, uint32_t uid, uint32_t gid);

Status ConnectAsOurselves(int socket, const Address& address, uint32_t, uint32_t) {
  if (connect(socket, address.get(), Address::size()) != 0) return FailWithErrno();
  return {};
}

// As another user, with that user's rights and no more: whoever listens sees these ids. On a thread of its own, which
// takes the ids with it when it ends; the system calls as such change no other thread's, unlike the C library's.
Status ConnectAs(int socket, const Address& address, uint32_t uid, uint32_t gid) {
  if (uid == kNoId || gid == kNoId) return Fail(EINVAL);
  Status connected;
  try {
    std::thread([&] {
      if (syscall(SYS_setresgid, gid, gid, gid) != 0 || syscall(SYS_setresuid, uid, uid, uid) != 0) {
        connected = FailWithErrno();
      } else {
        connected = ConnectAsOurselves(socket, address, uid, gid);
      }
    }).join();
  } catch (const std::system_error&) {
    return Fail(EAGAIN);
  }
  return connected;
}

// A socket of the type asked for, or, for type 0, of the one that the other side has.
Result<Fd> ConnectSocket(uint32_t type, const Address& address, ConnectFn connect, uint32_t uid, uint32_t gid) {
  Errno error(ENXIO);
  for (uint32_t each : {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET}) {
    if (type != 0 && type != each) continue;
    LISAFS_ASSIGN_OR_RETURN(Fd socket, MakeSocket(each));
    Status connected = connect(socket.get(), address, uid, gid);
    if (connected) return socket;
    error = connected.error();
    if (error != Errno(EPROTOTYPE)) break;
  }
  return Fail(error);
}

Result<size_t> ConnectBy(Connection& connection, const ConnectWithCredsReq& request, ConnectFn connect, Call& call) {
  LISAFS_ASSIGN_OR_RETURN(auto file, connection.fds().Get<HostControl>(request.fd));
  if (file->file_type() != S_IFSOCK) return Fail(ENOTSOCK);
  if (file->node().deleted()) return Fail(EINVAL);
  if (!Policy(connection).open_sockets) return Fail(EPERM);
  LISAFS_ASSIGN_OR_RETURN(Fd socket,
                          ConnectSocket(request.sock_type, Address(file->fd()), connect, request.uid, request.gid));
  call.donations.Add(std::move(socket));
  return 0;
}

Result<size_t> Connect(Connection& connection, const ConnectReq& request, Call& call) {
  return ConnectBy(connection, {.fd = request.fd, .sock_type = request.sock_type}, ConnectAsOurselves, call);
}

Result<size_t> ConnectWithCreds(Connection& connection, const ConnectWithCredsReq& request, Call& call) {
  return ConnectBy(connection, request, ConnectAs, call);
}

Result<BindAtResp> BindAt(Connection& connection, const BindAtReq& request, Call& call) {
  const CreateCommon& common = request.common;
  LISAFS_ASSIGN_OR_RETURN(Name name, Name::Make(request.name));
  LISAFS_ASSIGN_OR_RETURN(LockedDirectory directory, LockDirectory(connection, common.dir_fd));
  if (!Policy(connection).create_sockets) return Fail(EPERM);
  LISAFS_ASSIGN_OR_RETURN(Address address, Address::Of(directory.fd(), name));
  if (!IsSocketType(request.sock_type)) return Fail(ENXIO);
  LISAFS_ASSIGN_OR_RETURN(FdBudget::Share control_share, connection.budget().Take());
  LISAFS_ASSIGN_OR_RETURN(FdBudget::Share socket_share, connection.budget().Take());

  LISAFS_ASSIGN_OR_RETURN(Fd socket, MakeSocket(request.sock_type));
  // The file gets the socket's mode.
  if (fchmod(socket.get(), common.mode & 07777) != 0) return FailWithErrno();
  if (bind(socket.get(), address.get(), Address::size()) != 0) return FailWithErrno();
  UndoCreation undo(directory.fd(), name, 0);
  LISAFS_ASSIGN_OR_RETURN(NewControl child, OpenChild(connection, std::move(control_share), *directory.control, name));
  LISAFS_ASSIGN_OR_RETURN(
      child.stat, SetNewOwner(Self(connection), child.control->fd(), child.stat, common.uid, common.gid, common.mode));
  LISAFS_ASSIGN_OR_RETURN(Fd copy, Duplicate(socket.get()));
  undo.Cancel();

  call.donations.Add(std::move(copy));
  auto bound = std::make_shared<HostBoundSocket>(std::move(socket_share), child.control, std::move(socket));
  BindAtResp response;
  response.child = Issue(connection, std::move(child));
  response.bound_socket_fd = connection.fds().Insert(std::move(bound));
  return response;
}

Result<std::shared_ptr<HostBoundSocket>> FindBound(Connection& connection, Fdid fd) {
  LISAFS_ASSIGN_OR_RETURN(auto bound, connection.fds().Get<HostBoundSocket>(fd));
  if (bound->control().node().deleted()) return Fail(EINVAL);
  return bound;
}

Status Listen(Connection& connection, const ListenReq& request) {
  LISAFS_ASSIGN_OR_RETURN(auto bound, FindBound(connection, request.fd));
  if (listen(bound->fd(), request.backlog) != 0) return FailWithErrno();
  return {};
}

// Who connected is not said: the host's addresses are its own.
Result<StringResp> Accept(Connection& connection, const FdReq& request, Call& call) {
  LISAFS_ASSIGN_OR_RETURN(auto bound, FindBound(connection, request.fd));
  Fd accepted(accept4(bound->fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!accepted) return FailWithErrno();
  call.donations.Add(std::move(accepted));
  return StringResp{};
}

}  // namespace

void ServeSockets(HandlerTable& table) {
  table.Serve<Mid::kConnect, Connect>();
  table.Serve<Mid::kConnectWithCreds, ConnectWithCreds>();
  table.Serve<Mid::kBindAt, BindAt>(Effect::kWrites);
  table.Serve<Mid::kListen, Listen>();
  table.Serve<Mid::kAccept, Accept>();
}

}  // namespace lisafs
