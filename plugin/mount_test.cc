#include "plugin/mount.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <condition_variable>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "plugin/fake_client.h"
#include "plugin/turn.h"

namespace lisafs {
namespace {

// Requests as a test makes them, and the answers to them. Lives longer than the mount that it is lent to.
class Kernel {
 public:
  template <typename... Argument>
  uint64_t Ask(uint32_t opcode, uint64_t nodeid, const Argument&... arguments) {
    std::lock_guard lock(mutex_);
    fuse_in_header header = {};
    header.opcode = opcode;
    header.nodeid = nodeid;
    header.unique = ++last_unique_;
    std::string request(reinterpret_cast<const char*>(&header), sizeof header);
    (Append(request, arguments), ...);
    requests_.push_back(std::move(request));
    changed_.notify_all();
    return header.unique;
  }
  // Waits for the answer.
  int ErrorOf(uint64_t unique) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return errors_.contains(unique); });
    return errors_[unique];
  }
  bool IsAnswered(uint64_t unique) {
    std::lock_guard lock(mutex_);
    return errors_.contains(unique);
  }
  void Unmount() {
    std::lock_guard lock(mutex_);
    unmounted_ = true;
    changed_.notify_all();
  }
  // What the first answer to the next request meets with.
  void RefuseNext(int error) {
    std::lock_guard lock(mutex_);
    refused_[last_unique_ + 1] = error;
  }
  void WaitUntilRefused() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return refused_.empty(); });
  }

  class Transport : public FuseTransport {
   public:
    explicit Transport(Kernel& kernel) : kernel_(kernel) {}
    Result<size_t> Receive(std::span<std::byte> buffer) override { return kernel_.Receive(buffer); }
    Status Send(std::span<const std::byte> reply) override { return kernel_.Send(reply); }

   private:
    Kernel& kernel_;
  };

 private:
  template <typename T>
  static void Append(std::string& bytes, const T& argument) {
    if constexpr (std::is_convertible_v<T, std::string_view>) {
      bytes += std::string_view(argument);
      bytes += '\0';
    } else {
      bytes.append(reinterpret_cast<const char*>(&argument), sizeof argument);
    }
  }
  Result<size_t> Receive(std::span<std::byte> buffer) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return unmounted_ || !requests_.empty(); });
    if (unmounted_) return Fail(ENODEV);
    std::string request = std::move(requests_.front());
    requests_.pop_front();
    memcpy(buffer.data(), request.data(), request.size());
    changed_.notify_all();
    return request.size();
  }
  Status Send(std::span<const std::byte> reply) {
    std::lock_guard lock(mutex_);
    fuse_out_header header;
    memcpy(&header, reply.data(), sizeof header);
    EXPECT_EQ(header.len, reply.size());
    if (auto refused = refused_.extract(header.unique); !refused.empty()) {
      changed_.notify_all();
      return Fail(refused.mapped());
    }
    if (header.unique != 0) errors_[header.unique] = -header.error;
    changed_.notify_all();
    return {};
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> requests_;
  std::map<uint64_t, int> errors_;
  uint64_t last_unique_ = 0;
  bool unmounted_ = false;
  std::map<uint64_t, int> refused_;
};

class MountTest : public testing::Test {
 protected:
  static constexpr uint64_t kRoot = 1;

  void SetUp() override {
    auto client = std::make_unique<FakeClient>();
    client_ = client.get();
    client_->Add("a", S_IFREG | 0644);
    client_->on_call = [this](Mid mid) {
      if (mid != Mid::kFStatFS) return;
      GiveTurnAway();  // As a client does that is about to sleep.
      std::unique_lock lock(mutex_);
      ++waiting_;
      changed_.notify_all();
      changed_.wait(lock, [this] { return go_on_; });
    };
    mount_ = std::make_unique<Mount>(std::make_unique<Kernel::Transport>(kernel_), std::move(client), MountOptions());
    serving_ = std::thread([this] { mount_->Serve(); });
    EXPECT_EQ(kernel_.ErrorOf(kernel_.Ask(FUSE_INIT, 0, fuse_init_in{.major = 7, .minor = 45})), 0);
  }
  void TearDown() override {
    GoOn();
    kernel_.Unmount();
    serving_.join();
  }
  void WaitUntilBlocked(int requests) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiting_ == requests; });
  }
  void GoOn() {
    std::lock_guard lock(mutex_);
    go_on_ = true;
    changed_.notify_all();
  }
  static bool Eventually(const std::function<bool()>& condition) {
    for (int i = 0; i < 60'000 && !condition(); ++i) usleep(1000);
    return condition();
  }
  bool IsKnown(uint64_t node) { return kernel_.ErrorOf(kernel_.Ask(FUSE_GETATTR, node, fuse_getattr_in{})) == 0; }

  Kernel kernel_;
  FakeClient* client_;
  std::unique_ptr<Mount> mount_;
  std::thread serving_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int waiting_ = 0;
  bool go_on_ = false;
};

TEST_F(MountTest, ASlowRequestHoldsUpNoOther) {
  uint64_t slow = kernel_.Ask(FUSE_STATFS, kRoot);
  WaitUntilBlocked(1);
  EXPECT_EQ(kernel_.ErrorOf(kernel_.Ask(FUSE_LOOKUP, kRoot, "a")), 0);
  EXPECT_FALSE(kernel_.IsAnswered(slow));
  GoOn();
  EXPECT_EQ(kernel_.ErrorOf(slow), 0);
}

TEST_F(MountTest, ForgetsAreServedWhenEverybodyIsBusy) {
  constexpr uint64_t kFile = 2;  // The first node after the root.
  ASSERT_EQ(kernel_.ErrorOf(kernel_.Ask(FUSE_LOOKUP, kRoot, "a")), 0);
  // Gives it a control FD.
  ASSERT_EQ(kernel_.ErrorOf(kernel_.Ask(FUSE_SETATTR, kFile, fuse_setattr_in{})), 0);
  ASSERT_EQ(client_->control_fd_count(), 2u);
  std::vector<uint64_t> slow;
  for (int i = 0; i < 50; ++i) slow.push_back(kernel_.Ask(FUSE_STATFS, kRoot));
  WaitUntilBlocked(Mount::kMaxWorkers - 1);
  kernel_.Ask(FUSE_FORGET, kFile, fuse_forget_in{1});
  EXPECT_TRUE(Eventually([&] { return client_->control_fd_count() == 1; }));
  for (uint64_t unique : slow) EXPECT_FALSE(kernel_.IsAnswered(unique));
  GoOn();
  for (uint64_t unique : slow) EXPECT_EQ(kernel_.ErrorOf(unique), 0);
  EXPECT_FALSE(IsKnown(kFile));
}

TEST_F(MountTest, AnAnswerThatNobodyWaitsForIsTakenBack) {
  kernel_.RefuseNext(ENOENT);
  uint64_t aborted = kernel_.Ask(FUSE_LOOKUP, kRoot, "a");
  kernel_.WaitUntilRefused();
  EXPECT_TRUE(Eventually([&] { return !IsKnown(2); }));
  EXPECT_FALSE(kernel_.IsAnswered(aborted));
}

TEST_F(MountTest, AnAnswerThatTheKernelDoesNotLikeBecomesAnError) {
  kernel_.RefuseNext(EINVAL);
  EXPECT_EQ(kernel_.ErrorOf(kernel_.Ask(FUSE_LOOKUP, kRoot, "a")), EIO);
  EXPECT_FALSE(IsKnown(2));
}

}  // namespace
}  // namespace lisafs
