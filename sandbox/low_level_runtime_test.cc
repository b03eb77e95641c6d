#include "sandbox/low_level_runtime.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace lisafs {
namespace {

namespace fs = std::filesystem;

std::string MakeProgram(const std::string& name) {
  std::string directory = std::string(getenv("TEST_TMPDIR")) + "/programs";
  fs::create_directories(directory);
  std::ofstream(directory + "/" + name) << "#!/bin/sh\necho noise\nexit $1\n";
  chmod((directory + "/" + name).c_str(), 0755);
  return directory;
}

TEST(FindLowLevelRuntime, LooksInPath) {
  std::string directory = MakeProgram("stand-in-runtime");
  ASSERT_EQ(setenv("PATH", ("/nowhere:" + directory + ":/bin").c_str(), 1), 0);
  EXPECT_EQ(FindLowLevelRuntime("stand-in-runtime").value_or(""), directory + "/stand-in-runtime");
  EXPECT_EQ(FindLowLevelRuntime(directory + "/stand-in-runtime").value_or(""), directory + "/stand-in-runtime");
  EXPECT_FALSE(FindLowLevelRuntime("no-such-runtime"));
  EXPECT_FALSE(FindLowLevelRuntime("/nowhere/runc"));
  EXPECT_FALSE(FindLowLevelRuntime("/tmp/")) << "a directory";
  EXPECT_FALSE(FindLowLevelRuntime("/proc/self/exe")) << "itself";
  ASSERT_EQ(unsetenv("PATH"), 0);
  EXPECT_TRUE(FindLowLevelRuntime("sh")) << "the usual directories";
}

TEST(FindLowLevelRuntime, IsNeverItself) {
  std::string directory = MakeProgram("other");
  fs::path link = fs::path(directory) / "runtime-by-another-name";
  fs::remove(link);
  fs::create_symlink(fs::read_symlink("/proc/self/exe"), link);
  ASSERT_EQ(setenv("PATH", directory.c_str(), 1), 0);
  EXPECT_FALSE(FindLowLevelRuntime("runtime-by-another-name"));
}

TEST(SiblingProgram, IsBesideThisOne) {
  EXPECT_EQ(fs::path(SiblingProgram("lisafsd")), fs::read_symlink("/proc/self/exe").parent_path() / "lisafsd");
}

TEST(RunProgram, GivesTheExitStatus) {
  std::string program = MakeProgram("exits") + "/exits";
  EXPECT_EQ(RunProgram(program, {program, "0"}).value_or(-1), 0);
  EXPECT_EQ(RunProgram(program, {program, "7"}).value_or(-1), 7);
  EXPECT_EQ(RunProgram("/bin/sh", {"sh", "-c", "kill -9 $$"}).value_or(-1), 128 + 9);
  EXPECT_EQ(RunProgram("/nowhere", {"x"}).value_or(-1), 127);
}

TEST(ReadContainerState, AsksTheLowLevelRuntime) {
  std::string program = MakeProgram("runtime") + "/runtime";
  auto state = [&](const std::string& script) {
    std::ofstream(program) << "#!/bin/sh\n" << script << "\n";
    return ReadContainerState(program, {"runtime", "--root", "/r"}, "box");
  };
  auto running = state(R"([ "$*" = "--root /r state box" ] && echo '{"id": "box", "status": "running", "pid": 7}')");
  ASSERT_TRUE(running);
  EXPECT_EQ(running->status, "running");
  EXPECT_EQ(running->pid, 7);
  EXPECT_EQ(state(R"(echo '{"status": "stopped"}')")->pid, 0);
  for (const char* script : {"echo no; exit 1", "", "echo '{'", "echo '[]'", "echo '{}'", "echo '{\"status\": 1}'"}) {
    EXPECT_FALSE(state(script)) << script;
  }
}

}  // namespace
}  // namespace lisafs
