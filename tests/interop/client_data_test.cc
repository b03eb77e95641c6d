// Contents, descriptors and lanes; names are client_tree_test.cc's.

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "tests/interop/client_testing.h"

namespace lisafs::tests {
namespace {

size_t CountOwnFds() { return ListDirectory("/proc/self/fd").size(); }

TEST_P(ClientTest, MountSaysWhatTheServerCan) {
  struct stat stat;
  ASSERT_EQ(::stat(directory().path().c_str(), &stat), 0);
  EXPECT_EQ(client().root().stat.ino, stat.st_ino);
  EXPECT_EQ(client().root().stat.mode, stat.st_mode);
  EXPECT_EQ(client().max_message(), kDefaultMaxMessage);
  EXPECT_TRUE(client().connected());
  if (channels() == 0) {
    EXPECT_EQ(client().channels(), 0u);
  } else {
    // gVisor's servers give two to four, whatever they are asked for.
    EXPECT_GE(client().channels(), 2u);
    EXPECT_LE(client().channels(), is_gvisor() ? 4u : channels());
  }
  for (Mid mid : kAllMids) {
    if (mid == Mid::kError || mid == Mid::kFlush) continue;
    bool newer =
        mid == Mid::kFListXattr || mid == Mid::kFRemoveXattr || mid == Mid::kConnectWithCreds || mid == Mid::kRenameAt2;
    bool ours = mid > Mid::kRenameAt2;
    if (is_gvisor()) {
      EXPECT_EQ(client().Supports(mid), !ours && !(is_december2022() && newer)) << MessageName(mid);
    } else {
      // Those take a broker, and the mount's option `watch`.
      bool lacking = mid == Mid::kOpenBacking || mid == Mid::kSubscribe || mid == Mid::kWatch;
      EXPECT_EQ(client().Supports(mid), !lacking) << MessageName(mid);
    }
  }
}

TEST_P(ClientTest, FilesLongerThanAMessage) {
  auto file = Create(root(), "big");
  ASSERT_EQ(Outcome(file), "ok");
  auto data = SomeBytes((5 << 20) + 7, 1);
  auto written = client().PWrite(file->open, data, 0);
  ASSERT_EQ(Outcome(written), "ok");
  ASSERT_EQ(*written, data.size());
  EXPECT_EQ(ReadFile(directory() / "big"), std::string(reinterpret_cast<const char*>(data.data()), data.size()));

  for (size_t offset : {size_t{0}, size_t{3}, size_t{2} << 20, data.size() - 1, data.size(), data.size() + 1}) {
    std::vector<std::byte> got(data.size());
    auto read = client().PRead(file->open, got, offset);
    ASSERT_EQ(Outcome(read), "ok") << offset;
    size_t left = offset < data.size() ? data.size() - offset : 0;
    ASSERT_EQ(*read, left) << offset;
    EXPECT_TRUE(left == 0 || memcmp(got.data(), data.data() + offset, left) == 0) << offset;
  }
  Fdid fds[] = {file->open, file->open};
  EXPECT_EQ(Outcome(client().Call<Mid::kFSync>({.fds = FdArray(fds)})), "ok");
  fds[1] = file->control;
  EXPECT_EQ(Outcome(client().Call<Mid::kFSync>({.fds = FdArray(fds)})), "EINVAL");
}

TEST_P(ClientTest, DonatedDescriptors) {
  auto file = Create(root(), "file");
  ASSERT_EQ(Outcome(file), "ok");
  ASSERT_TRUE(file->donated);
  ASSERT_EQ(pwrite(file->donated.get(), "hello", 5, 0), 5);
  EXPECT_EQ(ReadFile(directory() / "file"), "hello");
  EXPECT_NE(fcntl(file->donated.get(), F_GETFD) & FD_CLOEXEC, 0);

  auto opened = Open(file->control, O_RDONLY);
  ASSERT_EQ(Outcome(opened), "ok");
  ASSERT_TRUE(opened->donated);
  EXPECT_EQ(fcntl(opened->donated.get(), F_GETFL) & O_ACCMODE, O_RDONLY);
  EXPECT_EQ(Outcome(client().PWrite(opened->open, SomeBytes(1, 1), 0)), "EBADF");

  auto root_opened = Open(root(), O_RDONLY);
  ASSERT_EQ(Outcome(root_opened), "ok");
  EXPECT_FALSE(root_opened->donated);

  // What nobody wants is closed.
  size_t before = CountOwnFds();
  for (int i = 0; i < 50; ++i) {
    auto response = client().Call<Mid::kOpenAt>({.fd = file->control, .flags = O_RDWR, .padding = {}});
    ASSERT_EQ(Outcome(response), "ok");
    client().CloseLater(response->open_fd);
  }
  EXPECT_EQ(CountOwnFds(), before);
}

TEST_P(ClientTest, ManyThreads) {
  auto shared = MakeDirectory(root(), "shared");
  ASSERT_EQ(Outcome(shared), "ok");
  {
    std::vector<std::jthread> threads;
    for (size_t t = 0; t < 10; ++t) {
      threads.emplace_back([&, t] {
        for (size_t round = 0; round < 30 && !HasFatalFailure(); ++round) {
          ExerciseFile(shared->control_fd, "t" + std::to_string(t) + "-" + std::to_string(round), 777 * t + round);
        }
      });
    }
  }
  EXPECT_EQ(ListDirectory(directory() / "shared"), std::vector<std::string>());
}

TEST_P(ClientTest, ManyBigFiles) {
  std::vector<std::jthread> threads;
  for (size_t t = 0; t < 5; ++t) {
    threads.emplace_back([&, t] { ExerciseFile(root(), "big" + std::to_string(t), (5 << 20) + t); });
  }
}

TEST_P(ClientTest, ManyDescriptorsAreClosedInBatches) {
  auto file = Create(root(), "file");
  ASSERT_EQ(Outcome(file), "ok");
  std::vector<Fdid> closed;
  for (int i = 0; i < 250; ++i) {
    auto walked = Walk(root(), {"file"});
    ASSERT_EQ(Outcome(walked), "ok");
    ASSERT_EQ(walked->size(), 1u);
    closed.push_back((*walked)[0].control_fd);
    client().CloseLater(closed.back());
  }
  client().FlushClosed();
  for (Fdid fd : closed) EXPECT_EQ(Outcome(Stat(fd)), "EBADF") << fd;
  EXPECT_EQ(Outcome(Stat(file->control)), "ok");
}

TEST_P(ClientTest, AServersDeathEndsEveryCall) {
  auto file = Create(root(), "file");
  ASSERT_EQ(Outcome(file), "ok");
  std::atomic<int> calls = 0;
  std::vector<std::string> ends(6);
  {
    std::vector<std::jthread> threads;
    for (std::string& end : ends) {
      threads.emplace_back([&] {
        do {
          end = Outcome(Stat(file->control));
          ++calls;
        } while (end == "ok");
      });
    }
    EXPECT_TRUE(Eventually(kPatience, [&] { return calls > 100; }));
    server().Signal(SIGKILL);
  }
  for (const std::string& end : ends) EXPECT_EQ(end, "ECONNRESET");
  EXPECT_TRUE(Eventually(kPatience, [&] { return !client().connected(); }));
  EXPECT_EQ(Outcome(Stat(root())), "ECONNRESET");
  client().CloseLater(file->control);
  client().FlushClosed();
  EXPECT_EQ(server().Wait().status, 128 + SIGKILL);
  Forget();
}

std::string ParameterName(const testing::TestParamInfo<ClientTest::ParamType>& info) {
  constexpr const char* kNames[] = {"Gofer", "GvisorNewest", "GvisorDecember2022"};
  size_t channels = std::get<1>(info.param);
  return std::string(kNames[static_cast<int>(std::get<0>(info.param))]) +
         (channels == 0 ? "_Socket" : "_" + std::to_string(channels) + "Channels");
}

// All lanes that a server gives, with more asked for than it has; and the socket alone.
INSTANTIATE_TEST_SUITE_P(All, ClientTest,
                         testing::Combine(testing::Values(ServerKind::kGofer, ServerKind::kGvisorNewest,
                                                          ServerKind::kGvisorDecember2022),
                                          testing::Values(0, 16)),
                         ParameterName);

}  // namespace
}  // namespace lisafs::tests
