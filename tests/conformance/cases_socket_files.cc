#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <string>

#include "tests/conformance/suite.h"

// Connect, ConnectWithCreds, BindAt, Listen, Accept: sockets of the host.

namespace lisafs::conformance {
namespace {

Fd Listener(Test& t, std::string_view name, int type) {
  Fd fd(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  sockaddr_un address{.sun_family = AF_UNIX};
  std::string path = t.Host(name);
  if (!t.Need("a path short enough for a socket", path.size() < sizeof address.sun_path)) return {};
  path.copy(address.sun_path, path.size());
  bool bound = bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  bool listens = type == SOCK_DGRAM || listen(fd.get(), 5) == 0;
  t.Need("a listener of the host's", bound && listens);
  return fd;
}

// 0 or the errno.
int ConnectFromHost(Test& t, std::string_view name) {
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{.sun_family = AF_UNIX};
  std::string path = t.Host(name);
  path.copy(address.sun_path, path.size());
  return connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
}

std::string Connected(const Answer& answer) {
  return answer.ok() ? Text("ok,", answer.donated.size(), "descriptor") : answer.ToString();
}

void Connecting(Test& t) {
  Fd stream = Listener(t, "stream", SOCK_STREAM), datagram = Listener(t, "datagram", SOCK_DGRAM);
  Fd packets = Listener(t, "packets", SOCK_SEQPACKET);
  if (!t.MakeNode("nobody", S_IFSOCK | 0666) || !t.MakeFile("f")) return;
  auto connect = [&](Fdid fd, uint32_t type) {
    return Connected(t.Call<Mid::kConnect>({.fd = fd, .sock_type = type}).answer);
  };
  auto as = [&](Fdid fd, uint32_t uid, uint32_t gid) {
    return t.Call<Mid::kConnectWithCreds>({.fd = fd, .sock_type = SOCK_STREAM, .uid = uid, .gid = gid}).answer;
  };
  t.Row("a stream", "ok, 1 descriptor", connect(t.Find("stream"), SOCK_STREAM));
  t.Row("datagrams", "ok, 1 descriptor", connect(t.Find("datagram"), SOCK_DGRAM));
  t.Row("packets", "ok, 1 descriptor", connect(t.Find("packets"), SOCK_SEQPACKET));
  t.Row("any type will do", "ok, 1 descriptor", connect(t.Find("packets"), 0));
  t.Row("nobody listens", "ECONNREFUSED", connect(t.Find("nobody"), SOCK_STREAM));
  t.Row("another type", "EPROTOTYPE", connect(t.Find("stream"), SOCK_DGRAM));
  t.Row("a type that nobody has", "ENXIO", connect(t.Find("stream"), 9));
  t.Row("a directory", "ENOTSOCK", connect(t.dir(), SOCK_STREAM));
  t.Row("a file", "ENOTSOCK", connect(t.Find("f"), SOCK_STREAM));
  t.Row("what is not open", "EBADF", connect(9999, SOCK_STREAM));
  Fdid removed = t.Find("nobody");
  t.Row("removing the socket file", "ok", t.Unlink(t.dir(), "nobody"));
  t.Row("a position that was removed", "EINVAL", connect(removed, SOCK_STREAM));

  if (!t.peer().Supports(Mid::kConnectWithCreds)) return;
  Fd(accept(stream.get(), nullptr, nullptr));
  Answer answer = as(t.Find("stream"), 1234, 5678);
  t.Row("with the application's ids", "ok, 1 descriptor", Connected(answer));
  Fd accepted(accept(stream.get(), nullptr, nullptr));
  ucred ids{};
  socklen_t size = sizeof ids;
  getsockopt(accepted.get(), SOL_SOCKET, SO_PEERCRED, &ids, &size);
  t.Row("what the listener sees", "1234 5678", Text(ids.uid, ids.gid));
}

void Binding(Test& t) {
  if (!t.MakeFile("f")) return;
  auto bind = [&](std::string_view name, uint32_t type) {
    CreateCommon common{.dir_fd = t.dir(), .uid = getuid(), .gid = getgid(), .mode = 0777};
    return t.Call<Mid::kBindAt>({.common = common, .sock_type = type, .name = name});
  };
  auto listen = [&](Fdid fd) { return t.Call<Mid::kListen>({.fd = fd, .backlog = 5}); };
  auto accept = [&](Fdid fd) { return t.Call<Mid::kAccept>({fd}); };

  auto made = bind("sock", SOCK_STREAM);
  t.Row("a socket", "ok, 1 descriptor", Connected(made.answer));
  if (!made.ok()) return;
  Fdid control = made.body.child.control_fd, bound = made.body.bound_socket_fd;
  struct stat host = {};
  t.Row("the host's file", "0", lstat(t.Host("sock").c_str(), &host));
  t.Row("its type, mode and owner", Text("socket 777", getuid(), getgid()),
        Text(TypeName(made.body.child.stat.mode), Octal(made.body.child.stat.mode), made.body.child.stat.uid,
             made.body.child.stat.gid));
  auto stat = t.Stat(control);
  t.Row("FStat of its control FD", Text("socket 777", getuid(), getgid()),
        Text(TypeName(stat.body.stat.mode), Octal(stat.body.stat.mode), stat.body.stat.uid, stat.body.stat.gid));
  t.Row("which is the file's", "1", stat.body.stat.ino == host.st_ino);
  t.Row("FStat of the bound socket", "EINVAL", t.Stat(bound));
  t.Row("PRead of it", "EINVAL", t.PRead(bound, 0, 1));
  t.Row("binding to what exists", "EADDRINUSE|EEXIST", bind("f", SOCK_STREAM));
  t.Row("a type that nobody has", "ENXIO", bind("nine", 9));
  t.Row("dot dot", "EINVAL", bind("..", SOCK_STREAM));
  t.Row("a name of 108 bytes", "EINVAL|ok", bind(std::string(108, 's'), SOCK_STREAM));

  t.Row("accepting before listening", "EINVAL", accept(bound));
  t.Row("listening on a control FD", "EINVAL", listen(control));
  t.Row("listening", "ok", listen(bound));
  t.Row("nobody comes", "EAGAIN", accept(bound));
  t.Row("somebody comes", "0", ConnectFromHost(t, "sock"));
  auto accepted = accept(bound);
  t.Row("accepting", "ok, 1 descriptor", Connected(accepted.answer));
  t.Row("who it is is not said", "0", accepted.body.value.size());
  t.Row("accepting on what is not open", "EBADF", accept(9999));

  made.answer.donated.clear();
  t.Row("closing both", "ok", t.Close({control, bound}));
  t.Row("nobody listens then", "ECONNREFUSED", ErrnoName(ConnectFromHost(t, "sock")));
}

}  // namespace

void AddSocketFileCases(std::vector<Case>& cases) {
  using enum Case::On;
  cases.push_back({"SocketFiles.Connecting", Connecting, kSockets});
  cases.push_back({"SocketFiles.Binding", Binding, kSockets});
}

}  // namespace lisafs::conformance
