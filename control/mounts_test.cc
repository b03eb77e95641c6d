// Mounts that are added to a sandbox that runs.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <functional>
#include <thread>

#include "base/fd.h"
#include "control/mounts_testing.h"

namespace lisafs {
namespace {

using grpc::StatusCode;
using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;

TEST_F(MountsTest, AnAddedMountIsServedByItsOwnAndEndsWithItsRemoval) {
  v1::Mount mount;
  grpc::Status added = Add(Addition("new/data"), &mount);
  ASSERT_TRUE(added.ok()) << added.error_message();
  EXPECT_TRUE(mount.added());
  EXPECT_TRUE(Lives(mount.gofer_pid()) && Lives(mount.plugin_pid()));
  EXPECT_NE(mount.gofer_pid(), sandbox_.gofer_pid());
  EXPECT_EQ(caller_->FuseMounts(), 3);
  EXPECT_THAT(Targets(), ElementsAre("/", "/etc/hosts", caller_->Path("new/data")));
  v1::Sandbox sandbox;
  ASSERT_TRUE(Get("web", &sandbox).ok());
  EXPECT_EQ(sandbox.mounts(0).gofer_pid(), sandbox.gofer_pid());
  EXPECT_EQ(sandbox.mounts(2).file_system(), mount.file_system());

  v1::UpdateMountRequest update;
  update.set_sandbox_id("web");
  update.set_target(caller_->Path("new/data"));
  update.mutable_policy()->set_revoked(true);
  grpc::Status updated = Update(update, &mount);
  ASSERT_TRUE(updated.ok()) << updated.error_message();
  EXPECT_TRUE(mount.policy().revoked());

  grpc::Status removed = Remove("new/data");
  ASSERT_TRUE(removed.ok()) << removed.error_message();
  EXPECT_FALSE(Lives(mount.gofer_pid()) || Lives(mount.plugin_pid()));
  EXPECT_EQ(caller_->FuseMounts(), 2);
  EXPECT_THAT(Targets(), ElementsAre("/", "/etc/hosts"));
  EXPECT_EQ(Remove("new/data").error_code(), StatusCode::NOT_FOUND);
  EXPECT_EQ(access((StateDir() + "/web/mount-1").c_str(), F_OK), -1);
}

TEST_F(MountsTest, WhatCannotBeAddedIsRefusedAndLeavesNothing) {
  ASSERT_TRUE(Add(Addition("there")).ok());
  ASSERT_EQ(mkdir(Inside("plain").c_str(), 0755), 0);
  ASSERT_EQ(symlink("plain", Inside("link").c_str()), 0);
  struct Bad {
    StatusCode code;
    std::string message;
    std::function<void(v1::AddMountRequest&)> change;
  };
  const Bad cases[] = {
      {StatusCode::NOT_FOUND, "no such sandbox", [](auto& r) { r.set_sandbox_id("nobody"); }},
      {StatusCode::INVALID_ARGUMENT, "target", [](auto& r) { r.mutable_mount()->set_target("data"); }},
      {StatusCode::INVALID_ARGUMENT, "nothing is mounted there",
       [](auto& r) { r.mutable_mount()->set_target("/proc/1"); }},
      {StatusCode::INVALID_ARGUMENT, "not written plainly", [](auto& r) { r.mutable_mount()->set_target("/a/../b"); }},
      {StatusCode::INVALID_ARGUMENT, "mount_point", [](auto& r) { r.mutable_mount()->set_mount_point("/mnt"); }},
      {StatusCode::INVALID_ARGUMENT, "less than 65536",
       [](auto& r) { r.mutable_mount()->mutable_limits()->set_bytes_per_second(1); }},
      {StatusCode::NOT_FOUND, "source /nowhere: No such file",
       [](auto& r) { r.mutable_mount()->set_source("/nowhere"); }},
      {StatusCode::INVALID_ARGUMENT, "neither a directory nor a regular file",
       [](auto& r) { r.mutable_mount()->set_source("/dev/null"); }},
      {StatusCode::ALREADY_EXISTS, "exists already",
       [&](auto& r) { r.mutable_mount()->set_target(caller_->Path("there")); }},
      {StatusCode::ALREADY_EXISTS, "exists already", [](auto& r) { r.mutable_mount()->set_target("/etc/hosts"); }},
      {StatusCode::NOT_FOUND, "No such file",
       [&](auto& r) {
         r.mutable_mount()->set_target(caller_->Path("missing"));
         r.set_create_target(false);
       }},
      {StatusCode::FAILED_PRECONDITION, "not a directory, as its source is",
       [&](auto& r) { r.mutable_mount()->set_target(caller_->Path("link")); }},
      {StatusCode::FAILED_PRECONDITION, "not a directory, as its source is",
       [&](auto& r) { r.mutable_mount()->set_target(caller_->Path("file")); }},
      {StatusCode::FAILED_PRECONDITION, "something is mounted there",
       [&](auto& r) { r.mutable_mount()->set_target(caller_->Path("at_dir")); }},
  };
  for (const Bad& bad : cases) {
    v1::AddMountRequest request = Addition("data");
    bad.change(request);
    grpc::Status status = Add(request);
    EXPECT_EQ(status.error_code(), bad.code) << bad.message << ": " << status.error_message();
    EXPECT_THAT(status.error_message(), HasSubstr(bad.message));
  }
  EXPECT_EQ(caller_->FuseMounts(), 3);
  EXPECT_EQ(Targets().size(), 3u);
  // What it was made with stays.
  v1::RemoveMountRequest request;
  request.set_sandbox_id("web");
  request.set_target("/etc/hosts");
  grpc::ClientContext context;
  v1::RemoveMountResponse response;
  EXPECT_EQ(stub_->RemoveMount(&context, request, &response).error_code(), StatusCode::FAILED_PRECONDITION);
}

TEST_F(MountsTest, WithoutAContainerThereIsNowhereToAdd) {
  ASSERT_EQ(unlink((StateDir() + "/web/container").c_str()), 0);
  grpc::Status status = Add(Addition("data"));
  EXPECT_EQ(status.error_code(), StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("its container is not there yet"));
  std::ofstream(StateDir() + "/web/container") << caller_->pid() << " 1";
  status = Add(Addition("data"));
  EXPECT_EQ(status.error_code(), StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("its container has ended"));
}

TEST_F(MountsTest, AClientOfItsOwnTakesNone) {
  int connection[2], lifeline[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, connection), 0);
  ASSERT_EQ(pipe2(lifeline, O_CLOEXEC), 0);
  const Fd ends[] = {Fd(connection[0]), Fd(connection[1]), Fd(lifeline[0]), Fd(lifeline[1])};
  v1::CreateSandboxRequest request = Request("sentry");
  request.mutable_mounts()->RemoveLast();
  request.mutable_mounts(0)->clear_mount_point();
  request.mutable_client()->set_pid(getpid());
  request.mutable_client()->add_connection_fds(connection[0]);
  request.mutable_client()->set_lifeline_fd(lifeline[0]);
  grpc::Status status = Create(request);
  ASSERT_TRUE(status.ok()) << status.error_message();
  v1::AddMountRequest addition = Addition("data");
  addition.set_sandbox_id("sentry");
  status = Add(addition);
  EXPECT_EQ(status.error_code(), StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("its runtime is the LISAFS client"));
  EXPECT_TRUE(Delete("sentry").ok());
}

TEST_F(MountsTest, ATableThatIsFull) {
  // Each with three processes: the most that may be at once is tried with fewer where they are real.
  v1::Sandbox sandbox;
  caller_->End();
  EXPECT_TRUE(Eventually([&] { return List().empty(); }));
  RenewCaller();
  v1::CreateSandboxRequest request = Request("web");
  request.mutable_mounts()->DeleteSubrange(0, 2);
  for (int i = 0; i < 63; ++i) {
    v1::MountSpec& mount = *request.add_mounts();
    const std::string name = "at" + std::to_string(i);
    ASSERT_EQ(mkdir(Inside(name).c_str(), 0755), 0);
    mount.set_source(caller_->Path("dir"));
    mount.set_target("/" + name);
    mount.set_mount_point(caller_->Path(name));
  }
  ASSERT_TRUE(Create(request, &sandbox).ok());
  BeContainer("web");
  ASSERT_TRUE(Add(Addition("last")).ok());
  grpc::Status status = Add(Addition("one_too_many"));
  EXPECT_EQ(status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr("has 64 mounts"));
  EXPECT_TRUE(Remove("last").ok());
  EXPECT_TRUE(Add(Addition("one_too_many")).ok());
}

TEST_F(MountsTest, OfTwoCallersAtOnceOneAdds) {
  for (int round = 0; round < 5; ++round) {
    std::atomic<int> added = 0, refused = 0;
    std::vector<std::thread> callers;
    for (int i = 0; i < 2; ++i) {
      callers.emplace_back([&] {
        grpc::Status status = Add(Addition("data"));
        added += status.ok();
        refused += status.error_code() == StatusCode::ALREADY_EXISTS;
      });
    }
    for (std::thread& caller : callers) caller.join();
    EXPECT_EQ(added, 1);
    EXPECT_EQ(refused, 1);
    EXPECT_EQ(caller_->FuseMounts(), 3);
    std::atomic<int> removed = 0;
    callers.clear();
    for (int i = 0; i < 2; ++i) callers.emplace_back([&] { removed += Remove("data").ok(); });
    for (std::thread& caller : callers) caller.join();
    EXPECT_EQ(removed, 1);
    EXPECT_EQ(caller_->FuseMounts(), 2);
  }
}

TEST_F(MountsTest, AMountInUseIsRefusedWaitedForOrForced) {
  v1::Mount mount;
  ASSERT_TRUE(Add(Addition("data"), &mount).ok());
  Fd user(open(Inside("data").c_str(), O_PATH | O_CLOEXEC));
  ASSERT_TRUE(user);
  grpc::Status status = Remove("data");
  EXPECT_EQ(status.error_code(), StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("it is in use"));
  EXPECT_TRUE(Lives(mount.plugin_pid()));
  EXPECT_EQ(Remove("data", v1::RemoveMountRequest::WHEN_BUSY_WAIT, 100).error_code(), StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(caller_->FuseMounts(), 3);
  std::thread done([&] {
    std::this_thread::sleep_for(milliseconds(200));
    user.reset();
  });
  status = Remove("data", v1::RemoveMountRequest::WHEN_BUSY_WAIT, 10'000);
  done.join();
  EXPECT_TRUE(status.ok()) << status.error_message();

  ASSERT_TRUE(Add(Addition("data"), &mount).ok());
  user.reset(open(Inside("data").c_str(), O_PATH | O_CLOEXEC));
  status = Remove("data", v1::RemoveMountRequest::WHEN_BUSY_FORCE);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_FALSE(Lives(mount.gofer_pid()) || Lives(mount.plugin_pid()));
  EXPECT_EQ(caller_->FuseMounts(), 2);
  struct stat stat;
  EXPECT_EQ(fstat(user.get(), &stat), -1);
  EXPECT_EQ(errno, ENOTCONN);
}

}  // namespace
}  // namespace lisafs
