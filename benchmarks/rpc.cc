// What a round trip costs: a request with a small payload to a handler that does nothing, as gVisor's BenchmarkSendRecv
// (pkg/lisafs) has it, with the client and the server in two processes, on each lane; and beside it what the machine
// gives two processes that only spin on a shared word.

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "base/program.h"
#include "lisafs/client.h"
#include "lisafs/connection.h"
#include "lisafs/server.h"

namespace lisafs {
namespace {

using Clock = std::chrono::steady_clock;

constexpr SpinPolicy kSpin{.microseconds = 100};

// gVisor's benchmark sends a u32 and a string of 18 characters, 24 bytes, and gets as many back. These are bodies of
// that size.
constexpr std::string_view kName = "user.bench";
constexpr std::string_view kValue = "a value that has 22...";
static_assert(kName.size() == 24 - 14 && kValue.size() == 24 - 2);

Result<StringResp> HandleNull(Connection&, const FGetXattrReq& request) {
  if (request.name.size() != kName.size()) return Fail(ENODATA);
  return StringResp{kValue};
}

// A mount with nothing behind it.
class NullMount final : public MountPoint {
 public:
  using MountPoint::MountPoint;
  Result<Root> OpenRoot(FdBudget::Share share) override {
    struct Directory final : ControlFd {
      Directory(FdBudget::Share share, NodeRef node) : ControlFd(std::move(share), std::move(node), S_IFDIR) {}
    };
    return Root{std::make_shared<Directory>(std::move(share), root()), {}};
  }
};

template <typename T>
T* NewShared() {
  void* memory = mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) DieErrno("mmap");
  return new (memory) T;
}

// Runs `body` in a process of its own, which ends with it or with this one.
pid_t Spawn(const std::function<void()>& body) {
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) DieErrno("fork");
  if (child > 0) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() == parent) body();
  _exit(kExitSuccess);
}

// One way to make round trips.
class Subject {
 public:
  virtual ~Subject() = default;
  virtual void RoundTrips(int count) = 0;
};

class Lisafs final : public Subject {
 public:
  explicit Lisafs(size_t channels, bool counted = true) {
    int sockets[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) DieErrno("socketpair");
    auto* counters = counted ? NewShared<MountCounters>() : nullptr;
    server_ = Spawn([&] {
      close(sockets[0]);
      Server server;
      server.handlers.Serve<Mid::kFGetXattr, HandleNull>();
      NullMount mount(server);
      Connection(server, mount, Fd(sockets[1]), {.spin = kSpin, .counters = counters}).Serve();
    });
    close(sockets[1]);
    auto client = Client::Connect(Fd(sockets[0]), {.max_channels = channels, .spin = kSpin});
    if (!client) Die("connect", client.error().ToString());
    if ((*client)->channels() != channels) Die("connect", "the server gave no channel");
    client_ = std::move(*client);
  }
  ~Lisafs() override {
    client_.reset();
    waitpid(server_, nullptr, 0);
  }

  void RoundTrips(int count) override {
    size_t size = 0;
    for (int i = 0; i < count; ++i) {
      auto status = client_->Call<Mid::kFGetXattr>({.fd = 1, .size = 0, .name = kName},
                                                   [&](const StringResp& response) { size += response.value.size(); });
      if (!status) Die("call", status.error().ToString());
    }
    if (size != count * kValue.size()) Die("call", "wrong response");
  }

 private:
  pid_t server_;
  std::unique_ptr<Client> client_;
};

class RawSharedMemory final : public Subject {
 public:
  RawSharedMemory() : word_(NewShared<Word>()->value) {
    peer_ = Spawn([&] {
      for (uint32_t turn = 1;; turn += 2) {
        AwaitValue(turn);
        word_.store(turn + 1, std::memory_order_release);
      }
    });
  }
  ~RawSharedMemory() override {
    kill(peer_, SIGKILL);
    waitpid(peer_, nullptr, 0);
  }

  void RoundTrips(int count) override {
    for (int i = 0; i < count; ++i, turn_ += 2) {
      word_.store(turn_, std::memory_order_release);
      AwaitValue(turn_ + 1);
    }
  }

 private:
  struct alignas(64) Word {
    std::atomic<uint32_t> value = 0;
  };

  void AwaitValue(uint32_t value) {
    // Where the two share a CPU, on a busy machine, spinning alone would take two time slices a turn.
    for (int looks = 1; word_.load(std::memory_order_acquire) != value; ++looks) {
      if (looks % 10000 == 0) sched_yield();
    }
  }

  std::atomic<uint32_t>& word_;
  uint32_t turn_ = 1;
  pid_t peer_;
};

double Middle(std::vector<double> values) {
  auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// Nanoseconds of one round trip: the middle of many short rounds, so that what else the machine does meanwhile counts
// for little. Fewer rounds where it leaves no time.
double Measure(Subject& subject, int round_trips) {
  constexpr size_t kRounds = 101;
  std::vector<double> rounds;
  subject.RoundTrips(round_trips);
  const auto give_up = Clock::now() + std::chrono::seconds(2);
  while (rounds.empty() || (rounds.size() < kRounds && Clock::now() < give_up)) {
    const auto start = Clock::now();
    subject.RoundTrips(round_trips);
    rounds.push_back(std::chrono::duration<double, std::nano>(Clock::now() - start).count() / round_trips);
  }
  return Middle(std::move(rounds));
}

struct Row {
  const char* work;
  const char* system;
  std::function<std::unique_ptr<Subject>()> make;
  int round_trips;  // In a round.
};

// What counting costs: two pairs of a client and a server that differ in nothing else take turns, round by round, and
// each round is compared with the one beside it.
struct Counting {
  double counted, uncounted;  // Nanoseconds of a round trip.
  double percent;             // How much more the counted one took.
};

Counting MeasureCounting() {
  constexpr int kRounds = 1000, kRoundTrips = 2000;
  Lisafs subjects[] = {Lisafs(1, false), Lisafs(1, true)};
  std::vector<double> times[2], differences;
  for (int round = 0; round < kRounds; ++round) {
    double time[2];
    for (int i : {0, 1}) {
      const int which = (i + round) % 2;
      subjects[which].RoundTrips(200);  // The other's server has gone to sleep.
      const auto start = Clock::now();
      subjects[which].RoundTrips(kRoundTrips);
      time[which] = std::chrono::duration<double, std::nano>(Clock::now() - start).count() / kRoundTrips;
      times[which].push_back(time[which]);
    }
    differences.push_back((time[1] - time[0]) / time[0] * 100);
  }
  return {.counted = Middle(times[1]), .uncounted = Middle(times[0]), .percent = Middle(differences)};
}

int Main(int argc, char** argv) {
  CLI::App app{"Measures LISAFS round trips beside raw shared memory."};
  bool json = false;
  size_t runs = 5;
  std::string work;
  app.add_flag("--json", json, "print one JSON object");
  app.add_option("--runs", runs, "how often everything is measured; the middle run is reported")
      ->check(CLI::Range(1, 1000));
  app.add_option("work", work, "only this lane, or what the counters cost")
      ->check(CLI::IsMember({"channel", "socket", "counting"}));
  CLI11_PARSE(app, argc, argv);
  if (work == "counting") {
    std::vector<double> counted, uncounted, percent;
    for (size_t run = 0; run < runs; ++run) {
      const Counting counting = MeasureCounting();
      counted.push_back(counting.counted);
      uncounted.push_back(counting.uncounted);
      percent.push_back(counting.percent);
    }
    printf("counted %.1f ns, uncounted %.1f ns, %+.2f %%\n", Middle(counted), Middle(uncounted), Middle(percent));
    return kExitSuccess;
  }

  std::vector<Row> rows = {
      {"channel", "lisafs", [] { return std::make_unique<Lisafs>(1); }, 2000},
      {"channel", "raw-shm", [] { return std::make_unique<RawSharedMemory>(); }, 5000},
      {"socket", "lisafs", [] { return std::make_unique<Lisafs>(0); }, 100},
  };
  std::erase_if(rows, [&](const Row& row) { return !work.empty() && row.work != work; });

  // Run by run, so that all of them see the same machine.
  std::vector<std::vector<double>> values(rows.size());
  for (size_t run = 0; run < runs; ++run) {
    for (size_t i = 0; i < rows.size(); ++i) {
      values[i].push_back(Measure(*rows[i].make(), rows[i].round_trips));
    }
  }

  if (json) printf("{\"results\":[");
  for (size_t i = 0; i < rows.size(); ++i) {
    const double value = Middle(values[i]);
    if (json) {
      printf("%s{\"work\":\"%s\",\"system\":\"%s\",\"value\":%.1f,\"unit\":\"ns\",\"runs\":%zu}", i == 0 ? "" : ",",
             rows[i].work, rows[i].system, value, runs);
    } else {
      printf("%-8s %-8s %10.1f ns\n", rows[i].work, rows[i].system, value);
    }
  }
  if (json) printf("]}\n");
  return kExitSuccess;
}

}  // namespace
}  // namespace lisafs

int main(int argc, char** argv) {
  lisafs::SetProgramName("rpc");
  return lisafs::Main(argc, argv);
}
