#include "sandbox/launcher.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <deque>
#include <filesystem>

#include "absl/strings/str_cat.h"

namespace lisafs {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using testing::HasSubstr;

bool Never() { return false; }

class LauncherTest : public testing::Test {
 protected:
  LauncherTest() {
    std::string name = testing::TempDir() + "/launcher.XXXXXX";
    directory_ = mkdtemp(name.data());
  }
  ~LauncherTest() override {
    std::filesystem::remove_all(directory_);
    // Whatever happened, no child is left.
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
    EXPECT_EQ(errno, ECHILD);
  }

  // The stand-in in one of its roles.
  std::string Program(const std::string& role) {
    std::string path = directory_ + "/" + role;
    EXPECT_EQ(symlink(std::filesystem::absolute("sandbox/stand_in").c_str(), path.c_str()), 0);
    return path;
  }

  // A new log for each start.
  ProgramLog& NewLog() {
    logs_.push_back(ProgramLog::Create(absl::StrCat(directory_, "/log", logs_.size())).value());
    return logs_.back();
  }

  absl::StatusOr<Process> Start(Command command, milliseconds patience = seconds(60)) {
    auto launch = Launch::Spawn(std::move(command), NewLog());
    if (!launch.ok()) return launch.status();
    return launch->AwaitReady(steady_clock::now() + patience, Never);
  }

  std::string directory_;
  std::deque<ProgramLog> logs_;
};

TEST_F(LauncherTest, AStartedProgramIsAChildThatEndsByItself) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  Fd mine(pair[0]);
  Command command(Program("gofer"));
  command.Add("--mount");
  command.Add(std::to_string(command.Give(Fd(pair[1]))) + ":0");
  auto process = Start(std::move(command));
  ASSERT_TRUE(process.ok()) << process.status();
  EXPECT_GT(process->start_time(), 0u);
  EXPECT_FALSE(process->Wait(milliseconds(20)));

  EXPECT_TRUE(Process::Adopt(process->pid(), process->start_time()).ok());
  EXPECT_EQ(Process::Adopt(process->pid(), process->start_time() + 1).status().code(), absl::StatusCode::kNotFound);

  mine.reset();
  auto end = process->Wait(seconds(60));
  ASSERT_TRUE(end);
  EXPECT_FALSE(end->failed());
  EXPECT_EQ(end->ToString(), "exited with status 0");
  EXPECT_EQ(Process::Adopt(process->pid(), process->start_time()).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(LauncherTest, AKilledProgramSaysSo) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  Fd mine(pair[0]);
  Command command(Program("gofer"));
  command.Add("--mount");
  command.Add(std::to_string(command.Give(Fd(pair[1]))) + ":0");
  auto process = Start(std::move(command));
  ASSERT_TRUE(process.ok()) << process.status();
  process->Kill();
  auto end = process->Wait(seconds(60));
  ASSERT_TRUE(end);
  EXPECT_TRUE(end->failed());
  EXPECT_EQ(end->ToString(), "killed by signal 9");
}

TEST_F(LauncherTest, InheritsExactlyWhatIsGiven) {
  Fd leaked(open("/dev/null", O_RDONLY | O_CLOEXEC));
  Command command(Program("fds"));
  // In the reverse of the order that they were opened in: no one's place may cost another's.
  std::vector<Fd> fds;
  for (int i = 0; i < 4; ++i) fds.push_back(Fd(open("/dev/null", O_RDONLY | O_CLOEXEC)));
  for (int i = 3; i >= 0; --i) EXPECT_EQ(command.Give(std::move(fds[i])), 3 + 3 - i);
  auto process = Start(std::move(command));
  ASSERT_TRUE(process.ok()) << process.status();
  EXPECT_TRUE(process->Wait(seconds(60)));
  logs_.back().Collect();
  EXPECT_EQ(logs_.back().LastLine(), "0 1 2 3 4 5 6 7 ");
}

struct BadStart {
  std::string role;
  std::string message;
};

TEST_F(LauncherTest, AProgramThatDoesNotStartIsGoneAndSaysWhy) {
  const BadStart cases[] = {
      {"refuse", "refuse: mount 0: why \\x1b[31mnot"},
      {"die", "killed by signal 9"},
      {"hang", "not ready in time"},
      {"babble", "it said \"hello\" instead of a process id"},
  };
  for (const BadStart& bad : cases) {
    auto process = Start(Command(Program(bad.role)), bad.role == "hang" ? milliseconds(200) : seconds(60));
    EXPECT_EQ(process.status().code(), absl::StatusCode::kFailedPrecondition) << bad.role;
    EXPECT_EQ(std::string(process.status().message()), bad.message) << bad.role;
  }
}

TEST_F(LauncherTest, AMissingProgramIsNamed) {
  auto process = Start(Command(directory_ + "/nowhere"));
  EXPECT_EQ(process.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(process.status().message()), HasSubstr("/nowhere: No such file or directory"));
}

TEST_F(LauncherTest, ACallerCanGiveUp) {
  auto launch = Launch::Spawn(Command(Program("hang")), NewLog());
  ASSERT_TRUE(launch.ok()) << launch.status();
  int asked = 0;
  auto process = launch->AwaitReady(steady_clock::now() + seconds(60), [&] { return ++asked > 2; });
  EXPECT_EQ(process.status().code(), absl::StatusCode::kCancelled);
}

TEST(Process, OthersAreNotChildren) {
  EXPECT_EQ(Process::OfChild(1).status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace lisafs
