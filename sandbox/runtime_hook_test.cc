#include "sandbox/runtime_hook.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

namespace lisafs {
namespace {

using ::testing::HasSubstr;

bool IsMounted(const std::string& process, const std::string& path) {
  std::ifstream mounts("/proc/" + process + "/mounts");
  for (std::string line; std::getline(mounts, line);) {
    if (line.find(" " + path + " ") != std::string::npos) return true;
  }
  return false;
}

TEST(RuntimeHook, NamesTheProcessBeyondItsNumber) {
  auto line =
      HookCommandLine("/bin/lisafs-runtime", getpid(), "/mnt", "/state/container", "/bin/waker", {"rootfs", "0"});
  ASSERT_TRUE(line) << line.error();
  ASSERT_EQ(line->size(), 9u);
  EXPECT_EQ((*line)[0], "/bin/lisafs-runtime");
  EXPECT_EQ((*line)[1], kHookCommand);
  EXPECT_EQ((*line)[2], std::to_string(getpid()));
  EXPECT_GT(std::stoull((*line)[3]), 0u);
  EXPECT_EQ((*line)[4], "/mnt");
  EXPECT_EQ((*line)[5], "/state/container");
  EXPECT_EQ((*line)[6], "/bin/waker");
  EXPECT_EQ((*line)[8], "0");
}

TEST(RuntimeHook, AProcessThatIsGone) {
  pid_t child = fork();
  if (child == 0) _exit(0);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_FALSE(HookCommandLine("/bin/lisafs-runtime", child, "/mnt", "", "", {}));
  // Another process with its number is left where it is.
  const std::string state = "{\"pid\": " + std::to_string(getpid()) + "}";
  EXPECT_TRUE(RunHook({std::to_string(getpid()), "1", "/mnt", "", ""}, state));
  EXPECT_TRUE(RunHook({std::to_string(child), "1", "/mnt", "", ""}, state));
}

TEST(RuntimeHook, LeavesTheMountsToTheContainer) {
  // The container: in a mount namespace of its own, which has the mounts too.
  std::string mounts = std::string(getenv("TEST_TMPDIR"));
  ASSERT_EQ(unshare(CLONE_NEWNS), 0) << strerror(errno);
  ASSERT_EQ(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  ASSERT_EQ(mount("staged", mounts.c_str(), "tmpfs", 0, nullptr), 0);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  pid_t container = fork();
  if (container == 0) {
    if (unshare(CLONE_NEWNS) != 0 || write(ends[1], "", 1) != 1) _exit(1);
    while (true) pause();
  }
  char ready;
  ASSERT_EQ(read(ends[0], &ready, 1), 1);

  const std::string told = std::string(getenv("TEST_TMPDIR")) + "-container";
  auto line = HookCommandLine("x", getpid(), mounts, told, "/none", {});
  ASSERT_TRUE(line);
  const std::vector<std::string> arguments(line->begin() + 2, line->end());
  auto same = RunHook(arguments, "{\"pid\": " + std::to_string(getpid()) + "}");
  EXPECT_TRUE(same) << same.error();
  EXPECT_TRUE(IsMounted("self", mounts)) << "a container that has no namespace of its own";
  auto done = RunHook(arguments, "{\"pid\": " + std::to_string(container) + "}");
  EXPECT_TRUE(done) << done.error();
  EXPECT_FALSE(IsMounted("self", mounts));
  EXPECT_TRUE(IsMounted(std::to_string(container), mounts));
  pid_t pid = 0;
  uint64_t start_time = 0;
  std::ifstream(told) >> pid >> start_time;
  EXPECT_EQ(pid, container);
  EXPECT_GT(start_time, 0u);
  unlink(told.c_str());
  EXPECT_FALSE(RunHook(arguments, "{\"pid\": " + std::to_string(container) + "}")) << "nothing is mounted there";
  unlink(told.c_str());
  kill(container, SIGKILL);
  waitpid(container, nullptr, 0);
}

TEST(RuntimeHook, RefusesWhatMakesNoSense) {
  const std::string state = "{\"pid\": 1}";
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{},
                                                    {"1"},
                                                    {"1", "2"},
                                                    {"1", "2", "/"},
                                                    {"1", "2", "/", ""},
                                                    {"", "2", "/", "", ""},
                                                    {"-1", "2", "/", "", ""},
                                                    {"0", "2", "/", "", ""},
                                                    {"1x", "2", "/", "", ""},
                                                    {"99999999999", "2", "/", "", ""}}) {
    auto done = RunHook(arguments, state);
    ASSERT_FALSE(done);
    EXPECT_THAT(done.error(), HasSubstr("arguments are PID"));
  }
  for (const char* bad : {"", "{", "[]", "{}", "{\"pid\": \"1\"}", "{\"pid\": 0}", "{\"pid\": -1}", "{\"pid\": 1.5}"}) {
    auto done = RunHook({"1", "2", "/", "", ""}, bad);
    ASSERT_FALSE(done) << bad;
    EXPECT_THAT(done.error(), HasSubstr("has no pid"));
  }
}

}  // namespace
}  // namespace lisafs
