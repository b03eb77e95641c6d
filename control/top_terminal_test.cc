// lisafsctl's commands that go on, as a person sees them: in a terminal.

#include <gmock/gmock.h>
#include <signal.h>
#include <stdio.h>

#include <filesystem>

#include "control/service_testing.h"

namespace lisafs {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr char kTmux[] = "/usr/bin/tmux";

std::string Output(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");
  std::string output;
  char buffer[4096];
  while (size_t size = fread(buffer, 1, sizeof buffer, pipe)) output.append(buffer, size);
  pclose(pipe);
  return output;
}

class TerminalTest : public ServiceTest {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kTmux)) GTEST_SKIP() << "needs " << kTmux;
    ServiceTest::SetUp();
  }
  void TearDown() override {
    if (!directory_.empty()) Tmux("kill-server");
    ServiceTest::TearDown();
  }

  std::string Tmux(const std::string& command) {
    return Output(std::string(kTmux) + " -S " + directory_ + "/tmux -f /dev/null " + command + " 2>/dev/null");
  }
  // Types it into a terminal of 80 columns and 12 lines with a shell.
  void Run(const std::string& arguments) {
    const std::string ctl = std::filesystem::absolute("control/lisafsctl");
    Tmux("new-session -d -x 80 -y 12 'PS1=ready: /bin/sh'");
    ASSERT_TRUE(Eventually([&] { return ScreenHas("ready:"); })) << Screen();
    std::filesystem::create_symlink(ctl, directory_ + "/ctl");
    Tmux("send-keys '" + directory_ + "/ctl --socket " + Socket() + " " + arguments + "' Enter");
  }
  std::string Screen() { return Tmux("capture-pane -p"); }
  bool ScreenHas(const std::string& text) { return Screen().find(text) != std::string::npos; }
};

TEST_F(TerminalTest, TopShowsWhatGoesOnAndQuits) {
  ASSERT_TRUE(Create(Request("web")).ok());
  ASSERT_NO_FATAL_FAILURE(Run("top"));
  EXPECT_TRUE(Eventually([&] { return ScreenHas("1 sandboxes, 2 mounts"); })) << Screen();
  EXPECT_THAT(Screen(), HasSubstr("SANDBOX MOUNT"));
  EXPECT_THAT(Screen(), HasSubstr("web /etc/hosts"));
  EXPECT_THAT(Screen(), HasSubstr("by calls"));
  EXPECT_THAT(Screen(), HasSubstr("q quit"));
  Tmux("send-keys b");
  EXPECT_TRUE(Eventually([&] { return ScreenHas("by bytes"); })) << Screen();
  // It goes with what it shows.
  ASSERT_TRUE(Delete("web").ok());
  EXPECT_TRUE(Eventually([&] { return ScreenHas("0 sandboxes, 0 mounts"); })) << Screen();
  EXPECT_THAT(Screen(), Not(HasSubstr("/etc/hosts")));
  Tmux("send-keys q");
  // The terminal is as it was, and echoes what is typed.
  EXPECT_TRUE(Eventually([&] { return !ScreenHas("sandboxes, ") && ScreenHas("ready:"); })) << Screen();
  Tmux("send-keys 'echo back-$((40+2))' Enter");
  EXPECT_TRUE(Eventually([&] { return ScreenHas("back-42"); })) << Screen();
}

TEST_F(TerminalTest, EventsAreShownAsTheyHappenAndAcrossARestart) {
  ASSERT_NO_FATAL_FAILURE(Run("events"));
  // When it watches is not to be seen, so it is shown what happens again and again.
  EXPECT_TRUE(Eventually([&] {
    EXPECT_TRUE(Create(Request("web")).ok());
    EXPECT_TRUE(Delete("web").ok());
    RenewCaller();
    return ScreenHas("sandbox_ended web: deleted");
  })) << Screen();
  ASSERT_EQ(StopDaemon(SIGTERM), 0);
  StartDaemon();
  EXPECT_TRUE(Eventually([&] { return ScreenHas("-- another lisafsd runs"); })) << Screen();
  Tmux("send-keys C-c");
}

TEST_F(TerminalTest, TopAsTextEndsByItself) {
  ASSERT_TRUE(Create(Request("web")).ok());
  const std::string text = Output("control/lisafsctl --socket " + Socket() + " top -n 2 --interval 0.1 </dev/null");
  EXPECT_THAT(text, testing::StartsWith("1 sandboxes, 2 mounts"));
  EXPECT_THAT(text, HasSubstr("\n\n1 sandboxes, 2 mounts"));
}

}  // namespace
}  // namespace lisafs
