#include "waker/waker.h"

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/waking.h"

namespace lisafs {
namespace {

// A waker on a directory of the host's, which does what a plugin's file system would only pretend.
class WakerTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "/waker.XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
    // What the plugin would answer to the one who knows the secret.
    const std::string attribute = kWakerAttribute + std::string(2 * kWakerSecretSize, '6');
    if (setxattr(directory_.c_str(), attribute.c_str(), "", 0, 0) != 0) GTEST_SKIP() << "no attributes on " << name;
    std::ofstream(Path("f")) << "text";
    container_ = fork();
    if (container_ == 0) {
      pause();
      _exit(0);
    }
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    plugin_.reset(ends[0]);
    const std::string secret(kWakerSecretSize, 0x66);
    ASSERT_EQ(send(plugin_.get(), secret.data(), secret.size(), 0), static_cast<ssize_t>(secret.size()));
    std::vector<WokenMount> mounts;
    mounts.push_back({.tree = Fd(open(directory_.c_str(), O_PATH | O_CLOEXEC)),
                      .root = Fd(open(directory_.c_str(), O_RDONLY | O_CLOEXEC)),
                      .socket = Fd(ends[1])});
    thread_ = std::thread([this, mounts = std::move(mounts)]() mutable {
      const Fd container(static_cast<int>(syscall(SYS_pidfd_open, container_, 0)));
      const Fd own_fds(open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC));
      ServeWaker(container, own_fds, std::move(mounts));
    });
  }
  void TearDown() override {
    plugin_.reset();
    if (thread_.joinable()) thread_.join();
    if (container_ > 0) {
      kill(container_, SIGKILL);
      waitpid(container_, nullptr, 0);
    }
    std::filesystem::remove_all(directory_);
  }
  std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  std::optional<int32_t> Answer() {
    pollfd waiting = {.fd = plugin_.get(), .events = POLLIN, .revents = 0};
    int32_t answer;
    if (poll(&waiting, 1, 5000) != 1 || recv(plugin_.get(), &answer, sizeof answer, 0) != sizeof answer) return {};
    return answer;
  }
  void Send(const std::string& message) {
    ASSERT_EQ(send(plugin_.get(), message.data(), message.size(), 0), static_cast<ssize_t>(message.size()));
  }
  static std::string Message(WakeAction action, const std::string& path) {
    const WakeCommand command = {
        .action = action, .is_directory = 0, .old_size = 0, .size = static_cast<uint16_t>(path.size())};
    return std::string(reinterpret_cast<const char*>(&command), sizeof command) + path;
  }
  std::optional<int32_t> Do(WakeAction action, const std::string& path) {
    Send(Message(action, path));
    return Answer();
  }

  std::string directory_;
  pid_t container_ = -1;
  Fd plugin_;
  std::thread thread_;
};

TEST_F(WakerTest, ClosesWhatItHasOpenedForWriting) {
  const Fd watcher(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  ASSERT_GE(inotify_add_watch(watcher.get(), directory_.c_str(), IN_CLOSE_WRITE | IN_MODIFY | IN_CREATE), 0);
  EXPECT_EQ(Do(WakeAction::kCloseWrite, "f"), 0);
  // It is closed by now.
  char buffer[4096];
  ASSERT_GT(read(watcher.get(), buffer, sizeof buffer), 0);
  const auto* event = reinterpret_cast<const inotify_event*>(buffer);
  EXPECT_EQ(event->mask, uint32_t{IN_CLOSE_WRITE});
  EXPECT_STREQ(event->name, "f");
  EXPECT_EQ(std::filesystem::file_size(Path("f")), 4u);
}

TEST_F(WakerTest, OpensNothingElse) {
  ASSERT_EQ(symlink("f", Path("link").c_str()), 0);
  ASSERT_EQ(mkdir(Path("d").c_str(), 0755), 0);
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  EXPECT_EQ(Do(WakeAction::kCloseWrite, "link"), ELOOP);
  EXPECT_EQ(Do(WakeAction::kCloseWrite, "d"), EISDIR);
  EXPECT_EQ(Do(WakeAction::kCloseWrite, "none"), ENOENT);
  EXPECT_FALSE(std::filesystem::exists(Path("none")));
  // Nor does it wait, for a reader or for who holds a lease.
  EXPECT_EQ(Do(WakeAction::kCloseWrite, "fifo"), ENXIO);
  const Fd leased(open(Path("f").c_str(), O_RDONLY | O_CLOEXEC));
  if (fcntl(leased.get(), F_SETLEASE, F_RDLCK) == 0) {
    signal(SIGIO, SIG_IGN);
    EXPECT_EQ(Do(WakeAction::kCloseWrite, "f"), EAGAIN);
  }
}

TEST_F(WakerTest, EndsWithWhatMakesNoSense) {
  for (const std::string& message :
       {std::string("x"), Message(WakeAction::kCloseWrite, "f").substr(0, sizeof(WakeCommand)),
        Message(WakeAction::kCloseWrite, "f") + "more", Message(WakeAction::kCloseWrite, std::string("f\0g", 3))}) {
    Send(message);
    EXPECT_EQ(Answer(), kWakerEnds);
    TearDown();
    SetUp();
  }
  EXPECT_EQ(Do(static_cast<WakeAction>(99), "f"), EINVAL);
}

TEST_F(WakerTest, EndsWithTheContainer) {
  kill(container_, SIGKILL);
  EXPECT_EQ(Answer(), kWakerEnds);
}

}  // namespace
}  // namespace lisafs
