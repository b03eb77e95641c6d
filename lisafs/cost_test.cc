#include <gtest/gtest.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <new>
#include <thread>

#include "lisafs/client.h"
#include "lisafs/connection.h"
#include "lisafs/server_testing.h"

// What a connection costs: memory per request, and the CPU's time where there is nothing to do or nothing to gain.

namespace {

std::atomic<size_t> allocations = 0;

void* Allocate(size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(size_t size) { return Allocate(size); }
void* operator new[](size_t size) { return Allocate(size); }
void operator delete(void* memory) noexcept { free(memory); }
void operator delete[](void* memory) noexcept { free(memory); }
void operator delete(void* memory, size_t) noexcept { free(memory); }
void operator delete[](void* memory, size_t) noexcept { free(memory); }

namespace lisafs {
namespace {

// Of all threads of this process, in seconds.
double CpuTime() {
  timespec used;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
}

// A client and its server, both in this process and both willing to spin.
class CostTest : public testing::Test {
 protected:
  CostTest() : mount_(server_) {
    on_call = nullptr;
    server_.handlers.Serve<Mid::kFStat, handlers::FStat>();
    server_.handlers.Serve<Mid::kPWrite, handlers::PWrite>(Effect::kWrites);
  }
  ~CostTest() override {
    client_.reset();
    if (thread_.joinable()) thread_.join();
  }

  void Connect(size_t channels) {
    int sockets[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    constexpr SpinPolicy kSpin = {.microseconds = 100};
    connection_ = std::make_unique<Connection>(server_, mount_, Fd(sockets[0]),
                                               Connection::Options{.spin = kSpin, .counters = counters_.get()});
    thread_ = std::thread([this] { connection_->Serve(); });
    auto client = Client::Connect(Fd(sockets[1]), {.max_channels = channels, .spin = kSpin});
    ASSERT_TRUE(client);
    client_ = std::move(*client);
    ASSERT_EQ(client_->channels(), channels);
  }

  void MakeCalls(int count) {
    const Fdid root = client_->root().control_fd;
    const std::byte data[100] = {};
    for (int i = 0; i < count; ++i) {
      auto stat = client_->Call<Mid::kFStat>({root});
      ASSERT_TRUE(stat);
      ASSERT_EQ(stat->stat.ino, 42u);
      auto written = client_->PWrite(root, data, 0);
      ASSERT_TRUE(written);
      ASSERT_EQ(*written, sizeof data);
    }
  }

  std::unique_ptr<MountCounters> counters_ = std::make_unique<MountCounters>();
  Server server_;
  FakeMount mount_;
  std::unique_ptr<Connection> connection_;
  std::thread thread_;
  std::unique_ptr<Client> client_;
};

TEST_F(CostTest, NoAllocationPerRequestOnAChannel) {
  Connect(1);
  MakeCalls(10);
  const size_t before = allocations;
  MakeCalls(1000);
  EXPECT_EQ(allocations - before, 0u);
}

TEST_F(CostTest, NoAllocationPerRequestOnTheSocket) {
  Connect(0);
  MakeCalls(10);
  const size_t before = allocations;
  MakeCalls(1000);
  EXPECT_EQ(allocations - before, 0u);
}

TEST_F(CostTest, AnIdleConnectionUsesNoCpu) {
  Connect(2);
  MakeCalls(100);
  // The first second has what follows the last call: a little spinning, and the way to sleep. Interrupts count as well,
  // in any of them.
  double least = 1;
  for (int i = 0; i < 5 && least >= 0.001; ++i) {
    const double before = CpuTime();
    std::this_thread::sleep_for(std::chrono::seconds(1));
    least = std::min(least, CpuTime() - before);
  }
  EXPECT_LT(least, 0.001);
}

// Both sides have but one CPU: then spinning only keeps the other from it.
TEST_F(CostTest, OneCpuForBothSides) {
  cpu_set_t cpus;
  ASSERT_EQ(sched_getaffinity(0, sizeof cpus, &cpus), 0);
  if (CPU_COUNT(&cpus) > 1) {
    // How many there are is looked up when a program starts.
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      CPU_ZERO(&cpus);
      CPU_SET(sched_getcpu(), &cpus);
      if (sched_setaffinity(0, sizeof cpus, &cpus) != 0) _exit(1);
      execl("/proc/self/exe", "cost_test", "--gtest_filter=CostTest.OneCpuForBothSides", nullptr);
      _exit(1);
    }
    int status;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    return;
  }
  Connect(1);
  MakeCalls(10);
  constexpr int kCalls = 500;
  // Two requests a turn. A side that spins to the end of its time takes 100 us for each. The best of several: a machine
  // with other work does the same more slowly.
  double least = 1;
  for (int i = 0; i < 5 && least >= 50e-6; ++i) {
    const double before = CpuTime();
    MakeCalls(kCalls);
    least = std::min(least, (CpuTime() - before) / (2 * kCalls));
  }
  EXPECT_LT(least, 50e-6);
}

}  // namespace
}  // namespace lisafs
