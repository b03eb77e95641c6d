#include "sandbox/runtime_pause.h"

#include <errno.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "proto/lisafs/control/v1/control.grpc.pb.h"

namespace lisafs {
namespace {

namespace fs = std::filesystem;

constexpr char kCgroups[] = "/sys/fs/cgroup";

// A lisafsd that knows one sandbox.
class StandInControl : public control::v1::Control::Service {
 public:
  explicit StandInControl(pid_t plugin) : plugin_(plugin) {}

  grpc::Status GetSandbox(grpc::ServerContext*, const control::v1::GetSandboxRequest* request,
                          control::v1::GetSandboxResponse* response) override {
    if (request->id() != "box") return {grpc::StatusCode::NOT_FOUND, "no such sandbox"};
    response->mutable_sandbox()->set_plugin_pid(plugin_);
    return grpc::Status::OK;
  }

 private:
  pid_t plugin_;
};

pid_t StartSleeper() {
  pid_t pid = fork();
  if (pid == 0) {
    while (true) pause();
  }
  return pid;
}

// A container and its plugin, in a cgroup of a lone hierarchy of version 2.
class PauseTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        umount2(kCgroups, MNT_DETACH) != 0 || mount("cgroup", kCgroups, "cgroup2", 0, nullptr) != 0) {
      cgroups_ = strerror(errno);
    }
  }

  void SetUp() override {
    if (!cgroups_.empty()) GTEST_SKIP() << "cannot mount cgroup v2 alone here: " << cgroups_;
    char pattern[] = "/tmp/lisafs-pause-test-XXXXXX";
    directory_ = mkdtemp(pattern);
    cgroup_ = kCgroups + directory_.substr(4);
    if (mkdir(cgroup_.c_str(), 0755) != 0) GTEST_SKIP() << "cannot make a cgroup here: " << strerror(errno);
    container_ = StartSleeper();
    plugin_ = StartSleeper();
    std::ofstream(cgroup_ + "/cgroup.procs") << container_ << std::flush;
    std::ofstream(cgroup_ + "/cgroup.procs") << plugin_ << std::flush;
    ASSERT_TRUE(PluginIsInside());

    control_ = std::make_unique<StandInControl>(plugin_);
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + directory_ + "/control.sock", grpc::InsecureServerCredentials());
    builder.RegisterService(control_.get());
    server_ = builder.BuildAndStart();
  }

  void TearDown() override {
    if (server_) server_->Shutdown();
    for (pid_t pid : {container_, plugin_}) {
      if (pid <= 0) continue;
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
    }
    if (!cgroup_.empty()) {
      EXPECT_EQ(rmdir(cgroup_.c_str()), 0);
    }
    if (!directory_.empty()) fs::remove_all(directory_);
  }

  bool PluginIsInside() {
    std::ifstream procs(cgroup_ + "/cgroup.procs");
    for (pid_t pid; procs >> pid;) {
      if (pid == plugin_) return true;
    }
    return false;
  }

  // Runs the command with a low-level runtime that exits with `status`, and says that the container is `state`
  // afterwards.
  int Run(const std::string& command, int status, const std::string& state, const std::string& id = "box") {
    std::string runtime = directory_ + "/runtime";
    std::ofstream(runtime) << "#!/bin/sh\n"
                           << "[ $1 = state ] && echo '{\"status\": \"" << state << "\", \"pid\": " << container_
                           << "}' && exit\n"
                           << "cp " << cgroup_ << "/cgroup.procs " << directory_ << "/seen\n"
                           << "exit " << status << "\n";
    chmod(runtime.c_str(), 0755);
    RuntimeArguments arguments;
    arguments.socket = directory_ + "/control.sock";
    arguments.passed = {"runtime", command, id};
    arguments.globals = 1;
    arguments.command = command;
    arguments.id = id;
    return PauseOrResumeContainer(runtime, arguments).value_or(-1);
  }

  // Whether the low-level runtime found the plugin in the container's cgroup.
  bool PluginWasInside() {
    std::ifstream seen(directory_ + "/seen");
    for (pid_t pid; seen >> pid;) {
      if (pid == plugin_) return true;
    }
    return false;
  }

  static inline std::string cgroups_;  // Why there are none.
  std::string directory_, cgroup_;
  pid_t container_ = 0, plugin_ = 0;
  std::unique_ptr<StandInControl> control_;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(PauseTest, ThePluginIsOutsideWhileTheContainerIsPaused) {
  EXPECT_EQ(Run("pause", 0, "paused"), 0);
  EXPECT_FALSE(PluginWasInside());
  EXPECT_FALSE(PluginIsInside());
  EXPECT_EQ(Run("resume", 0, "running"), 0);
  EXPECT_FALSE(PluginWasInside());
  EXPECT_TRUE(PluginIsInside());
}

TEST_F(PauseTest, ThePluginComesBackWhenPausingFails) {
  EXPECT_EQ(Run("pause", 3, "running"), 3);
  EXPECT_FALSE(PluginWasInside());
  EXPECT_TRUE(PluginIsInside());
}

TEST_F(PauseTest, ThePluginStaysOutsideWhenResumingFails) {
  EXPECT_EQ(Run("pause", 0, "paused"), 0);
  EXPECT_EQ(Run("resume", 3, "paused"), 3);
  EXPECT_FALSE(PluginIsInside());
}

TEST_F(PauseTest, OtherContainersAreTheLowLevelRuntimesAlone) {
  EXPECT_EQ(Run("pause", 5, "running", "other"), 5);
  EXPECT_TRUE(PluginWasInside());
  server_->Shutdown();
  server_.reset();
  EXPECT_EQ(Run("pause", 6, "running"), 6) << "no lisafsd answers";
}

}  // namespace
}  // namespace lisafs
