// Mounts that are added to a sandbox that runs.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <sstream>
#include <thread>

#include "base/fd.h"
#include "control/service_testing.h"

namespace lisafs {
namespace {

using google::protobuf::util::MessageDifferencer;
using grpc::StatusCode;
using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class MountsTest : public ServiceTest {
 protected:
  // A sandbox "web", whose container is the caller: a tmpfs of its own is where mounts go.
  void SetUp() override {
    ServiceTest::SetUp();
    if (IsSkipped()) return;
    ASSERT_TRUE(Create(Request("web"), &sandbox_).ok());
    BeContainer("web");
  }
  void TearDown() override {
    extra_.clear();
    ServiceTest::TearDown();
  }

  void BeContainer(const std::string& id) {
    std::istringstream fields(ReadFile("/proc/" + std::to_string(caller_->pid()) + "/stat"));
    std::string field;
    for (int i = 0; i < 22; ++i) fields >> field;
    std::ofstream(StateDir() + "/" + id + "/container") << caller_->pid() << " " << field;
  }

  v1::AddMountRequest Addition(const std::string& name) {
    v1::AddMountRequest request;
    request.set_sandbox_id("web");
    request.mutable_mount()->set_source("/usr");
    request.mutable_mount()->set_target(caller_->Path(name));
    request.set_create_target(true);
    return request;
  }
  grpc::Status Add(const v1::AddMountRequest& request, v1::Mount* mount = nullptr) {
    grpc::ClientContext context;
    v1::AddMountResponse response;
    grpc::Status status = stub_->AddMount(&context, request, &response);
    if (mount != nullptr) *mount = response.mount();
    return status;
  }
  grpc::Status Remove(const std::string& name,
                      v1::RemoveMountRequest::WhenBusy when_busy = v1::RemoveMountRequest::WHEN_BUSY_REFUSE,
                      uint32_t wait = 0) {
    v1::RemoveMountRequest request;
    request.set_sandbox_id("web");
    request.set_target(caller_->Path(name));
    request.set_when_busy(when_busy);
    request.set_wait_milliseconds(wait);
    grpc::ClientContext context;
    v1::RemoveMountResponse response;
    return stub_->RemoveMount(&context, request, &response);
  }
  std::string Inside(const std::string& name) const {
    return "/proc/" + std::to_string(caller_->pid()) + "/root" + caller_->Path(name);
  }
  std::vector<std::string> Targets() {
    v1::Sandbox sandbox;
    EXPECT_TRUE(Get("web", &sandbox).ok());
    std::vector<std::string> targets;
    for (const v1::Mount& mount : sandbox.mounts()) targets.push_back(mount.spec().target());
    return targets;
  }

  v1::Sandbox sandbox_;
  std::vector<std::unique_ptr<Caller>> extra_;
};

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

TEST_F(MountsTest, AnAddedMountThatFailsIsReportedAndTheRestGoesOn) {
  v1::Mount mount;
  ASSERT_TRUE(Add(Addition("data"), &mount).ok());
  kill(mount.plugin_pid(), SIGKILL);
  v1::Sandbox sandbox;
  EXPECT_TRUE(Eventually([&] { return Get("web", &sandbox).ok() && !sandbox.mounts(2).failure().empty(); }));
  EXPECT_EQ(sandbox.mounts(2).failure(), "plugin killed by signal 9");
  EXPECT_EQ(sandbox.state(), v1::Sandbox::STATE_RUNNING);
  EXPECT_TRUE(Remove("data").ok());
  EXPECT_EQ(caller_->FuseMounts(), 2);
  EXPECT_TRUE(Add(Addition("data")).ok());
}

TEST_F(MountsTest, AllEndWithTheContainerOrTheSandbox) {
  ASSERT_TRUE(Add(Addition("a")).ok());
  v1::Mount mount;
  ASSERT_TRUE(Add(Addition("b"), &mount).ok());
  kill(mount.gofer_pid(), SIGKILL);
  caller_->End();
  EXPECT_TRUE(Eventually([&] { return List().empty(); }));
  EXPECT_THAT(StateIds(), IsEmpty());

  RenewCaller();
  ASSERT_TRUE(Create(Request("web")).ok());
  BeContainer("web");
  ASSERT_TRUE(Add(Addition("a"), &mount).ok());
  ASSERT_TRUE(Delete("web").ok());
  EXPECT_FALSE(Lives(mount.gofer_pid()) || Lives(mount.plugin_pid()));
  EXPECT_THAT(StateIds(), IsEmpty());
}

TEST_F(MountsTest, TheNextLisafsdFindsThem) {
  v1::Mount a, b, c;
  ASSERT_TRUE(Add(Addition("a"), &a).ok());
  ASSERT_TRUE(Add(Addition("b"), &b).ok());
  ASSERT_TRUE(Add(Addition("c"), &c).ok());
  v1::Sandbox before, after;
  ASSERT_TRUE(Get("web", &before).ok());
  EXPECT_EQ(StopDaemon(SIGKILL), -1);
  // One that was half-made, one that is damaged and one that has ended.
  ASSERT_EQ(mkdir((StateDir() + "/web/mount-9").c_str(), 0700), 0);
  std::ofstream(StateDir() + "/web/mount-2/sandbox.json") << "{\"version\": 7}";
  for (pid_t pid : {c.plugin_pid(), c.gofer_pid(), c.broker_pid()}) {
    if (pid != 0) kill(pid, SIGKILL);
  }
  EXPECT_TRUE(Eventually([&] { return !Lives(c.plugin_pid()) && !Lives(c.gofer_pid()); }));
  StartDaemon();
  EXPECT_THAT(Log(), HasSubstr("version 7 is not understood"));
  ASSERT_TRUE(Get("web", &after).ok());
  EXPECT_THAT(Targets(), ElementsAre("/", "/etc/hosts", caller_->Path("a")));
  before.mutable_mounts()->DeleteSubrange(3, 2);
  EXPECT_TRUE(MessageDifferencer::Equals(Lasting(before), Lasting(after))) << after.DebugString();
  EXPECT_TRUE(Remove("a").ok());
  EXPECT_FALSE(Lives(a.gofer_pid()) || Lives(a.plugin_pid()));
  EXPECT_TRUE(Add(Addition("d")).ok());
}

// How long one takes, start of its processes included, as somebody who calls lisafsd sees it. The bound is for a
// machine that does a lot else: what it takes on one that does not is printed.
TEST_F(MountsTest, HowLongOneTakes) {
  std::vector<double> added, removed;
  auto milliseconds_since = [](std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  };
  for (int i = 0; i < 21; ++i) {
    auto start = std::chrono::steady_clock::now();
    ASSERT_TRUE(Add(Addition("data")).ok());
    added.push_back(milliseconds_since(start));
    start = std::chrono::steady_clock::now();
    grpc::Status status = Remove("data");
    ASSERT_TRUE(status.ok()) << status.error_message();
    removed.push_back(milliseconds_since(start));
  }
  std::sort(added.begin(), added.end());
  std::sort(removed.begin(), removed.end());
  printf("AddMount: median %.1f ms, least %.1f ms; RemoveMount: median %.1f ms\n", added[10], added[0], removed[10]);
  EXPECT_LT(added[10], 2000);
}

// Kills lisafsd at any moment while mounts are added and removed and policies changed, a hundred times, and looks each
// time whether the next one knows exactly what there is. Meanwhile the sandbox is used.
TEST_F(MountsTest, LisafsdMayBeKilledAtAnyMoment) {
  const bool real = getenv("PLUGIN") != nullptr;
  std::atomic<bool> stop = false;
  std::atomic<int> used = 0;
  std::thread user([&] {
    for (int i = 0; real && !stop; ++i) {
      const std::string text = std::to_string(i), path = Inside("at_dir/used");
      std::ofstream(path) << text;
      ASSERT_EQ(ReadFile(path), text) << "the container noticed";
      ++used;
    }
  });
  std::minstd_rand random(std::random_device{}());
  const std::vector<std::string> names = {"a", "b", "c", "d"};
  std::set<std::string> known;  // What is there for sure.
  for (int round = 0; round < 100; ++round) {
    std::set<std::string> unsure;
    std::thread changes([&] {
      while (true) {
        const std::string& name = names[random() % names.size()];
        grpc::Status status;
        unsure.insert(name);
        const bool there = known.erase(name) > 0;
        if (!there) {
          status = Add(Addition(name));
        } else if (random() % 2 == 0) {
          status = Remove(name, v1::RemoveMountRequest::WHEN_BUSY_FORCE);
        } else {
          v1::UpdateMountRequest update;
          update.set_sandbox_id("web");
          update.set_target(caller_->Path(name));
          update.mutable_policy()->set_read_only(true);
          status = Update(update);
          if (status.ok() || status.error_code() == StatusCode::UNAVAILABLE) {
            known.insert(name);
            unsure.erase(name);
          }
          if (!status.ok()) return;
          continue;
        }
        // The last call's end is not known; all others did what they were asked to.
        if (!status.ok()) return;
        unsure.erase(name);
        if (!there) known.insert(name);
      }
    });
    std::this_thread::sleep_for(milliseconds(random() % 60));
    kill(daemon_, SIGKILL);
    changes.join();
    EXPECT_EQ(StopDaemon(SIGKILL), -1);
    StartDaemon();
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    // What was only half there is gone a moment later.
    EXPECT_TRUE(Eventually([&] { return static_cast<int>(Targets().size()) == caller_->FuseMounts(); }))
        << "round " << round << ": " << Targets().size() << " listed, " << caller_->FuseMounts() << " there\n"
        << Log();
    std::set<std::string> there;
    for (const std::string& target : Targets()) {
      for (const std::string& name : names) {
        if (target == caller_->Path(name)) there.insert(name);
      }
    }
    for (const std::string& name : names) {
      if (!unsure.contains(name)) {
        EXPECT_EQ(there.contains(name), known.contains(name)) << "round " << round << ": " << name;
      }
    }
    known = there;
    if (HasFailure()) break;
  }
  stop = true;
  user.join();
  EXPECT_TRUE(!real || used > 100) << used;
  v1::Sandbox after;
  ASSERT_TRUE(Get("web", &after).ok());
  EXPECT_EQ(after.gofer_pid(), sandbox_.gofer_pid());
  EXPECT_EQ(after.plugin_pid(), sandbox_.plugin_pid());
  for (const std::string& name : known) {
    EXPECT_TRUE(Remove(name, v1::RemoveMountRequest::WHEN_BUSY_FORCE).ok()) << name;
  }
  EXPECT_EQ(caller_->FuseMounts(), 2);
  for (const auto& entry : std::filesystem::directory_iterator(StateDir() + "/web")) {
    EXPECT_EQ(entry.path().filename().string().find("mount-"), std::string::npos) << entry.path();
  }
}

}  // namespace
}  // namespace lisafs
