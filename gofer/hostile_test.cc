#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <thread>

#include "gofer/gofer_testing.h"
#include "lisafs/socket.h"

// A client that sends whatever comes to its mind, in any order. The server must answer each request, hold on to nothing
// after the end, and touch nothing outside its mount.

namespace lisafs {
namespace {

class HostileTest : public GoferTest {
 protected:
  void SetUp() override {
    ASSERT_EQ(mkdir(Path("outside").c_str(), 0700), 0);
    ASSERT_EQ(mkdir(Path("mount").c_str(), 0755), 0);
    ASSERT_EQ(mkdir(Path("mount/d").c_str(), 0755), 0);
    WriteHostFile("outside/secret", "secret");
    WriteHostFile("mount/f", "content");
    ASSERT_EQ(symlink("../outside", Path("mount/up").c_str()), 0);
    ASSERT_EQ(symlink("/", Path("mount/root").c_str()), 0);
    before_ = Outside();
  }
  void TearDown() override { EXPECT_EQ(Outside(), before_); }

  // Everything outside the mount that a change would show in.
  std::map<std::string, std::string> Outside() {
    std::map<std::string, std::string> all;
    for (const auto& entry : std::filesystem::directory_iterator(Path("outside"))) {
      struct stat stat;
      EXPECT_EQ(lstat(entry.path().c_str(), &stat), 0);
      all[entry.path()] = std::to_string(stat.st_mode) + " " + std::to_string(stat.st_uid) + " " +
                          std::to_string(stat.st_ctim.tv_nsec) + " " + std::to_string(stat.st_nlink);
    }
    return all;
  }

 private:
  std::map<std::string, std::string> before_;
};

// Small numbers where FDIDs, counts and lengths stand, and names that mean something.
std::vector<std::byte> Nonsense(std::mt19937& random) {
  static const char* const kNames[] = {"f",    "d",          "..",          ".",   "",          "up",
                                       "root", "../outside", "/etc/passwd", "new", "up/secret", "user.a"};
  std::vector<std::byte> payload;
  auto append = [&](const void* data, size_t size) {
    const auto* bytes = static_cast<const std::byte*>(data);
    payload.insert(payload.end(), bytes, bytes + size);
  };
  while (payload.size() < random() % 120) {
    switch (random() % 4) {
      case 0: {
        uint64_t fd = random() % 12;
        append(&fd, sizeof fd);
        break;
      }
      case 1: {
        std::string_view name = kNames[random() % std::size(kNames)];
        uint16_t length = random() % 8 == 0 ? static_cast<uint16_t>(random()) : static_cast<uint16_t>(name.size());
        append(&length, sizeof length);
        append(name.data(), name.size());
        break;
      }
      case 2: {
        uint32_t small = random() % 8 == 0 ? static_cast<uint32_t>(random()) : random() % 4;
        append(&small, sizeof small);
        break;
      }
      default: {
        uint16_t any = static_cast<uint16_t>(random());
        append(&any, sizeof any);
      }
    }
  }
  return payload;
}

TEST_F(HostileTest, NonsenseIsAnsweredAndLeadsNowhere) {
  SelfFds self = *SelfFds::Make(Fd(open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC)));
  HostMount mount(server(), self, Fd(open(Path("mount").c_str(), O_PATH | O_CLOEXEC)),
                  {.open_sockets = true, .create_sockets = true, .open_fifos = true});
  std::mt19937 random(20261123);
  for (int round = 0; round < 20; ++round) {
    int sockets[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    Connection connection(server(), mount, Fd(sockets[0]), {.max_fds = 50});
    std::thread thread([&] { connection.Serve(); });
    {
      SocketLane lane(Fd(sockets[1]), kDefaultMaxMessage);
      for (int i = 0; i < 1000; ++i) {
        std::vector<std::byte> payload = Nonsense(random);
        // Mount is likely, so that there is something to break.
        uint16_t mid = static_cast<uint16_t>(random() % 10 == 0 ? 1 : random() % 36);
        if (random() % 10 == 0) mid = static_cast<uint16_t>(256 + random() % 8);
        if (!payload.empty()) memcpy(lane.payload().data(), payload.data(), payload.size());
        ASSERT_TRUE(lane.Send(static_cast<Mid>(mid), payload.size(), nullptr));
        auto answer = lane.Receive(0, nullptr);
        ASSERT_TRUE(answer) << mid;
        EXPECT_TRUE(answer->mid == mid || (answer->mid == 0 && answer->payload.size() == 4)) << mid;
      }
    }
    thread.join();
    EXPECT_EQ(connection.fds().size(), 0u);
  }
}

// A directory that is replaced by a link while it is walked.
TEST_F(HostileTest, NoLinkIsFollowedHoweverTheTreeChanges) {
  Serve({}, "mount", 2);
  std::atomic<bool> stop = false;
  std::thread changer([&] {
    while (!stop) {
      (void)Rename2(root(), "d", root(), "up", 2);
    }
  });
  for (int i = 0; i < 2000; ++i) {
    auto walked = Walk(root(), {"d", "secret"});
    ASSERT_TRUE(walked);
    EXPECT_LE(walked->inodes.size(), 1u);
    for (const Inode& inode : walked->inodes) ASSERT_TRUE(Close({inode.control_fd}));
    auto stats = WalkStat(root(), {"d", "secret"});
    ASSERT_TRUE(stats || stats.error() == Errno(ENOTDIR));
    if (stats) {
      EXPECT_LE(stats->size(), 1u);
    }
  }
  stop = true;
  changer.join();
}

}  // namespace
}  // namespace lisafs
