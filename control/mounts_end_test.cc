// Added mounts when what serves them, their container or lisafsd ends.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <thread>

#include "base/fd.h"
#include "control/mounts_testing.h"

namespace lisafs {
namespace {

using google::protobuf::util::MessageDifferencer;
using grpc::StatusCode;
using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

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

// As when lisafsd is killed right after it has begun to remove them; somebody uses one of them.
TEST_F(MountsTest, TheNextLisafsdGoesOnRemoving) {
  v1::Mount a, b, c;
  ASSERT_TRUE(Add(Addition("a"), &a).ok());
  ASSERT_TRUE(Add(Addition("b"), &b).ok());
  ASSERT_TRUE(Add(Addition("c"), &c).ok());
  Fd used(open(Inside("b").c_str(), O_PATH | O_CLOEXEC));
  ASSERT_TRUE(used);
  EXPECT_EQ(StopDaemon(SIGKILL), -1);
  for (const char* mount : {"mount-1", "mount-2"}) std::ofstream(StateDir() + "/web/" + mount + "/removed");
  StartDaemon();
  EXPECT_THAT(Targets(), ElementsAre("/", "/etc/hosts", caller_->Path("c")));
  EXPECT_TRUE(Eventually([&] { return caller_->FuseMounts() == 3; }));
  EXPECT_TRUE(Eventually([&] {
    return !Lives(a.plugin_pid()) && !Lives(a.gofer_pid()) && !Lives(b.plugin_pid()) && !Lives(b.gofer_pid());
  }));
  EXPECT_TRUE(Lives(c.plugin_pid()));
  EXPECT_TRUE(Add(Addition("a")).ok());
  EXPECT_TRUE(Remove("a", v1::RemoveMountRequest::WHEN_BUSY_FORCE).ok());
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
  EXPECT_LT(added[10], 10'000);
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
  EXPECT_TRUE(!real || Eventually([&] { return used > 100; })) << used;
  stop = true;
  user.join();
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
