// How long it takes to read what a host with 1,000 sandboxes counts, for whoever calls lisafsd. The sandboxes are as a
// lisafsd that was killed would have left them, with real files of counters, policies and logs; in the place of their
// 1,000 gofers is one process.

#include <gmock/gmock.h>
#include <httplib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "base/fd.h"
#include "control/mount_policy.h"
#include "control/service_testing.h"
#include "control/state_directory.h"
#include "lisafs/counters.h"
#include "lisafs/plugin_claims.h"
#include "sandbox/process.h"

namespace lisafs {
namespace {

constexpr int kSandboxes = 1000;

class ThousandSandboxes : public ServiceTest {
 protected:
  void SetUp() override {
    ServiceTest::SetUp();
    if (directory_.empty()) return;
    gofer_ = fork();
    if (gofer_ == 0) {
      while (true) pause();
    }
    ASSERT_EQ(StopDaemon(SIGTERM), 0);
    {
      auto state = StateDirectory::Open(StateDir());
      ASSERT_TRUE(state.ok()) << state.status();
      for (int i = 0; i < kSandboxes; ++i) ASSERT_NO_FATAL_FAILURE(Write(*state, absl::StrCat("sandbox-", i)));
    }
    Configure("[metrics]\nlisten = \"127.0.0.1:0\"\n[limits]\ncalls_per_second = 0\n");
    StartDaemon();
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    stub_ = v1::Control::NewStub(
        grpc::CreateCustomChannel("unix:" + Socket(), grpc::InsecureChannelCredentials(), arguments));
  }
  void TearDown() override {
    // To delete them one by one takes its time.
    if (daemon_ > 0) {
      EXPECT_EQ(StopDaemon(SIGTERM), 0);
    }
    if (gofer_ > 0) {
      kill(gofer_, SIGKILL);
      waitpid(gofer_, nullptr, 0);
    }
    ServiceTest::TearDown();
  }

  // Two mounts, each asked 16 different things over two lanes.
  void Write(const StateDirectory& all, const std::string& id) {
    auto directory = all.Create(id);
    ASSERT_TRUE(directory.ok()) << directory.status();
    state::v1::SandboxState state;
    state.mutable_sandbox()->set_id(id);
    state.mutable_sandbox()->set_state(v1::Sandbox::STATE_RUNNING);
    state.mutable_sandbox()->set_gofer_pid(gofer_);
    state.mutable_sandbox()->set_has_own_client(true);
    auto gofer = Process::OfChild(gofer_);
    ASSERT_TRUE(gofer.ok()) << gofer.status();
    state.set_gofer_start_time(gofer->start_time());
    for (const char* target : {"/", "/data"}) {
      v1::Mount& mount = *state.mutable_sandbox()->add_mounts();
      mount.mutable_spec()->set_target(target);
      mount.mutable_spec()->set_source("/srv/" + id);
      *mount.mutable_policy() = InitialPolicy(mount.spec());
    }
    ASSERT_TRUE(directory->WriteState(std::move(state)).ok());
    ASSERT_TRUE(directory->CreatePolicy().ok());
    ASSERT_TRUE(directory->CreateGoferLog().ok());
    auto claims_file = directory->CreateClaims();
    ASSERT_TRUE(claims_file.ok()) << claims_file.status();
    PluginClaims claims;
    for (ClaimKind kind : {ClaimKind::kLookup, ClaimKind::kOpen, ClaimKind::kData}) claims.Count(kind, true);
    for (off_t mount : {0, 1}) {
      ASSERT_EQ(pwrite(claims_file->get(), &claims, sizeof claims, mount * static_cast<off_t>(sizeof claims)),
                static_cast<ssize_t>(sizeof claims));
    }
    auto counters = directory->CreateCounters();
    ASSERT_TRUE(counters.ok()) << counters.status();
    void* mapped = mmap(nullptr, sizeof(CountersPage), PROT_READ | PROT_WRITE, MAP_SHARED, counters->get(), 0);
    ASSERT_NE(mapped, MAP_FAILED);
    for (size_t mount : {0, 1}) {
      for (size_t message = 0; message < 16; ++message) {
        for (size_t lane : {0, 1}) {
          for (uint64_t i = 1; i < 20; ++i) {
            static_cast<CountersPage*>(mapped)->mounts[mount].Count(lane, message, i % 10 == 0 ? ENOENT : 0, 8, 8,
                                                                    i * i * 100);
          }
        }
      }
    }
    munmap(mapped, sizeof(CountersPage));
  }

  struct Times {
    double wall = 1e9;    // From the question until the answer has been taken apart.
    double daemon = 1e9;  // CPU time of lisafsd: what else the machine does matters little to it.
  };
  // The best of several, in milliseconds.
  template <typename F>
  Times Time(F&& read) {
    using Milliseconds = std::chrono::duration<double, std::milli>;
    clockid_t clock;
    EXPECT_EQ(clock_getcpuclockid(daemon_, &clock), 0);
    auto cpu_time = [&] {
      timespec time;
      clock_gettime(clock, &time);
      return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
    };
    Times best;
    for (int i = 0; i < 9; ++i) {
      const auto start = std::chrono::steady_clock::now();
      const auto cpu_start = cpu_time();
      read();
      best.wall = std::min(best.wall, Milliseconds(std::chrono::steady_clock::now() - start).count());
      best.daemon = std::min(best.daemon, Milliseconds(cpu_time() - cpu_start).count());
    }
    return best;
  }
  // All pages of a list, of `size` sandboxes each. Gives how many entries there were.
  template <typename Response, typename Request, typename Call, typename Count>
  int ReadPages(Request request, int size, Call&& call, Count&& count) {
    request.set_page_size(size);
    int entries = 0;
    do {
      grpc::ClientContext context;
      Response response;
      const grpc::Status status = call(&context, request, &response);
      EXPECT_TRUE(status.ok()) << status.error_message();
      if (!status.ok()) return -1;
      entries += count(response);
      request.set_page_token(response.next_page_token());
    } while (!request.page_token().empty());
    return entries;
  }

  pid_t gofer_ = -1;
};

TEST_F(ThousandSandboxes, AreReadQuickly) {
  auto check = [](const std::string& what, Times times, [[maybe_unused]] double bar = 100) {
    std::cout << "1,000 sandboxes with 2 mounts each, " << what << ": " << times.wall << " ms, of lisafsd "
              << times.daemon << " ms" << std::endl;
#ifdef __OPTIMIZE__
    EXPECT_LT(times.daemon, bar);
#endif
  };
  for (int page : {100, 1000}) {
    check(absl::StrCat("listed, ", page, " a page"), Time([&] {
            EXPECT_EQ(ReadPages<v1::ListSandboxesResponse>(
                          v1::ListSandboxesRequest(), page,
                          [&](auto&&... arguments) { return stub_->ListSandboxes(arguments...); },
                          [](const auto& response) { return response.sandboxes_size(); }),
                      kSandboxes);
          }));
    check(absl::StrCat("their statistics, ", page, " a page"), Time([&] {
            EXPECT_EQ(ReadPages<v1::GetStatisticsResponse>(
                          v1::GetStatisticsRequest(), page,
                          [&](auto&&... arguments) { return stub_->GetStatistics(arguments...); },
                          [](const auto& response) { return response.mounts_size(); }),
                      2 * kSandboxes);
          }));
  }
  size_t size = 0;
  const Times metrics = Time([&] {
    size = 0;
    auto response = httplib::Client("127.0.0.1", MetricsPort()).Get("/metrics", [&](const char*, size_t piece) {
      size += piece;
      return true;
    });
    EXPECT_TRUE(response && response->status == 200);
    EXPECT_GT(size, 1'000'000u);
  });
  // Which is also a lot to write.
  check(absl::StrCat("as ", size >> 20, " MiB of metrics"), metrics, 200);
}

}  // namespace
}  // namespace lisafs
