#include "broker/broker.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "broker/client.h"
#include "broker/protocol.h"

namespace lisafs {
namespace {

// A broker on a thread, whose one device, of mount 3, is none of FUSE's: real ones are tested in tests/filesystem.
class BrokerTest : public testing::Test {
 protected:
  BrokerTest() {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    gofer_.reset(ends[0]);
    broker_.reset(ends[1]);
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    lifeline_.reset(ends[0]);
    plugin_.reset(ends[1]);
    devices_.push_back({.mount = 3, .device = Fd(open("/dev/null", O_RDWR | O_CLOEXEC))});
    thread_ = std::thread([this] {
      ServeBroker(broker_, lifeline_, devices_);
      broker_.reset();
    });
  }
  ~BrokerTest() override {
    plugin_.reset();
    if (thread_.joinable()) thread_.join();
  }

  Fd gofer_, broker_, lifeline_, plugin_;
  std::vector<BrokerDevice> devices_;
  std::thread thread_;
};

TEST_F(BrokerTest, SaysWhatTheKernelSays) {
  BrokerClient client(std::move(gofer_));
  Fd file(memfd_create("file", MFD_CLOEXEC));
  auto backing = client.Open(3, file.get());
  ASSERT_FALSE(backing);
  EXPECT_EQ(backing.error(), Errno(ENOTTY));
}

TEST_F(BrokerTest, RefusesWhatItDoesNotServe) {
  BrokerClient client(std::move(gofer_));
  Fd file(memfd_create("file", MFD_CLOEXEC));
  EXPECT_EQ(client.Open(2, file.get()).error(), Errno(ENODEV));
  Fd directory(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_EQ(client.Open(3, directory.get()).error(), Errno(EINVAL));
  EXPECT_EQ(client.Open(3, plugin_.get()).error(), Errno(EINVAL));
  EXPECT_EQ(client.Open(3, -1).error(), Errno(EBADF));
}

TEST_F(BrokerTest, EndsWithTheGofer) {
  gofer_.reset();
  thread_.join();
}

TEST_F(BrokerTest, EndsWithThePluginAndIsMissedByTheGofer) {
  plugin_.reset();
  thread_.join();
  BrokerClient client(std::move(gofer_));
  Fd file(memfd_create("file", MFD_CLOEXEC));
  EXPECT_EQ(client.Open(3, file.get()).error(), Errno(ENOTCONN));
}

TEST_F(BrokerTest, EndsWithAMessageThatIsNone) {
  ASSERT_EQ(send(gofer_.get(), "short", 5, MSG_NOSIGNAL), 5);
  thread_.join();
}

TEST_F(BrokerTest, EndsWithAnUnknownOperation) {
  BrokerRequest request = {.operation = static_cast<BrokerOperation>(7), .mount = 3, .backing_id = 1};
  ASSERT_EQ(send(gofer_.get(), &request, sizeof request, MSG_NOSIGNAL), static_cast<ssize_t>(sizeof request));
  thread_.join();
}

}  // namespace
}  // namespace lisafs
