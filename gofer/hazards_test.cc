#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>

#include "gofer/gofer_testing.h"

// What went wrong in servers before and stands beside no single handler. docs/development.md has the whole list.

namespace lisafs {
namespace {

class HazardTest : public GoferTest {
 protected:
  static size_t OpenDescriptors() {
    size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
    return count;
  }
  Result<BindAtResp> Bind(std::string_view name, Donations* donated = nullptr) {
    return client().Call<Mid::kBindAt>(
        {.common = {.dir_fd = root(), .mode = 0600}, .sock_type = SOCK_STREAM, .name = name}, donated);
  }
};

// LinkAt lost the parent's descriptor each time, a walk that failed those on the way, BindAt the file's.
TEST_F(HazardTest, NoRequestLosesADescriptor) {
  WriteHostFile("f");
  ASSERT_EQ(mkdir(Path("d").c_str(), 0755), 0);
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  policy = {.open_sockets = true, .create_sockets = true, .open_fifos = true};
  Serve();
  const Fdid file = Find(root(), "f").control_fd;
  const Fdid fifo = Find(root(), "fifo").control_fd;
  const Fdid directory = Open(root(), O_RDONLY).value();
  auto bound = Bind("socket");
  ASSERT_TRUE(bound);
  ASSERT_TRUE(client().Call<Mid::kListen>({.fd = bound->bound_socket_fd, .backlog = 100}));
  const Fdid socket = bound->child.control_fd;
  auto close = [&](Fdid fd) { EXPECT_TRUE(Close({fd})); };

  const struct {
    const char* name;
    std::function<void()> request;
  } kRequests[] = {
      {"Walk",
       [&] {
         auto walked = Walk(root(), {"d", "nothing"});
         for (const Inode& inode : walked->inodes) close(inode.control_fd);
       }},
      {"Walk that fails",
       [&] {
         EXPECT_EQ(ErrnoOf(Walk(root(), {"d", ".."})), EINVAL);
       }},
      {"WalkStat",
       [&] {
         EXPECT_TRUE(WalkStat(root(), {"", "d", "nothing", "more"}));
       }},
      {"OpenAt", [&] { close(Open(file, O_RDWR).value()); }},
      {"OpenAt of a FIFO", [&] { close(Open(fifo, O_RDWR).value()); }},
      {"OpenCreateAt",
       [&] {
         auto made = Create(root(), "new");
         EXPECT_TRUE(Close({made->child.control_fd, made->open_fd}));
         EXPECT_TRUE(Unlink(root(), "new"));
       }},
      {"OpenCreateAt that fails", [&] { EXPECT_EQ(ErrnoOf(Create(root(), "f")), EEXIST); }},
      {"OpenUnnamed",
       [&] {
         auto made = CreateUnnamed(root());
         if (made) {
           EXPECT_TRUE(Close({made->child.control_fd, made->open_fd}));
         }
       }},
      {"LinkAt",
       [&] {
         close(Link(root(), file, "link")->control_fd);
         EXPECT_TRUE(Unlink(root(), "link"));
       }},
      {"LinkAt that fails", [&] { EXPECT_EQ(ErrnoOf(Link(root(), file, "f")), EEXIST); }},
      {"MkdirAt",
       [&] {
         close(Mkdir(root(), "new")->control_fd);
         EXPECT_TRUE(Unlink(root(), "new", AT_REMOVEDIR));
       }},
      {"SetStat",
       [&] { EXPECT_TRUE(SetStat({.fd = file, .mask = STATX_MODE | STATX_SIZE, .mode = 0600, .size = 10})); }},
      {"ListStat", [&] { EXPECT_TRUE(ListStat(directory, 0, 10000)); }},
      {"BindAt",
       [&] {
         auto made = Bind("new");
         EXPECT_TRUE(Close({made->child.control_fd, made->bound_socket_fd}));
         EXPECT_TRUE(Unlink(root(), "new"));
       }},
      {"BindAt that fails", [&] { EXPECT_EQ(ErrnoOf(Bind("f")), EADDRINUSE); }},
      {"Connect and Accept",
       [&] {
         EXPECT_TRUE(client().Call<Mid::kConnect>({.fd = socket}));
         EXPECT_TRUE(client().Call<Mid::kAccept>({bound->bound_socket_fd}, [](const StringResp&) {}));
       }},
      {"Connect that fails",
       [&] { EXPECT_EQ(ErrnoOf(client().Call<Mid::kConnect>({.fd = socket, .sock_type = SOCK_DGRAM})), EPROTOTYPE); }},
  };
  for (const auto& [name, request] : kRequests) {
    request();  // The first may leave something that is kept for good, such as a thread's.
    const size_t before = OpenDescriptors();
    for (int i = 0; i < 5; ++i) request();
    EXPECT_EQ(OpenDescriptors(), before) << name;
  }
}

// It went on with the gofer's own ids.
TEST_F(HazardTest, ConnectWithCredsFailsWithoutTheRightToTakeIds) {
  policy = {.open_sockets = true, .create_sockets = true};
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct all[_LINUX_CAPABILITY_U32S_3];
  ASSERT_EQ(syscall(SYS_capget, &header, all), 0);
  __user_cap_data_struct some[_LINUX_CAPABILITY_U32S_3] = {all[0], all[1]};
  if ((all[0].effective & CAP_TO_MASK(CAP_SETUID)) == 0) GTEST_SKIP() << "needs root";
  some[0].effective &= ~(CAP_TO_MASK(CAP_SETUID) | CAP_TO_MASK(CAP_SETGID));
  // Of this thread, and of those that it starts now.
  ASSERT_EQ(syscall(SYS_capset, &header, some), 0);
  Serve();
  ASSERT_EQ(syscall(SYS_capset, &header, all), 0);
  auto bound = Bind("socket");
  ASSERT_TRUE(bound);
  ASSERT_TRUE(client().Call<Mid::kListen>({.fd = bound->bound_socket_fd, .backlog = 1}));
  Donations donated;
  ConnectWithCredsReq request = {
      .fd = bound->child.control_fd, .sock_type = SOCK_STREAM, .padding = {}, .uid = 1000, .gid = 1000};
  EXPECT_EQ(ErrnoOf(client().Call<Mid::kConnectWithCreds>(request, &donated)), EPERM);
  EXPECT_EQ(donated.size(), 0u);
  EXPECT_EQ(ErrnoOf(client().Call<Mid::kAccept>({bound->bound_socket_fd}, [](const StringResp&) {})), EAGAIN);
}

// What names a file is not used again for another that has taken its name.
TEST_F(HazardTest, NothingIsDoneToWhateverHasTheNameNow) {
  WriteHostFile("f", "first");
  Serve();
  const Fdid first = Find(root(), "f").control_fd;
  ASSERT_TRUE(Unlink(root(), "f"));
  WriteHostFile("f", "second");
  struct stat before;
  ASSERT_EQ(stat(Path("f").c_str(), &before), 0);
  EXPECT_EQ(SetStat({.fd = first,
                     .mask = STATX_MODE | STATX_UID | STATX_SIZE | STATX_MTIME,
                     .mode = 0,
                     .uid = 77,
                     .size = 0,
                     .mtime = {1, 0}})
                ->failure_mask,
            0u);
  EXPECT_EQ(Stat(first)->size, 0u);
  EXPECT_EQ(ErrnoOf(Link(root(), first, "g")), EINVAL);
  struct stat after;
  ASSERT_EQ(stat(Path("f").c_str(), &after), 0);
  EXPECT_EQ(after.st_mode, before.st_mode);
  EXPECT_EQ(after.st_uid, before.st_uid);
  EXPECT_EQ(after.st_mtim.tv_sec, before.st_mtim.tv_sec);
  EXPECT_EQ(ReadHostFile("f"), "second");
}

}  // namespace
}  // namespace lisafs
