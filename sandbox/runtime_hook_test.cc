#include "sandbox/runtime_hook.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace lisafs {
namespace {

using ::testing::HasSubstr;

TEST(RuntimeHook, NamesTheProcessBeyondItsNumber) {
  auto line = HookCommandLine("/bin/lisafs-runtime", getpid());
  ASSERT_TRUE(line) << line.error();
  ASSERT_EQ(line->size(), 4u);
  EXPECT_EQ((*line)[0], "/bin/lisafs-runtime");
  EXPECT_EQ((*line)[1], kHookCommand);
  EXPECT_EQ((*line)[2], std::to_string(getpid()));
  EXPECT_GT(std::stoull((*line)[3]), 0u);
}

TEST(RuntimeHook, AProcessThatIsGone) {
  pid_t child = fork();
  if (child == 0) _exit(0);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_FALSE(HookCommandLine("/bin/lisafs-runtime", child));
  // Another process with its number is left where it is.
  EXPECT_TRUE(RunHook({std::to_string(getpid()), "1"}, "{\"pid\": 1}"));
  EXPECT_TRUE(RunHook({std::to_string(child), "1"}, "{\"pid\": 1}"));
}

TEST(RuntimeHook, MovesNothingThatIsThere) {
  auto line = HookCommandLine("x", getpid());
  ASSERT_TRUE(line);
  auto done = RunHook({(*line)[2], (*line)[3]}, "{\"pid\": " + std::to_string(getpid()) + "}");
  EXPECT_TRUE(done) << done.error();
}

TEST(RuntimeHook, RefusesWhatMakesNoSense) {
  const std::string state = "{\"pid\": 1}";
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{},
                                                    {"1"},
                                                    {"1", "2", "3"},
                                                    {"", "2"},
                                                    {"-1", "2"},
                                                    {"0", "2"},
                                                    {"1x", "2"},
                                                    {"99999999999", "2"}}) {
    auto done = RunHook(arguments, state);
    ASSERT_FALSE(done);
    EXPECT_THAT(done.error(), HasSubstr("arguments are PID and START-TIME"));
  }
  for (const char* bad : {"", "{", "[]", "{}", "{\"pid\": \"1\"}", "{\"pid\": 0}", "{\"pid\": -1}", "{\"pid\": 1.5}"}) {
    auto done = RunHook({"1", "2"}, bad);
    ASSERT_FALSE(done) << bad;
    EXPECT_THAT(done.error(), HasSubstr("has no pid"));
  }
}

}  // namespace
}  // namespace lisafs
