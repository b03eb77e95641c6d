#include "control/access_recorder.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>

namespace lisafs {
namespace {

using testing::Contains;
using testing::Key;
using testing::Not;

// A directory, and a tree of its own that is mounted nowhere, as gofers have them.
class AccessRecorderTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    char name[] = "/tmp/access_recorder_test.XXXXXX";
    directory_ = mkdtemp(name);
    std::filesystem::create_directory(directory_ + "/sub");
    std::ofstream(directory_ + "/sub/file") << "data";
    std::ofstream(directory_ + "/other") << "data";
    tree_.reset(
        static_cast<int>(syscall(SYS_open_tree, AT_FDCWD, directory_.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)));
    ASSERT_TRUE(tree_.valid());
    auto recorder = AccessRecorder::Start("/proc/self/fd/" + std::to_string(tree_.get()));
    ASSERT_TRUE(recorder.ok()) << recorder.status();
    recorder_.emplace(*std::move(recorder));
  }
  void TearDown() override {
    recorder_.reset();
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }

  Fd Open(const char* name, int flags) { return Fd(openat(tree_.get(), name, flags | O_CLOEXEC, 0644)); }
  AccessRecorder::Profile Collect() { return recorder_->Collect(std::chrono::milliseconds(0)); }

  std::string directory_;
  Fd tree_;
  std::optional<AccessRecorder> recorder_;
};

TEST_F(AccessRecorderTest, NotesHowFilesAreUsed) {
  char byte;
  Fd file = Open("sub/file", O_RDWR);
  EXPECT_EQ(Collect()["/sub/file"], AccessRecorder::Access{});
  EXPECT_EQ(read(file.get(), &byte, 1), 1);
  EXPECT_EQ(Collect()["/sub/file"], (AccessRecorder::Access{.read = true}));
  EXPECT_EQ(write(file.get(), "x", 1), 1);
  EXPECT_EQ(Collect()["/sub/file"], (AccessRecorder::Access{.read = true, .written = true}));
  EXPECT_EQ(read(file.get(), &byte, 1), 1);
  EXPECT_THAT(Collect(), testing::IsEmpty()) << "nothing new";
  Fd made = Open("new", O_CREAT | O_WRONLY);
  made.reset();
  EXPECT_TRUE(Collect()["/new"].written);
  EXPECT_FALSE(recorder_->incomplete());
}

TEST_F(AccessRecorderTest, NotesOnlyWhatGoesThroughTheMount) {
  std::ifstream(directory_ + "/other").get();
  Fd looked_at = Open("other", O_PATH);
  EXPECT_THAT(Collect(), testing::IsEmpty());
  Fd removed = Open("sub/file", O_RDONLY);
  ASSERT_EQ(unlinkat(tree_.get(), "sub/file", 0), 0);
  EXPECT_THAT(Collect(), Contains(Key("/sub/file")));
}

TEST_F(AccessRecorderTest, AFifoDoesNotHoldItUp) {
  ASSERT_EQ(mkfifoat(tree_.get(), "fifo", 0600), 0);
  Fd fifo = Open("fifo", O_RDWR | O_NONBLOCK);
  fifo.reset();
  EXPECT_THAT(Collect(), Not(Contains(Key("/sub/file"))));
}

TEST(AccessRecorder, SaysWhatCannotBeWatched) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  EXPECT_EQ(AccessRecorder::Start("/nowhere").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace lisafs
