#include "sandbox/runtime_daemon.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>
#include <vector>

#include "base/fd.h"

// The test's executable is also the lisafsd that it starts: see StandIn.

namespace lisafs {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr char kFailure[] = "refusing to start";

Fd Listen(const std::string& path) {
  Fd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  if (bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return Fd();
  if (listen(listener.get(), 5) != 0) return Fd();
  return listener;
}

// Behaves as lisafsd does: listens on its socket, alone on its state directory; writes down what it was started with.
int StandIn(int argc, char** argv) {
  if (argc != 5 || strcmp(argv[1], "--socket") != 0 || strcmp(argv[3], "--state-dir") != 0) return 2;
  std::string socket_path = argv[2], state = argv[4];
  if (fs::exists(state + "-forbidden")) {
    fprintf(stderr, "%s\n", kFailure);
    return 1;
  }
  // A rival that comes first needs some time.
  if (mkdir(state.c_str(), 0700) != 0) return 0;
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  {
    std::ofstream report(state + "/report.new");
    report << getpid() << " " << getppid() << " " << getsid(0) << " " << fs::current_path().string() << " "
           << (getenv("LISAFS_TEST") == nullptr ? "clean" : "inherited") << " ";
    report << std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
  }
  rename((state + "/report.new").c_str(), (state + "/report").c_str());
  Fd listener = Listen(socket_path);
  if (!listener) return 1;
  alarm(20);
  while (true) pause();
}

class DaemonTest : public ::testing::Test {
 protected:
  DaemonTest() {
    // Short enough for a socket's path.
    char pattern[] = "/tmp/lisafs-daemon-test-XXXXXX";
    directory_ = mkdtemp(pattern);
    socket_ = directory_ + "/control.sock";
  }
  ~DaemonTest() override {
    if (Report report = Read(); report.pid > 0) kill(report.pid, SIGKILL);
    fs::remove_all(directory_);
  }

  struct Report {
    pid_t pid = 0, parent = 0, session = 0;
    std::string working_directory, environment;
    int descriptors = 0;
  };
  Report Read() {
    Report report;
    std::ifstream(directory_ + "/state/report") >> report.pid >> report.parent >> report.session >>
        report.working_directory >> report.environment >> report.descriptors;
    return report;
  }

  std::string directory_, socket_;
};

TEST_F(DaemonTest, LeavesARunningOneAlone) {
  Fd listener = Listen(socket_);
  ASSERT_TRUE(listener);
  EXPECT_TRUE(FindDaemon(socket_).ok());
  EXPECT_TRUE(EnsureDaemon(socket_, "/does/not/exist").ok());
  EXPECT_FALSE(fs::exists(directory_ + "/lisafsd.log"));
}

TEST_F(DaemonTest, StartsOneThatBelongsToNobody) {
  EXPECT_TRUE(absl::IsUnavailable(FindDaemon(socket_)));
  ASSERT_EQ(setenv("LISAFS_TEST", "1", 1), 0);
  Fd inherited(dup(STDERR_FILENO));
  absl::Status ensured = EnsureDaemon(socket_, "/proc/self/exe");
  ASSERT_TRUE(ensured.ok()) << ensured;
  EXPECT_TRUE(FindDaemon(socket_).ok());
  Report report = Read();
  EXPECT_NE(report.parent, getpid());
  EXPECT_NE(report.session, getsid(0));
  EXPECT_NE(report.session, report.pid) << "a session's leader could still get a terminal";
  EXPECT_EQ(report.working_directory, "/");
  EXPECT_EQ(report.environment, "clean");
  EXPECT_LE(report.descriptors, 5) << "0, 1, 2, its report and the directory it counts in";
  struct stat log;
  ASSERT_EQ(stat((directory_ + "/lisafsd.log").c_str(), &log), 0);
  EXPECT_EQ(log.st_mode & 0777, 0600u);
}

TEST_F(DaemonTest, ReplacesASocketNobodyListensOn) {
  Listen(socket_).reset();
  ASSERT_TRUE(fs::exists(socket_));
  EXPECT_TRUE(absl::IsUnavailable(FindDaemon(socket_)));
}

TEST_F(DaemonTest, ManyAtOnceShareOne) {
  std::vector<pid_t> callers;
  for (int i = 0; i < 8; ++i) {
    pid_t caller = fork();
    if (caller == 0) _exit(EnsureDaemon(socket_, "/proc/self/exe").ok() ? 0 : 1);
    callers.push_back(caller);
  }
  for (pid_t caller : callers) {
    int status;
    ASSERT_EQ(waitpid(caller, &status, 0), caller);
    EXPECT_EQ(status, 0);
  }
}

TEST_F(DaemonTest, SaysWhyItDoesNotAnswer) {
  std::ofstream(directory_ + "/state-forbidden") << "";
  absl::Status ensured = EnsureDaemon(socket_, "/proc/self/exe", std::chrono::seconds(60));
  EXPECT_TRUE(absl::IsUnavailable(ensured));
  EXPECT_THAT(std::string(ensured.message()), HasSubstr("ended without answering"));
  EXPECT_THAT(std::string(ensured.message()), HasSubstr(kFailure));

  ensured = EnsureDaemon(socket_, "/does/not/exist", std::chrono::seconds(60));
  EXPECT_THAT(std::string(ensured.message()), HasSubstr("/does/not/exist: No such file or directory"));
}

// Somebody else's socket in a directory where others can make one: not even asked.
TEST_F(DaemonTest, DoesNotTrustWhatOthersCanPutThere) {
  Fd listener = Listen(socket_);
  ASSERT_TRUE(listener.valid());
  ASSERT_EQ(chmod(directory_.c_str(), 01777), 0);
  absl::Status status = EnsureDaemon(socket_, "/does/not/exist");
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(directory_ + ": is writable for others"));
  pollfd connected = {.fd = listener.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&connected, 1, 0), 0);
}

TEST_F(DaemonTest, RefusesWhatIsNoSocket) {
  EXPECT_EQ(FindDaemon(std::string(200, 'x')).code(), absl::StatusCode::kInvalidArgument);
  std::ofstream(directory_ + "/file") << "";
  absl::Status found = EnsureDaemon(directory_ + "/file/control.sock", "/proc/self/exe");
  EXPECT_EQ(found.code(), absl::StatusCode::kFailedPrecondition) << found;
}

}  // namespace
}  // namespace lisafs

int main(int argc, char** argv) {
  if (argc > 1 && strcmp(argv[1], "--socket") == 0) return lisafs::StandIn(argc, argv);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
