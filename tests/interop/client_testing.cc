#include "tests/interop/client_testing.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <random>

#include "tests/interop/gvisor_server.h"

namespace lisafs::tests {

void ClientTest::Start(const Serving& serving) {
  if (geteuid() != 0) GTEST_SKIP() << "serving a directory confined needs root";
  std::vector<std::string> command;
  int sockets[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
  Fd server_end(sockets[0]), client_end(sockets[1]);
  ASSERT_EQ(fcntl(client_end.get(), F_SETFD, FD_CLOEXEC), 0);
  std::string fd = std::to_string(server_end.get());
  if (kind() == ServerKind::kGofer) {
    command = {DataFile("gofer/lisafs-gofer"), "--serve", fd + "=" + directory_.path()};
    if (serving.read_only) command.back() += ":ro";
    if (serving.sockets) command.back() += ":uds-open:uds-create";
  } else {
    const GvisorServer& gvisor = GetGvisorServer(is_december2022() ? "december2022" : "newest");
    if (gvisor.broken) FAIL() << gvisor.why_not;
    if (gvisor.path.empty()) GTEST_SKIP() << gvisor.why_not;
    command = {gvisor.path};
    if (serving.read_only) command.push_back("-read-only");
    if (serving.sockets) command.push_back("-sockets");
    command.insert(command.end(), {fd, directory_.path()});
  }
  server_.emplace(command, RunOptions{});
  server_end.reset();
  auto client = Client::Connect(std::move(client_end), {.max_channels = channels(), .spin = {.microseconds = 50}});
  ASSERT_TRUE(client) << client.error().ToString() << "; " << server_->err();
  client_ = std::move(*client);
}

void ClientTest::Stop() {
  client_.reset();
  if (!server_) return;
  Ran ran = server_->Wait();
  EXPECT_TRUE(ran.ok()) << "the server's end: " << ran;
  server_.reset();
}

Result<OpenFile> ClientTest::Create(Fdid parent, std::string_view name) {
  Donations donations;
  OpenCreateAtReq request = {.common = {.dir_fd = parent, .mode = 0600}, .flags = O_RDWR, .name = name};
  LISAFS_ASSIGN_OR_RETURN(OpenCreateAtResp response, client().Call<Mid::kOpenCreateAt>(request, &donations));
  return OpenFile{response.child.control_fd, response.open_fd, donations.Take(0)};
}

Result<OpenFile> ClientTest::Open(Fdid control, uint32_t flags) {
  Donations donations;
  LISAFS_ASSIGN_OR_RETURN(OpenAtResp response,
                          client().Call<Mid::kOpenAt>({.fd = control, .flags = flags, .padding = {}}, &donations));
  return OpenFile{control, response.open_fd, donations.Take(0)};
}

Result<Inode> ClientTest::MakeDirectory(Fdid parent, std::string_view name) {
  LISAFS_ASSIGN_OR_RETURN(InodeResp response,
                          client().Call<Mid::kMkdirAt>({.common = {.dir_fd = parent, .mode = 0755}, .name = name}));
  return response.child;
}

Result<std::vector<Inode>> ClientTest::Walk(Fdid from, const std::vector<std::string_view>& names) {
  std::vector<Inode> inodes;
  LISAFS_RETURN_IF_ERROR(
      client().Call<Mid::kWalk>({.dir_fd = from, .path = StringArray(names)}, [&](const WalkResp& response) {
        for (size_t i = 0; i < response.inodes.size(); ++i) inodes.push_back(response.inodes[i]);
      }));
  return inodes;
}

Result<Statx> ClientTest::Stat(Fdid fd) {
  LISAFS_ASSIGN_OR_RETURN(StatResp response, client().Call<Mid::kFStat>({.fd = fd}));
  return response.stat;
}

void ClientTest::ExerciseFile(Fdid parent, const std::string& name, size_t size) {
  auto file = Create(parent, name);
  ASSERT_EQ(Outcome(file), "ok") << name;
  auto data = SomeBytes(size, static_cast<uint32_t>(size));
  auto written = client().PWrite(file->open, data, 0);
  ASSERT_EQ(Outcome(written), "ok");
  EXPECT_EQ(*written, size);
  std::vector<std::byte> got(size + 10);
  auto read = client().PRead(file->open, got, 0);
  ASSERT_EQ(Outcome(read), "ok");
  got.resize(*read);
  EXPECT_TRUE(got == data) << name << ": " << *read << " bytes, or others than were written";

  std::string renamed = name + ".new";
  EXPECT_EQ(Outcome(client().Call<Mid::kRenameAt>(
                {.old_dir_fd = parent, .new_dir_fd = parent, .old_name = name, .new_name = renamed})),
            "ok");
  auto stat = Stat(file->control);
  ASSERT_EQ(Outcome(stat), "ok");
  EXPECT_EQ(stat->size, size);
  auto walked = Walk(parent, {renamed});
  ASSERT_EQ(Outcome(walked), "ok");
  ASSERT_EQ(walked->size(), 1u);
  EXPECT_EQ((*walked)[0].stat.ino, stat->ino);
  client().CloseLater((*walked)[0].control_fd);
  EXPECT_EQ(Outcome(client().Call<Mid::kUnlinkAt>({.dir_fd = parent, .flags = 0, .name = renamed})), "ok");
  client().CloseLater(file->open);
  client().CloseLater(file->control);
}

std::vector<std::byte> SomeBytes(size_t count, uint32_t seed) {
  std::vector<std::byte> bytes(count);
  std::minstd_rand random(seed);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() >> 8);
  return bytes;
}

}  // namespace lisafs::tests
