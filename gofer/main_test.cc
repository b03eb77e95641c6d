// The program itself: what it says, how it ends, and that its filter lets everything through that its handlers do.
// (tests/confinement looks at what it has confined itself to.)

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/falloc.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "gofer/host_tree.h"
#include "lisafs/client.h"
#include "lisafs/counters.h"

namespace lisafs {
namespace {

std::string Gofer() {
  const char* sources = getenv("TEST_SRCDIR");
  const char* workspace = getenv("TEST_WORKSPACE");
  if (sources == nullptr || workspace == nullptr) return "bazel-bin/gofer/lisafs-gofer";
  return std::string(sources) + "/" + workspace + "/gofer/lisafs-gofer";
}

class MainTest : public testing::Test {
 protected:
  MainTest() {
    const char* parent = getenv("TEST_TMPDIR");
    directory_ = std::string(parent == nullptr ? "/tmp" : parent) + "/main-XXXXXX";
    EXPECT_NE(mkdtemp(directory_.data()), nullptr);
    int sockets[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    ours_ = Fd(sockets[0]);
    theirs_ = Fd(sockets[1]);
    int pipe[2];
    EXPECT_EQ(pipe2(pipe, O_CLOEXEC), 0);
    stderr_ = Fd(pipe[0]);
    stderr_writer_ = Fd(pipe[1]);
  }
  ~MainTest() override {
    ours_.reset();
    if (pid_ > 0) Wait();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  // With `inherited` at the numbers 10, 11, …
  void Start(const std::vector<std::string>& arguments, const std::vector<int>& inherited) {
    std::string program = std::filesystem::absolute(Gofer());
    std::vector<char*> argv = {program.data()};
    std::vector<std::string> copies = arguments;
    for (std::string& argument : copies) argv.push_back(argument.data());
    argv.push_back(nullptr);
    pid_ = fork();
    ASSERT_GE(pid_, 0);
    if (pid_ == 0) {
      dup2(stderr_writer_.get(), STDERR_FILENO);
      std::vector<int> moved;
      for (int fd : inherited) moved.push_back(fcntl(fd, F_DUPFD_CLOEXEC, 50));
      for (size_t i = 0; i < moved.size(); ++i) dup2(moved[i], 10 + static_cast<int>(i));
      execv(program.c_str(), argv.data());
      _exit(127);
    }
    stderr_writer_.reset();
  }
  // The exit status; 128 + signal.
  int Wait() {
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
    pid_ = -1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }
  std::string Stderr() {
    std::string text;
    char buffer[1000];
    for (ssize_t n; (n = read(stderr_.get(), buffer, sizeof buffer)) > 0;) text.append(buffer, n);
    return text;
  }
  std::string Path(const std::string& name) const { return directory_ + "/" + name; }

  std::string directory_;
  Fd ours_, theirs_, stderr_, stderr_writer_;
  pid_t pid_ = -1;
};

TEST_F(MainTest, BadUsageIsStatus2AndSaysWhy) {
  Start({"--serve", "10"}, {theirs_.get()});
  EXPECT_EQ(Wait(), 2);
  EXPECT_EQ(Stderr(), "lisafs-gofer: 10: --serve takes FD=DIR[:OPTION...]\n");
}

TEST_F(MainTest, ADirectoryThatIsNotThereIsStatus1) {
  Start({"--serve", "10=" + Path("missing")}, {theirs_.get()});
  EXPECT_EQ(Wait(), 1);
  EXPECT_NE(Stderr().find("lisafs-gofer: " + Path("missing") + ": opening the tree: ENOENT"), std::string::npos);
}

TEST_F(MainTest, EndsByItselfWithItsLastConnection) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  Start({"--serve", "10=" + directory_}, {theirs_.get()});
  theirs_.reset();
  auto client = Client::Connect(std::move(ours_), {});
  ASSERT_TRUE(client) << Stderr();
  EXPECT_EQ(waitpid(pid_, nullptr, WNOHANG), 0);
  client->reset();
  EXPECT_EQ(Wait(), 0);
}

// Calls each handler so that it makes all of its system calls. A call that the filter does not know kills the gofer.
void Exercise(Client& client, bool read_only) {
  const Fdid root = client.root().control_fd;
  auto walk = [&](std::string_view name) {
    Fdid found = kInvalidFdid;
    EXPECT_TRUE(client.Call<Mid::kWalk>({root, StringArray(std::span(&name, 1))}, [&](const WalkResp& response) {
      if (!response.inodes.empty()) found = response.inodes[0].control_fd;
    })) << name;
    return found;
  };
  auto refused = [&](const auto& result) { EXPECT_EQ(result ? 0 : result.error().value(), read_only ? EROFS : 0); };
  Fdid file = walk("file");
  Fdid link = walk("link");
  const std::string_view both[] = {"", "file"};
  EXPECT_TRUE(client.Call<Mid::kWalkStat>({root, StringArray(both)}, [](const WalkStatResp&) {}));
  EXPECT_TRUE(client.Call<Mid::kFStat>({file}));
  EXPECT_TRUE(client.Call<Mid::kFStatFS>({file}));
  EXPECT_TRUE(client.Call<Mid::kReadLinkAt>({link}, [](const StringResp&) {}));
  Donations donated;
  auto open = client.Call<Mid::kOpenAt>({.fd = file}, &donated);
  ASSERT_TRUE(open);
  EXPECT_EQ(donated.size(), 1u);
  auto ignore = [](const auto&) {};
  EXPECT_TRUE(client.Call<Mid::kPRead>({.fd = open->open_fd, .count = 10}, ignore));
  EXPECT_TRUE(client.Call<Mid::kFSync>({FdArray(std::span(&open->open_fd, 1))}));
  auto listing = client.Call<Mid::kOpenAt>({.fd = root});
  ASSERT_TRUE(listing);
  EXPECT_TRUE(client.Call<Mid::kGetdents64>({.fd = listing->open_fd, .count = -65536}, ignore));
  EXPECT_TRUE(client.Call<Mid::kGetdents64>({.fd = listing->open_fd, .count = -70}, ignore));
  EXPECT_TRUE(client.Call<Mid::kFListXattr>({file, 0}, ignore));
  EXPECT_FALSE(client.Call<Mid::kFGetXattr>({file, 0, "user.none"}, ignore));

  const CreateCommon common = {.dir_fd = root, .uid = 1, .gid = 1, .mode = 06755};
  const CreateCommon fifo = {.dir_fd = root, .uid = 1, .gid = 1, .mode = S_IFIFO | 0644};
  const CreateCommon regular = {.dir_fd = root, .uid = 1, .gid = 1, .mode = S_IFREG | 0644};
  refused(
      client.Call<Mid::kSetStat>({.fd = file,
                                  .mask = STATX_MODE | STATX_SIZE | STATX_UID | STATX_GID | STATX_ATIME | STATX_MTIME,
                                  .mode = 04700,
                                  .uid = 1,
                                  .gid = 1,
                                  .size = 100}));
  auto made = client.Call<Mid::kOpenCreateAt>({.common = common, .flags = O_RDWR, .name = "new"});
  refused(made);
  const Fdid writable = made ? made->open_fd : kInvalidFdid;
  refused(client.Call<Mid::kPWrite>({.fd = writable, .count = 1, .data = {std::as_bytes(std::span("x", 1))}}));
  for (uint64_t mode : {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE}) {
    refused(client.Call<Mid::kFAllocate>({writable, mode, 0, 4096}));
  }
  refused(client.Call<Mid::kMkdirAt>({common, "dir"}));
  refused(client.Call<Mid::kMknodAt>({.common = regular, .name = "node"}));
  refused(client.Call<Mid::kMakeNodeAt>({.common = fifo, .name = "fifo"}));
  refused(client.Call<Mid::kSymlinkAt>({.dir_fd = root, .uid = 1, .gid = 1, .name = "link2", .target = "file"}));
  refused(client.Call<Mid::kLinkAt>({root, link, "link3"}));
  refused(client.Call<Mid::kFSetXattr>({file, 0, "user.a", "value"}));
  refused(client.Call<Mid::kFRemoveXattr>({file, "user.a"}));
  refused(client.Call<Mid::kRenameAt>({root, root, "node", "node2"}));
  refused(client.Call<Mid::kRenameAt2>({root, root, "node2", "node", 1}));
  refused(client.Call<Mid::kRenameAt2>({root, root, "node", "file", 2}));
  refused(client.Call<Mid::kUnlinkAt>({.dir_fd = root, .name = "node"}));
  refused(client.Call<Mid::kUnlinkAt>({.dir_fd = root, .flags = AT_REMOVEDIR, .name = "dir"}));
  refused(client.Call<Mid::kOpenUnnamed>({.common = common, .flags = O_RDWR}));
  refused(client.Call<Mid::kCopyFileRange>({open->open_fd, 0, writable, 0, 10}));
  EXPECT_TRUE(client.Call<Mid::kFDataSync>({open->open_fd}));
  EXPECT_TRUE(client.Call<Mid::kSeek>({.fd = open->open_fd, .whence = SEEK_HOLE}));
  EXPECT_TRUE(client.Call<Mid::kListStat>({.fd = listing->open_fd, .size = 65536}, ignore));
  EXPECT_TRUE(client.Call<Mid::kClose>({FdArray(std::span(&file, 1))}));
}

// The same of the handlers that only some mounts allow.
void ExerciseSockets(Client& client) {
  const Fdid root = client.root().control_fd;
  Donations donated;
  auto bound = client.Call<Mid::kBindAt>(
      {.common = {.dir_fd = root, .uid = 1000, .gid = 1000, .mode = 0600}, .sock_type = SOCK_STREAM, .name = "socket"},
      &donated);
  ASSERT_TRUE(bound);
  EXPECT_TRUE(client.Call<Mid::kListen>({.fd = bound->bound_socket_fd, .backlog = 10}));
  const Fdid socket = bound->child.control_fd;
  EXPECT_TRUE(client.Call<Mid::kConnect>({.fd = socket}, &donated));
  EXPECT_TRUE(client.Call<Mid::kConnectWithCreds>({.fd = socket, .sock_type = SOCK_STREAM, .uid = 1000, .gid = 1000},
                                                  &donated));
  auto stranger =
      client.Call<Mid::kConnectWithCreds>({.fd = socket, .sock_type = SOCK_STREAM, .uid = 1001, .gid = 1000}, &donated);
  EXPECT_EQ(stranger ? 0 : stranger.error().value(), EACCES);
  EXPECT_TRUE(client.Call<Mid::kAccept>(
      {bound->bound_socket_fd}, [](const StringResp&) {}, &donated));
  auto fifo = client.Call<Mid::kMakeNodeAt>({.common = {.dir_fd = root, .mode = S_IFIFO | 0600}, .name = "fifo2"});
  ASSERT_TRUE(fifo);
  EXPECT_TRUE(client.Call<Mid::kOpenAt>({.fd = fifo->child.control_fd}, &donated));
}

class ExerciseTest : public MainTest, public testing::WithParamInterface<bool> {};

TEST_P(ExerciseTest, NothingIsKilled) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  std::ofstream(Path("file")) << "content";
  ASSERT_EQ(symlink("file", Path("link").c_str()), 0);
  Start({"--serve", "10=" + directory_ + (GetParam() ? ":ro" : "")}, {theirs_.get()});
  theirs_.reset();
  auto client = Client::Connect(std::move(ours_), {.max_channels = 2});
  ASSERT_TRUE(client) << Stderr();
  Exercise(**client, GetParam());
  client->reset();
  EXPECT_EQ(Wait(), 0);
  EXPECT_EQ(Stderr(), "");
}

TEST_F(MainTest, NothingIsKilledOfWhatAMountAllows) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  std::ofstream(Path("file")) << "content";
  ASSERT_EQ(symlink("file", Path("link").c_str()), 0);
  Start({"--serve", "10=" + directory_ + ":uds-open:uds-create:fifo"}, {theirs_.get()});
  theirs_.reset();
  auto client = Client::Connect(std::move(ours_), {.max_channels = 2});
  ASSERT_TRUE(client) << Stderr();
  Exercise(**client, false);
  ExerciseSockets(**client);
  client->reset();
  EXPECT_EQ(Wait(), 0);
  EXPECT_EQ(Stderr(), "");
}

INSTANTIATE_TEST_SUITE_P(Mounts, ExerciseTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "ReadOnly" : "ReadWrite"; });

// As lisafsd starts it.
TEST_F(MainTest, ServesATreeAndCountsInAFile) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  auto tree = OpenHostTree(directory_, false);
  ASSERT_TRUE(tree) << tree.error().what;
  Fd file(memfd_create("counters", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(file.get(), sizeof(CountersPage)), 0);
  void* mapped = mmap(nullptr, sizeof(CountersPage), PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  ASSERT_NE(mapped, MAP_FAILED);
  auto& counters = *static_cast<CountersPage*>(mapped);
  counters.magic = kCountersMagic;
  counters.version = kCountersVersion;
  int pipe[2];
  ASSERT_EQ(pipe2(pipe, O_CLOEXEC), 0);
  Fd ready(pipe[0]);
  Start({"--mount", "10:11:nodonate", "--counters", "12", "--ready-fd", "13"},
        {theirs_.get(), tree->get(), file.get(), pipe[1]});
  theirs_.reset();
  close(pipe[1]);
  EXPECT_EQ(Wait(), 0);  // The one that went on is our child.
  std::string said;
  char buffer[100];
  for (ssize_t n; (n = read(ready.get(), buffer, sizeof buffer)) > 0;) said.append(buffer, n);
  ASSERT_TRUE(said.ends_with("\nready\n")) << said << Stderr();
  pid_ = std::stoi(said);

  auto client = Client::Connect(std::move(ours_), {.max_channels = 1});
  ASSERT_TRUE(client);
  Donations donated;
  auto made = (*client)->Call<Mid::kOpenCreateAt>(
      {.common = {.dir_fd = (*client)->root().control_fd, .mode = 0644}, .flags = O_RDWR, .name = "f"}, &donated);
  ASSERT_TRUE(made);
  EXPECT_EQ(donated.size(), 0u);
  EXPECT_EQ(counters.mounts[0].summary.open_fds, 1u);
  EXPECT_EQ(counters.mounts[0].summary.control_fds, 2u);
  EXPECT_EQ(counters.mounts[0].summary.channels, 1u);
  client->reset();
  EXPECT_EQ(Wait(), 0);
  EXPECT_EQ(counters.mounts[0].summary.open_fds, 0u);
  uint64_t calls = 0;
  for (const LaneSummary& lane : counters.mounts[0].summary.lanes) {
    calls += lane.calls[MessageIndex(Mid::kOpenCreateAt)].Get();
  }
  EXPECT_EQ(calls, 1u);
  munmap(mapped, sizeof(CountersPage));
}

TEST_F(MainTest, RefusesCountersOfAnotherVersion) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  auto tree = OpenHostTree(directory_, false);
  ASSERT_TRUE(tree);
  Fd file(memfd_create("counters", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(file.get(), sizeof(CountersPage)), 0);
  Start({"--mount", "10:11", "--counters", "12"}, {theirs_.get(), tree->get(), file.get()});
  EXPECT_EQ(Wait(), 1);
  EXPECT_EQ(Stderr(), "lisafs-gofer: --counters: the file is not of this version\n");
}

}  // namespace
}  // namespace lisafs
