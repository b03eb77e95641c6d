// Sandboxes made and ended through lisafsd's socket.

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <signal.h>
#include <sys/stat.h>

#include <fstream>
#include <thread>

#include "control/service_testing.h"

namespace lisafs {
namespace {

using google::protobuf::util::MessageDifferencer;
using grpc::StatusCode;
using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

TEST_F(ServiceTest, ASandboxLivesAsLongAsItsMounts) {
  v1::Sandbox sandbox;
  grpc::Status created = Create(Request("web"), &sandbox);
  ASSERT_TRUE(created.ok()) << created.error_message();
  EXPECT_EQ(sandbox.id(), "web");
  EXPECT_EQ(sandbox.state(), v1::Sandbox::STATE_RUNNING);
  EXPECT_TRUE(Lives(sandbox.gofer_pid()));
  EXPECT_TRUE(Lives(sandbox.plugin_pid()));
  EXPECT_GT(sandbox.create_time().seconds(), 0);
  EXPECT_EQ(sandbox.mounts_size(), 2);
  EXPECT_EQ(caller_->FuseMounts(), 2);
  v1::Sandbox again;
  ASSERT_TRUE(Get("web", &again).ok());
  EXPECT_TRUE(MessageDifferencer::Equals(Lasting(sandbox), Lasting(again)));
  EXPECT_EQ(Create(Request("web")).error_code(), StatusCode::ALREADY_EXISTS);

  caller_->End();
  EXPECT_TRUE(Eventually([&] { return List().empty(); }));
  EXPECT_THAT(StateIds(), IsEmpty());
  EXPECT_EQ(Get("web", &again).error_code(), StatusCode::NOT_FOUND);
}

TEST_F(ServiceTest, TheGoferIsToldWhatEachMountAllows) {
  v1::CreateSandboxRequest request = Request("web");
  request.mutable_mounts(0)->set_open_host_sockets(true);
  request.mutable_mounts(0)->set_create_host_sockets(true);
  request.mutable_mounts(1)->set_open_host_fifos(true);
  request.mutable_mounts(0)->set_cache(v1::MountSpec::CACHE_EXCLUSIVE);
  v1::Sandbox sandbox;
  grpc::Status created = Create(request, &sandbox);
  ASSERT_TRUE(created.ok()) << created.error_message();
  EXPECT_TRUE(MessageDifferencer::Equals(sandbox.mounts(0).spec(), request.mounts(0)));
  std::ifstream file("/proc/" + std::to_string(sandbox.gofer_pid()) + "/cmdline");
  std::string line((std::istreambuf_iterator<char>(file)), {});
  EXPECT_THAT(line, HasSubstr(std::string(":uds-open:uds-create\0--mount", 28)));
  EXPECT_THAT(line, HasSubstr(":ro:nodonate:watch:alone:fifo"));
}

TEST_F(ServiceTest, MountsThatShowTheSameFilesAreNotAlone) {
  v1::CreateSandboxRequest request = Request("web");
  request.mutable_mounts(0)->set_source(caller_->Path("."));
  v1::Sandbox sandbox;
  grpc::Status created = Create(request, &sandbox);
  ASSERT_TRUE(created.ok()) << created.error_message();
  std::ifstream file("/proc/" + std::to_string(sandbox.gofer_pid()) + "/cmdline");
  std::string line((std::istreambuf_iterator<char>(file)), {});
  EXPECT_THAT(line, HasSubstr(":watch"));
  EXPECT_THAT(line, Not(HasSubstr(":alone")));
}

TEST_F(ServiceTest, DeleteLeavesNothingAndItsIdIsFree) {
  for (int round = 0; round < 2; ++round) {
    v1::Sandbox sandbox;
    ASSERT_TRUE(Create(Request("web"), &sandbox).ok());
    ASSERT_TRUE(Delete("web").ok());
    EXPECT_FALSE(Lives(sandbox.gofer_pid()));
    EXPECT_FALSE(Lives(sandbox.plugin_pid()));
    EXPECT_THAT(List(), IsEmpty());
    EXPECT_THAT(StateIds(), IsEmpty());
    EXPECT_EQ(Delete("web").error_code(), StatusCode::NOT_FOUND);
    // What is mounted is the caller's to unmount.
    RenewCaller();
  }
}

TEST_F(ServiceTest, BadRequestsAreRefusedByFieldAndLeaveNothing) {
  struct Bad {
    std::string message;
    StatusCode code;
    std::function<void(v1::CreateSandboxRequest&)> change;
  };
  const Bad cases[] = {
      {"sandbox id: missing", StatusCode::INVALID_ARGUMENT, [](auto& r) { r.set_id(""); }},
      {"sandbox id", StatusCode::INVALID_ARGUMENT, [](auto& r) { r.set_id("../web"); }},
      {"caller_pid", StatusCode::INVALID_ARGUMENT, [](auto& r) { r.set_caller_pid(0); }},
      {"process 2147483647: no such process", StatusCode::NOT_FOUND, [](auto& r) { r.set_caller_pid(INT32_MAX); }},
      {"mounts: at least one", StatusCode::INVALID_ARGUMENT, [](auto& r) { r.clear_mounts(); }},
      {"mount 1: target", StatusCode::INVALID_ARGUMENT, [](auto& r) { r.mutable_mounts(1)->set_target("etc"); }},
      {"mount /etc/hosts: source /nowhere: No such file or directory", StatusCode::NOT_FOUND,
       [](auto& r) { r.mutable_mounts(1)->set_source("/nowhere"); }},
      {"mount /etc/hosts: source /dev/null: neither a directory nor a regular file", StatusCode::INVALID_ARGUMENT,
       [](auto& r) { r.mutable_mounts(1)->set_source("/dev/null"); }},
      {"mount /etc/hosts: mount point /nowhere: No such file or directory", StatusCode::NOT_FOUND,
       [](auto& r) { r.mutable_mounts(1)->set_mount_point("/nowhere"); }},
      {"not a directory, as its source is", StatusCode::INVALID_ARGUMENT,
       [](auto& r) { r.mutable_mounts(1)->set_source("/proc"); }},
  };
  for (const Bad& bad : cases) {
    v1::CreateSandboxRequest request = Request("web");
    bad.change(request);
    grpc::Status status = Create(request);
    EXPECT_EQ(status.error_code(), bad.code) << bad.message;
    EXPECT_THAT(status.error_message(), HasSubstr(bad.message));
  }
  ExpectNothingLeft();
}

TEST_F(ServiceTest, AProgramThatDoesNotStartLeavesNothing) {
  struct Bad {
    std::string gofer;
    std::string plugin;
    std::string message;
  };
  const Bad cases[] = {
      {"refuse", "plugin", "gofer did not start: refuse: mount 0: why \\x1b[31mnot"},
      {"gofer", "refuse", "plugin did not start: refuse: mount 0: why \\x1b[31mnot"},
      {"gofer", "die", "plugin did not start: killed by signal 9"},
  };
  for (const Bad& bad : cases) {
    ASSERT_EQ(StopDaemon(SIGTERM), 0);
    StartDaemon(bad.gofer, bad.plugin);
    grpc::Status status = Create(Request("web"));
    EXPECT_EQ(status.error_code(), StatusCode::FAILED_PRECONDITION);
    EXPECT_EQ(status.error_message(), bad.message);
    ExpectNothingLeft();
  }
}

TEST_F(ServiceTest, ACallerThatGoesAwayLeavesNothing) {
  ASSERT_EQ(StopDaemon(SIGTERM), 0);
  StartDaemon("hang", "plugin");
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + milliseconds(300));
  v1::CreateSandboxResponse response;
  EXPECT_EQ(stub_->CreateSandbox(&context, Request("web"), &response).error_code(), StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(Eventually([&] { return StateIds().empty(); }));
  ExpectNothingLeft();
}

TEST_F(ServiceTest, ManySandboxesAtOnce) {
  constexpr int kSandboxes = 8;
  std::vector<std::unique_ptr<Caller>> callers;
  for (int i = 0; i < kSandboxes; ++i) {
    std::string place = directory_ + "/caller" + std::to_string(i);
    ASSERT_EQ(mkdir(place.c_str(), 0755), 0);
    callers.push_back(std::make_unique<Caller>(place));
  }
  std::vector<std::thread> threads;
  for (int i = 0; i < kSandboxes; ++i) {
    threads.emplace_back([&, i] {
      v1::CreateSandboxRequest request;
      request.set_id("s" + std::to_string(i));
      request.set_caller_pid(callers[i]->pid());
      v1::MountSpec* mount = request.add_mounts();
      mount->set_target("/");
      mount->set_source(callers[i]->Path("dir"));
      mount->set_mount_point(callers[i]->Path("at_dir"));
      grpc::Status status = Create(request);
      EXPECT_TRUE(status.ok()) << status.error_message();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(List().size(), static_cast<size_t>(kSandboxes));
  // No descriptor of one sandbox is held by another's processes: each ends with its own mounts.
  callers.erase(callers.begin(), callers.begin() + kSandboxes / 2);
  EXPECT_TRUE(Eventually([&] { return List().size() == kSandboxes / 2; })) << List().size();
  callers.clear();
  EXPECT_TRUE(Eventually([&] { return List().empty(); }));
}

}  // namespace
}  // namespace lisafs
