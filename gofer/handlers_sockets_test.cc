#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "gofer/gofer_testing.h"

namespace lisafs {
namespace {

constexpr int kTypes[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};

class SocketsTest : public GoferTest {
 protected:
  SocketsTest() { policy = {.open_sockets = true, .create_sockets = true}; }

  // A socket of the host's at `name`, which listens if it can.
  Fd HostSocket(const std::string& name, int type = SOCK_STREAM) {
    Fd made(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
    sockaddr_un address = AddressOf(name);
    EXPECT_EQ(bind(made.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0) << strerror(errno);
    if (type != SOCK_DGRAM) {
      EXPECT_EQ(listen(made.get(), 2), 0);
    }
    return made;
  }
  // 0, or why a program of the host's cannot connect.
  int HostConnects(const std::string& name) {
    Fd made(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = AddressOf(name);
    return connect(made.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
  }
  // Test directories have long names.
  sockaddr_un AddressOf(const std::string& name) {
    Fd directory(open(Path("").c_str(), O_PATH | O_CLOEXEC));
    held_.push_back(std::move(directory));
    sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
    std::string path = "/proc/self/fd/" + std::to_string(held_.back().get()) + "/" + name;
    EXPECT_LT(path.size(), sizeof address.sun_path);
    path.copy(address.sun_path, path.size());
    return address;
  }

  Result<Fd> Connect(Fdid fd, uint32_t type) {
    Donations donated;
    LISAFS_RETURN_IF_ERROR(client().Call<Mid::kConnect>({.fd = fd, .sock_type = type}, &donated));
    EXPECT_EQ(donated.size(), 1u);
    return donated.Take(0);
  }
  Result<Fd> ConnectAs(Fdid fd, uint32_t uid, uint32_t gid) {
    Donations donated;
    LISAFS_RETURN_IF_ERROR(
        client().Call<Mid::kConnectWithCreds>({.fd = fd, .sock_type = SOCK_STREAM, .uid = uid, .gid = gid}, &donated));
    EXPECT_EQ(donated.size(), 1u);
    return donated.Take(0);
  }
  Result<BindAtResp> Bind(std::string_view name, uint32_t type = SOCK_STREAM, uint16_t mode = 0600,
                          Donations* donated = nullptr) {
    return client().Call<Mid::kBindAt>(
        {.common = {.dir_fd = root(), .uid = 7, .gid = 8, .mode = mode}, .sock_type = type, .name = name}, donated);
  }
  int Listen(Fdid fd, int backlog = 1) { return ErrnoOf(client().Call<Mid::kListen>({.fd = fd, .backlog = backlog})); }
  Result<Fd> Accept(Fdid fd) {
    Donations donated;
    LISAFS_RETURN_IF_ERROR(client().Call<Mid::kAccept>(
        {fd}, [](const StringResp& peer) { EXPECT_EQ(peer.value, ""); }, &donated));
    EXPECT_EQ(donated.size(), 1u);
    return donated.Take(0);
  }
  static void ExpectTalk(const Fd& one, const Fd& other) {
    EXPECT_EQ(send(one.get(), "hello", 5, MSG_NOSIGNAL), 5) << strerror(errno);
    char text[6] = {};
    EXPECT_EQ(recv(other.get(), text, 5, 0), 5);
    EXPECT_STREQ(text, "hello");
  }

 private:
  std::vector<Fd> held_;
};

TEST_F(SocketsTest, Connects) {
  for (int type : kTypes) {
    const std::string name = "socket" + std::to_string(type);
    Fd host = HostSocket(name, type);
    if (type == SOCK_STREAM) Serve();
    Fdid file = Find(root(), name).control_fd;
    // Also a type that the client leaves open, as for open(2) of a socket file.
    for (uint32_t asked : {static_cast<uint32_t>(type), uint32_t{0}}) {
      auto connected = Connect(file, asked);
      ASSERT_TRUE(connected) << type << " " << connected.error().ToString();
      EXPECT_TRUE(fcntl(connected->get(), F_GETFL) & O_NONBLOCK);
      Fd peer = type == SOCK_DGRAM ? Fd(dup(host.get())) : Fd(accept(host.get(), nullptr, nullptr));
      ExpectTalk(*connected, peer);
    }
    for (int other : kTypes) {
      EXPECT_EQ(ErrnoOf(Connect(file, static_cast<uint32_t>(other))), other == type ? 0 : EPROTOTYPE);
    }
  }
}

TEST_F(SocketsTest, ConnectFails) {
  WriteHostFile("f");
  { HostSocket("dead"); }
  Fd full = HostSocket("full");
  HostSocket("deleted");
  Serve();
  EXPECT_EQ(ErrnoOf(Connect(99, SOCK_STREAM)), EBADF);
  EXPECT_EQ(ErrnoOf(Connect(Find(root(), "f").control_fd, SOCK_STREAM)), ENOTSOCK);
  EXPECT_EQ(ErrnoOf(Connect(root(), 77)), ENOTSOCK);
  Fdid dead = Find(root(), "dead").control_fd;
  EXPECT_EQ(ErrnoOf(Connect(dead, SOCK_STREAM)), ECONNREFUSED);
  EXPECT_EQ(ErrnoOf(Connect(dead, 0)), ECONNREFUSED);
  EXPECT_EQ(ErrnoOf(Connect(dead, SOCK_RAW)), ENXIO);
  EXPECT_EQ(ErrnoOf(Connect(dead, SOCK_STREAM | SOCK_CLOEXEC)), ENXIO);
  // Nobody waits for room.
  Fdid file = Find(root(), "full").control_fd;
  std::vector<Fd> kept;
  int error = 0;
  for (int i = 0; i < 10 && error == 0; ++i) {
    auto connected = Connect(file, SOCK_STREAM);
    error = ErrnoOf(connected);
    if (connected) kept.push_back(std::move(*connected));
  }
  EXPECT_EQ(error, EAGAIN);
  Fdid deleted = Find(root(), "deleted").control_fd;
  ASSERT_TRUE(Unlink(root(), "deleted"));
  EXPECT_EQ(ErrnoOf(Connect(deleted, SOCK_STREAM)), EINVAL);
}

TEST_F(SocketsTest, ConnectsToTheSocketItWalkedTo) {
  Fd first = HostSocket("s");
  Serve();
  Fdid file = Find(root(), "s").control_fd;
  ASSERT_EQ(rename(Path("s").c_str(), Path("moved").c_str()), 0);
  Fd second = HostSocket("s");
  auto connected = Connect(file, SOCK_STREAM);
  ASSERT_TRUE(connected);
  pollfd ready[] = {{first.get(), POLLIN, 0}, {second.get(), POLLIN, 0}};
  EXPECT_EQ(poll(ready, 2, 0), 1);
  EXPECT_NE(ready[0].revents, 0);
}

TEST_F(SocketsTest, WhoListensSeesTheApplicationsIds) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to act as others";
  Fd host = HostSocket("s");
  ASSERT_EQ(chmod(Path("s").c_str(), 0666), 0);
  Serve();
  Fdid file = Find(root(), "s").control_fd;
  for (uint32_t id : {1000u, 0u, 4000000000u}) {
    auto connected = ConnectAs(file, id, id + 1);
    ASSERT_TRUE(connected) << connected.error().ToString();
    Fd peer(accept(host.get(), nullptr, nullptr));
    ucred credentials = {};
    socklen_t size = sizeof credentials;
    ASSERT_EQ(getsockopt(peer.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size), 0);
    EXPECT_EQ(credentials.uid, id);
    EXPECT_EQ(credentials.gid, id + 1);
  }
  EXPECT_EQ(geteuid(), 0u);
  // The application's rights, not the gofer's.
  ASSERT_EQ(chmod(Path("s").c_str(), 0600), 0);
  EXPECT_EQ(ErrnoOf(ConnectAs(file, 1000, 1000)), EACCES);
  EXPECT_TRUE(ConnectAs(file, 0, 0));
  // No id would mean the gofer's own.
  EXPECT_EQ(ErrnoOf(ConnectAs(file, kNoId, 1000)), EINVAL);
  EXPECT_EQ(ErrnoOf(ConnectAs(file, 1000, kNoId)), EINVAL);
}

TEST_F(SocketsTest, BindsListensAndAccepts) {
  Serve();
  for (int type : {SOCK_STREAM, SOCK_SEQPACKET}) {
    const std::string name = "socket" + std::to_string(type);
    Donations donated;
    auto bound = Bind(name, static_cast<uint32_t>(type), 0640, &donated);
    ASSERT_TRUE(bound) << bound.error().ToString();
    ASSERT_EQ(donated.size(), 1u);
    EXPECT_TRUE(fcntl(donated[0], F_GETFL) & O_NONBLOCK);
    EXPECT_EQ(bound->child.stat.mode, S_IFSOCK | 0640);
    EXPECT_EQ(bound->child.stat.uid, 7u);
    EXPECT_EQ(bound->child.stat.gid, 8u);
    EXPECT_EQ(ErrnoOf(Accept(bound->bound_socket_fd)), EINVAL);
    EXPECT_EQ(Listen(bound->bound_socket_fd), 0);
    EXPECT_EQ(ErrnoOf(Accept(bound->bound_socket_fd)), EAGAIN);
    auto connected = Connect(bound->child.control_fd, static_cast<uint32_t>(type));
    ASSERT_TRUE(connected);
    pollfd ready = {donated[0], POLLIN, 0};
    EXPECT_EQ(poll(&ready, 1, 1000), 1);
    auto accepted = Accept(bound->bound_socket_fd);
    ASSERT_TRUE(accepted);
    EXPECT_TRUE(fcntl(accepted->get(), F_GETFL) & O_NONBLOCK);
    ExpectTalk(*connected, *accepted);
  }
}

TEST_F(SocketsTest, BindsDatagramSockets) {
  Serve();
  Donations donated;
  auto bound = Bind("s", SOCK_DGRAM, 0600, &donated);
  ASSERT_TRUE(bound);
  EXPECT_EQ(Listen(bound->bound_socket_fd), EOPNOTSUPP);
  auto connected = Connect(bound->child.control_fd, SOCK_DGRAM);
  ASSERT_TRUE(connected);
  ExpectTalk(*connected, donated.Take(0));
}

TEST_F(SocketsTest, ThePathsLengthIsNoLimit) {
  std::string deep;
  for (int i = 0; i < 20; ++i) {
    deep += (i == 0 ? "" : "/") + std::string(20, 'd');
    ASSERT_EQ(mkdir(Path(deep).c_str(), 0755), 0);
  }
  Serve({}, deep);
  auto bound = Bind("socket");
  ASSERT_TRUE(bound);
  EXPECT_EQ(Listen(bound->bound_socket_fd), 0);
  EXPECT_TRUE(Connect(bound->child.control_fd, SOCK_STREAM));
}

TEST_F(SocketsTest, BindFails) {
  WriteHostFile("f");
  Serve();
  EXPECT_EQ(ErrnoOf(Bind("f")), EADDRINUSE);
  EXPECT_EQ(ErrnoOf(Bind("..")), EINVAL);
  EXPECT_EQ(ErrnoOf(Bind("a/b")), EINVAL);
  EXPECT_EQ(ErrnoOf(Bind(std::string(108, 'n'))), EINVAL);
  EXPECT_EQ(ErrnoOf(Bind("s", 0)), ENXIO);
  EXPECT_EQ(ErrnoOf(Bind("s", SOCK_RAW)), ENXIO);
  EXPECT_EQ(access(Path("s").c_str(), F_OK), -1);
  EXPECT_TRUE(Bind(std::string(100, 'n')));
  Fdid file = Find(root(), "f").control_fd;
  EXPECT_EQ(ErrnoOf(client().Call<Mid::kBindAt>({.common = {.dir_fd = file}, .sock_type = 1, .name = "s"})), ENOTDIR);
  EXPECT_EQ(Listen(file), EINVAL);
  EXPECT_EQ(Listen(99), EBADF);
  EXPECT_EQ(ErrnoOf(Accept(file)), EINVAL);
  EXPECT_EQ(ErrnoOf(Accept(99)), EBADF);
}

TEST_F(SocketsTest, DeletedSocketsServeNobodyNew) {
  Serve();
  auto bound = Bind("s");
  ASSERT_TRUE(bound);
  EXPECT_EQ(Listen(bound->bound_socket_fd), 0);
  ASSERT_TRUE(Unlink(root(), "s"));
  EXPECT_EQ(Listen(bound->bound_socket_fd), EINVAL);
  EXPECT_EQ(ErrnoOf(Accept(bound->bound_socket_fd)), EINVAL);
}

TEST_F(SocketsTest, BoundSocketsAreNoFiles) {
  Serve();
  Fdid bound = Bind("s")->bound_socket_fd;
  EXPECT_EQ(ErrnoOf(Stat(bound)), EINVAL);
  EXPECT_EQ(ErrnoOf(PRead(bound, 0, 1)), EINVAL);
  EXPECT_EQ(ErrnoOf(Open(bound, O_RDONLY)), EINVAL);
  EXPECT_EQ(ErrnoOf(SetStat({.fd = bound})), EINVAL);
}

TEST_F(SocketsTest, NothingOfItUnlessThePolicySaysSo) {
  Fd host = HostSocket("s");
  policy = {};
  Serve();
  Fdid file = Find(root(), "s").control_fd;
  EXPECT_EQ(ErrnoOf(Connect(file, SOCK_STREAM)), EPERM);
  EXPECT_EQ(ErrnoOf(ConnectAs(file, 0, 0)), EPERM);
  EXPECT_EQ(ErrnoOf(Open(file, O_RDONLY)), EPERM);
  EXPECT_EQ(ErrnoOf(Bind("new")), EPERM);
  EXPECT_EQ(access(Path("new").c_str(), F_OK), -1);
  policy = {.open_sockets = true};
  Serve();
  EXPECT_EQ(ErrnoOf(Connect(Find(root(), "s").control_fd, SOCK_STREAM)), 0);
  EXPECT_EQ(ErrnoOf(Open(Find(root(), "s").control_fd, O_RDONLY)), ENXIO);
  EXPECT_EQ(ErrnoOf(Bind("new")), EPERM);
}

TEST_F(SocketsTest, AReadOnlyMountsSocketsMayBeUsed) {
  Fd host = HostSocket("s");
  Serve({.read_only = true});
  EXPECT_TRUE(Connect(Find(root(), "s").control_fd, SOCK_STREAM));
  EXPECT_EQ(ErrnoOf(Bind("new")), EROFS);
}

// Hazards of gVisor's gofer: the control FD was the socket, its descriptors leaked, and one number was closed twice.
TEST_F(SocketsTest, ABoundSocketsControlFdIsItsFile) {
  Serve();
  auto bound = Bind("s", SOCK_STREAM, 0600);
  ASSERT_TRUE(bound);
  struct stat host;
  ASSERT_EQ(stat(Path("s").c_str(), &host), 0);
  Statx stat = Stat(bound->child.control_fd).value();
  EXPECT_EQ(stat.ino, host.st_ino);
  EXPECT_EQ(stat.dev_minor, minor(host.st_dev));
  EXPECT_EQ(stat.mode, host.st_mode);
  EXPECT_EQ(
      SetStat({.fd = bound->child.control_fd, .mask = STATX_MODE | STATX_UID, .mode = 0666, .uid = 9})->failure_mask,
      0u);
  ASSERT_EQ(::stat(Path("s").c_str(), &host), 0);
  EXPECT_EQ(host.st_mode, S_IFSOCK | 0666u);
  EXPECT_EQ(host.st_uid, 9u);
}

// Hazard: Listen and Accept kept the socket for good.
TEST_F(SocketsTest, ClosingABoundSocketEndsIt) {
  Serve();
  auto bound = Bind("s");
  ASSERT_TRUE(bound);
  ASSERT_EQ(Listen(bound->bound_socket_fd), 0);
  EXPECT_EQ(HostConnects("s"), 0);
  EXPECT_TRUE(Accept(bound->bound_socket_fd));
  ASSERT_TRUE(Close({bound->bound_socket_fd, bound->child.control_fd}));
  EXPECT_EQ(HostConnects("s"), ECONNREFUSED);
}

// Hazard: what fails half-way leaves a file.
TEST_F(SocketsTest, ABindThatFailsLeavesNothing) {
  Serve({.max_fds = 2});
  EXPECT_EQ(ErrnoOf(Bind("s")), EMFILE);
  EXPECT_EQ(access(Path("s").c_str(), F_OK), -1);
}

class FifoTest : public GoferTest {
 protected:
  void SetUp() override { ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0); }
};

TEST_F(FifoTest, OpensOnlyIfThePolicySaysSo) {
  Serve();
  EXPECT_EQ(ErrnoOf(Open(Find(root(), "fifo").control_fd, O_RDONLY)), EPERM);
}

// Hazards: an open without a writer waited for one, and whoever only walked there counted as a reader.
TEST_F(FifoTest, OpensWithoutWaiting) {
  policy = {.open_fifos = true};
  Serve({.donate_regular_files = false});
  Fdid fifo = Find(root(), "fifo").control_fd;
  EXPECT_EQ(ErrnoOf(Open(fifo, O_WRONLY)), ENXIO);
  Donations reader;
  ASSERT_TRUE(Open(fifo, O_RDONLY, &reader));
  ASSERT_EQ(reader.size(), 1u);
  Donations writer;
  ASSERT_TRUE(Open(fifo, O_WRONLY, &writer));
  ASSERT_EQ(writer.size(), 1u);
  EXPECT_EQ(write(writer[0], "hello", 5), 5);
  char text[6] = {};
  EXPECT_EQ(read(reader[0], text, 5), 5);
  EXPECT_STREQ(text, "hello");
}

}  // namespace
}  // namespace lisafs
