// Sandboxes whose processes die, and sandboxes whose lisafsd does.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>

#include "base/fd.h"
#include "control/service_testing.h"
#include "lisafs/live_policy.h"
#include "sandbox/program_log.h"

namespace lisafs {
namespace {

namespace fs = std::filesystem;
using google::protobuf::util::MessageDifferencer;
using testing::ElementsAre;
using testing::IsEmpty;

TEST_F(ServiceTest, AKilledProcessIsReported) {
  v1::Sandbox sandbox;
  ASSERT_TRUE(Create(Request("gofer-dies"), &sandbox).ok());
  kill(sandbox.gofer_pid(), SIGKILL);
  EXPECT_EQ(AwaitFailure("gofer-dies"), "gofer killed by signal 9");
  ASSERT_TRUE(Get("gofer-dies", &sandbox).ok());
  EXPECT_EQ(sandbox.gofer_pid(), 0);
  EXPECT_TRUE(Delete("gofer-dies").ok());

  RenewCaller();
  ASSERT_TRUE(Create(Request("plugin-dies"), &sandbox).ok());
  kill(sandbox.plugin_pid(), SIGKILL);
  EXPECT_EQ(AwaitFailure("plugin-dies"), "plugin killed by signal 9");
  // The gofer ends by itself, and that changes nothing.
  EXPECT_TRUE(Eventually([&] { return Get("plugin-dies", &sandbox).ok() && sandbox.gofer_pid() == 0; }));
  EXPECT_EQ(sandbox.failure(), "plugin killed by signal 9");
  EXPECT_TRUE(Delete("plugin-dies").ok());
}

TEST_F(ServiceTest, ASandboxDoesWithoutItsBroker) {
  v1::Sandbox sandbox;
  ASSERT_TRUE(Create(Request("web"), &sandbox).ok());
  EXPECT_TRUE(Lives(sandbox.broker_pid()));
  kill(sandbox.broker_pid(), SIGKILL);
  EXPECT_TRUE(Eventually([&] { return Get("web", &sandbox).ok() && sandbox.broker_pid() == 0; }));
  EXPECT_EQ(sandbox.state(), v1::Sandbox::STATE_RUNNING);
  EXPECT_THAT(Log(), testing::HasSubstr("no more files are passed through"));
  EXPECT_TRUE(Delete("web").ok());

  EXPECT_EQ(StopDaemon(SIGTERM), 0);
  StartDaemon("gofer", "plugin", "refuse");
  RenewCaller();
  grpc::Status created = Create(Request("web"), &sandbox);
  EXPECT_TRUE(created.ok()) << created.error_message();
  EXPECT_EQ(sandbox.broker_pid(), 0);
  EXPECT_THAT(Log(), testing::HasSubstr("broker did not start"));
}

TEST_F(ServiceTest, AMountMayForbidPassingThrough) {
  v1::CreateSandboxRequest request = Request("web");
  request.mutable_mounts(0)->set_withhold_passthrough(true);
  v1::Sandbox sandbox;
  ASSERT_TRUE(Create(request, &sandbox).ok());
  EXPECT_EQ(sandbox.broker_pid(), 0);
  EXPECT_THAT(ReadFile("/proc/" + std::to_string(sandbox.plugin_pid()) + "/cmdline"),
              testing::Not(testing::HasSubstr("passthrough")));
}

TEST_F(ServiceTest, TheNextLisafsdFindsTheSandboxes) {
  v1::Sandbox before, after;
  ASSERT_TRUE(Create(Request("web"), &before).ok());
  EXPECT_EQ(StopDaemon(SIGKILL), -1);
  // Half-made and damaged ones are cleared away.
  ASSERT_EQ(mkdir((StateDir() + "/half").c_str(), 0700), 0);
  ASSERT_EQ(mkdir((StateDir() + "/damaged").c_str(), 0700), 0);
  std::ofstream(StateDir() + "/damaged/sandbox.json") << "{\"version\": 1, ";
  std::ofstream(StateDir() + "/damaged/counters") << "short";
  StartDaemon();
  EXPECT_THAT(StateIds(), ElementsAre("web"));
  ASSERT_TRUE(Get("web", &after).ok());
  EXPECT_TRUE(MessageDifferencer::Equals(Lasting(before), Lasting(after))) << after.DebugString();

  // It knows of an adopted process how it ended, and a third one knows too.
  kill(after.gofer_pid(), SIGKILL);
  waitpid(after.gofer_pid(), nullptr, 0);
  std::string failure = AwaitFailure("web");
  EXPECT_THAT(failure, testing::AnyOf("gofer killed by signal 9", "gofer ended before the plugin"));
  EXPECT_EQ(StopDaemon(SIGTERM), 0);
  StartDaemon();
  EXPECT_EQ(AwaitFailure("web"), failure);

  ASSERT_TRUE(Delete("web").ok());
  EXPECT_FALSE(Lives(after.plugin_pid()));
}

TEST_F(ServiceTest, AChangedPolicyOutlivesLisafsd) {
  ASSERT_TRUE(Create(Request("web")).ok());
  v1::UpdateMountRequest update;
  update.set_sandbox_id("web");
  update.set_target("/");
  update.mutable_policy()->set_read_only(true);
  v1::Mount mount;
  grpc::Status updated = Update(update, &mount);
  ASSERT_TRUE(updated.ok()) << updated.error_message();
  EXPECT_TRUE(mount.policy().read_only());
  // But for how many changes there were.
  auto policies = [&] {
    std::string page = ReadFile(StateDir() + "/web/policy");
    return page.erase(offsetof(LivePolicyPage, mounts) + offsetof(LivePolicy, changes), sizeof(LivePolicy::changes));
  };
  const std::string page = policies();
  const std::string file = ReadFile(StateDir() + "/web/policy");
  EXPECT_EQ(StopDaemon(SIGKILL), -1);
  // As if it had been killed before it came to it.
  std::ofstream(StateDir() + "/web/policy", std::ios::in | std::ios::out) << file.substr(0, 16) << std::string(64, 0);
  StartDaemon();
  v1::Sandbox sandbox;
  ASSERT_TRUE(Get("web", &sandbox).ok());
  EXPECT_TRUE(sandbox.mounts(0).policy().read_only());
  EXPECT_TRUE(policies() == page);

  update.mutable_policy()->set_read_only(false);
  EXPECT_TRUE(Update(update).ok());
  update.set_target("/etc/hosts");
  EXPECT_EQ(Update(update).error_code(), grpc::StatusCode::FAILED_PRECONDITION) << "it was made read-only";
  update.set_target("/nowhere");
  EXPECT_EQ(Update(update).error_code(), grpc::StatusCode::NOT_FOUND);
  update.set_sandbox_id("nobody");
  EXPECT_EQ(Update(update).error_code(), grpc::StatusCode::NOT_FOUND);
  kill(sandbox.gofer_pid(), SIGKILL);
  while (waitpid(sandbox.gofer_pid(), nullptr, 0) < 0 && errno == EINTR) {
  }
  AwaitFailure("web");
  update.set_sandbox_id("web");
  update.set_target("/");
  EXPECT_EQ(Update(update).error_code(), grpc::StatusCode::FAILED_PRECONDITION) << "it has failed";
  EXPECT_TRUE(Delete("web").ok());
}

TEST_F(ServiceTest, WhatAProgramSaysIsKeptInABoundedLog) {
  v1::Sandbox sandbox;
  ASSERT_TRUE(Create(Request("web"), &sandbox).ok());
  const std::string log = StateDir() + "/web/plugin.log";
  for (const char* output : {"1", "2"}) {
    EXPECT_EQ(fs::read_symlink(fs::path("/proc") / std::to_string(sandbox.plugin_pid()) / "fd" / output),
              log + ".fifo");
  }
  // What the plugin holds, in the test's hands.
  Fd output(open((log + ".fifo").c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  ASSERT_TRUE(output);
  ASSERT_EQ(write(output.get(), "while it runs\n", 14), 14);
  EXPECT_TRUE(Eventually([&] { return ReadFile(log) == "while it runs\n"; })) << ReadFile(log);
  EXPECT_EQ(StopDaemon(SIGKILL), -1);
  ASSERT_EQ(write(output.get(), "meanwhile\n", 10), 10);
  StartDaemon();
  EXPECT_TRUE(Eventually([&] { return ReadFile(log) == "while it runs\nmeanwhile\n"; })) << ReadFile(log);

  const std::string flood(4096, 'x');
  EXPECT_TRUE(Eventually([&] {
    return write(output.get(), flood.data(), flood.size()) < 0 && fs::file_size(log) >= ProgramLog::kMaxLogBytes;
  }));
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_EQ(fs::file_size(log), ProgramLog::kMaxLogBytes);
  EXPECT_TRUE(Delete("web").ok());
}

TEST_F(ServiceTest, WhatEndsWhileNoLisafsdRunsIsForgotten) {
  v1::Sandbox sandbox;
  ASSERT_TRUE(Create(Request("web"), &sandbox).ok());
  EXPECT_EQ(StopDaemon(SIGTERM), 0);
  EXPECT_TRUE(Lives(sandbox.gofer_pid())) << "a sandbox does not need lisafsd";
  caller_->End();
  EXPECT_TRUE(Eventually([&] { return !Lives(sandbox.gofer_pid()) && !Lives(sandbox.plugin_pid()); }));
  StartDaemon();
  EXPECT_THAT(List(), IsEmpty());
  EXPECT_THAT(StateIds(), IsEmpty());
}

TEST_F(ServiceTest, AnAdoptedSandboxEndsByItself) {
  ASSERT_TRUE(Create(Request("web")).ok());
  EXPECT_EQ(StopDaemon(SIGTERM), 0);
  StartDaemon();
  ASSERT_EQ(List().size(), 1u);
  caller_->End();
  EXPECT_TRUE(Eventually([&] {
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    return List().empty();
  }));
}

}  // namespace
}  // namespace lisafs
