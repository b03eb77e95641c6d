// lisafsd as systemd runs it: with a socket that listens already, and a service manager that wants to hear of it.

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/fd.h"
#include "control/service_testing.h"

namespace lisafs {
namespace {

using testing::HasSubstr;

Fd BoundSocket(int type, const std::string& path) {
  Fd fd(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path.c_str());
  EXPECT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  return fd;
}

class ServiceManagerTest : public ServiceTest {
 protected:
  void SetUp() override {
    ServiceTest::SetUp();
    if (IsSkipped()) return;
    ASSERT_EQ(StopDaemon(SIGTERM), 0);
    listening_ = BoundSocket(SOCK_STREAM, Socket());
    ASSERT_EQ(listen(listening_.get(), 8), 0);
    notify_ = BoundSocket(SOCK_DGRAM, directory_ + "/notify");
    const timeval patience = {.tv_sec = 10, .tv_usec = 0};
    setsockopt(notify_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  void TearDown() override {
    std::filesystem::remove(Socket());
    ServiceTest::TearDown();
  }

  void StartAsService() {
    const std::string program = std::filesystem::absolute("control/lisafsd");
    const std::string config = "--config=" + directory_ + "/lisafsd.toml", state = "--state-dir=" + StateDir();
    const std::string notify = directory_ + "/notify", log = directory_ + "/log";
    daemon_ = fork();
    if (daemon_ == 0) {
      if (dup2(listening_.get(), 3) != 3 || freopen(log.c_str(), "w", stderr) == nullptr) _exit(100);
      const std::string pid = std::to_string(getpid());
      setenv("LISTEN_PID", pid.c_str(), 1);
      setenv("LISTEN_FDS", "1", 1);
      setenv("NOTIFY_SOCKET", notify.c_str(), 1);
      setenv("WATCHDOG_PID", pid.c_str(), 1);
      setenv("WATCHDOG_USEC", "200000", 1);
      execl(program.c_str(), program.c_str(), config.c_str(), state.c_str(), nullptr);
      _exit(101);
    }
  }

  std::string Notification() {
    char text[1000];
    ssize_t size = recv(notify_.get(), text, sizeof text, 0);
    return size < 0 ? "" : std::string(text, static_cast<size_t>(size));
  }

  Fd listening_, notify_;
};

TEST_F(ServiceManagerTest, TakesItsSocketAndSaysHowItIs) {
  StartAsService();
  EXPECT_EQ(Notification(), "READY=1\nSTATUS=listening on " + Socket()) << Log();
  EXPECT_EQ(Notification(), "WATCHDOG=1");
  EXPECT_EQ(Notification(), "WATCHDOG=1");
  auto channel = grpc::CreateChannel("unix:" + Socket(), grpc::InsecureChannelCredentials());
  auto stub = v1::Control::NewStub(channel);
  grpc::ClientContext context;
  v1::ListSandboxesResponse response;
  EXPECT_TRUE(stub->ListSandboxes(&context, {}, &response).ok());
  stub.reset();
  channel.reset();
  EXPECT_EQ(StopDaemon(SIGTERM), 0);
  std::string last;
  while ((last = Notification()) == "WATCHDOG=1") {
  }
  EXPECT_EQ(last, "STOPPING=1");
  EXPECT_TRUE(std::filesystem::exists(Socket())) << "it is the service manager's";
}

TEST_F(ServiceManagerTest, ASocketThatDoesNotListenIsRefused) {
  listening_ = BoundSocket(SOCK_DGRAM, directory_ + "/datagrams");
  StartAsService();
  int status;
  ASSERT_EQ(waitpid(daemon_, &status, 0), daemon_);
  daemon_ = -1;
  EXPECT_EQ(WEXITSTATUS(status), 1);
  EXPECT_THAT(Log(), HasSubstr("cannot serve: socket: LISTEN_FDS: not a unix stream socket that listens"));
}

TEST_F(ServiceManagerTest, LogsObjectsWhereItIsTold) {
  Configure("[log]\ndestination = \"" + directory_ + "/json\"\nformat = \"json\"\n");
  StartAsService();
  EXPECT_THAT(Notification(), HasSubstr("READY=1"));
  EXPECT_EQ(StopDaemon(SIGTERM), 0);
  const std::string log = ReadFile(directory_ + "/json");
  EXPECT_THAT(log, HasSubstr("\"level\":\"info\""));
  EXPECT_THAT(log, HasSubstr("\"message\":\"listening on " + Socket() + "\"}\n"));
}

TEST_F(ServiceManagerTest, TheUnitsAreOnesThatSystemdTakes) {
  if (!std::filesystem::exists("/usr/bin/systemd-analyze")) GTEST_SKIP() << "needs systemd-analyze";
  for (const char* unit : {"lisafsd.service", "lisafsd.socket"}) {
    std::string text = ReadFile(std::string("scripts/service/") + unit);
    const std::string bin = "@BIN@";
    if (size_t at = text.find(bin); at != std::string::npos) {
      text.replace(at, bin.size(), std::filesystem::absolute("control"));
    }
    std::ofstream(directory_ + "/" + unit) << text;
  }
  const std::string output = directory_ + "/verify";
  const std::string command = "cd " + directory_ + " && SYSTEMD_UNIT_PATH=" + directory_ +
                              ": systemd-analyze verify --man=no ./lisafsd.service ./lisafsd.socket > " + output +
                              " 2>&1";
  EXPECT_EQ(system(command.c_str()), 0) << ReadFile(output);
  EXPECT_THAT(ReadFile(output), testing::Not(HasSubstr("lisafsd.")));
}

}  // namespace
}  // namespace lisafs
