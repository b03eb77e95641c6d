#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>

#include "tests/support/files.h"
#include "tests/support/process.h"

namespace lisafs::tests {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Run, GivesStatusAndOutput) {
  Ran ran = RunProgram({"sh", "-c", "read line; echo got $line $EXTRA; echo oops >&2; exit 3"},
                       {.input = "word\n", .environment = {"EXTRA=more"}});
  EXPECT_EQ(ran.status, 3);
  EXPECT_EQ(ran.out, "got word more\n");
  EXPECT_EQ(ran.err, "oops\n");
  EXPECT_FALSE(ran.ok());
}

TEST(Run, SaysWhatKilledIt) { EXPECT_EQ(RunProgram({"sh", "-c", "kill -TERM $$"}).status, 128 + SIGTERM); }

TEST(Run, SaysWhatCouldNotBeStarted) {
  Ran ran = RunProgram({"/nonexistent/program"});
  EXPECT_EQ(ran.status, 127);
  EXPECT_NE(ran.err.find("/nonexistent/program"), std::string::npos);
}

TEST(Run, KillsTheWholeGroupWhenTimeIsOver) {
  Ran ran = RunProgram({"sh", "-c", "sleep 1000 & sleep 1000"}, {.timeout = milliseconds(100)});
  EXPECT_TRUE(ran.timed_out);
  EXPECT_TRUE(Eventually(seconds(5), [] { return Descendants().empty(); }));
}

TEST(Run, DoesNotWaitForWhatIsLeftInTheBackground) {
  Ran ran = RunProgram({"sh", "-c", "setsid sleep 1000 & echo $!"});
  ASSERT_TRUE(ran.ok()) << ran;
  pid_t pid = std::stoi(ran.out);
  ASSERT_GT(pid, 0);
  auto is_sleep = [&](const Descendant& descendant) { return descendant.pid == pid && descendant.name == "sleep"; };
  EXPECT_TRUE(Eventually(seconds(5), [&] {
    auto living = Descendants();
    return std::any_of(living.begin(), living.end(), is_sleep);
  }));
  kill(pid, SIGKILL);
  EXPECT_TRUE(Eventually(seconds(5), [] { return Descendants().empty(); }));
}

TEST(Process, ShowsItsOutputWhileItRuns) {
  Process process({"sh", "-c", "echo ready; exec sleep 1000"}, {});
  EXPECT_TRUE(Eventually(seconds(5), [&] { return process.out() == "ready\n"; }));
  process.Signal(SIGINT);
  EXPECT_EQ(process.Wait().status, 128 + SIGINT);
}

TEST(TempDir, GoesWithEverythingInIt) {
  std::string path;
  {
    TempDir dir;
    path = dir.path();
    MakeDirectory(dir / "a/b");
    WriteFile(dir / "a/b/c", "text", 0600);
    EXPECT_EQ(ReadFile(dir / "a/b/c"), "text");
  }
  EXPECT_FALSE(ReadFile(path + "/a/b/c").has_value());
  EXPECT_TRUE(ListDirectory(path).empty());
}

}  // namespace
}  // namespace lisafs::tests
