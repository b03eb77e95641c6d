// Many files, and many processes at once.

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "base/fd.h"
#include "tests/filesystem/mounted_directory.h"

namespace lisafs::tests {
namespace {

class Load : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    files_.emplace(MountedDirectory::Options{});
    ASSERT_TRUE(files_->ok());
  }
  std::optional<MountedDirectory> files_;
};

// More files than the plugin has control FDs for: they are given up and found again.
TEST_F(Load, TwentyThousandFiles) {
  constexpr int kDirectories = 20, kFiles = 1000;
  auto path = [&](int directory, int file) {
    return *files_ / ("d" + std::to_string(directory) + "/f" + std::to_string(file));
  };
  size_t most = 0;
  for (int d = 0; d < kDirectories; ++d) {
    ASSERT_EQ(mkdir((*files_ / ("d" + std::to_string(d))).c_str(), 0755), 0);
    for (int f = 0; f < kFiles; ++f) {
      Fd fd(open(path(d, f).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
      ASSERT_TRUE(fd) << strerror(errno);
      std::string content = std::to_string(d * kFiles + f);
      ASSERT_EQ(write(fd.get(), content.data(), content.size()), static_cast<ssize_t>(content.size()));
    }
    most = std::max(most, CountDescriptors(files_->gofer_pid()));
  }
  constexpr size_t kBudget = 2048 + 300;  // With closes that are still batched, and what the gofer itself needs.
  EXPECT_LT(most, kBudget);
  EXPECT_GT(most, 1000u);
  EXPECT_LT(CountDescriptors(files_->plugin_pid()), 100u);
  for (int f = 0; f < kFiles; f += 5) {
    for (int d = 0; d < kDirectories; ++d) {
      ASSERT_EQ(ReadFile(path(d, f)), std::to_string(d * kFiles + f));
      if (f % 50 == 0) {
        ASSERT_EQ(chmod(path(d, f).c_str(), 0600), 0);
      }
    }
  }
  EXPECT_LT(CountDescriptors(files_->gofer_pid()), kBudget);
  // A renamed directory's files are found by its new name.
  ASSERT_EQ(rename((*files_ / "d0").c_str(), (*files_ / "moved").c_str()), 0);
  for (int f = 0; f < kFiles; ++f) {
    ASSERT_EQ(ReadFile(*files_ / ("moved/f" + std::to_string(f))), std::to_string(f));
  }
}

// What one process of several does: everything, on files of its own and on some that it shares with the others.
bool Work(const MountedDirectory& files, int worker) {
  const std::string own = files / ("w" + std::to_string(worker));
  if (mkdir(own.c_str(), 0755) != 0) return false;
  for (int i = 0; i < 150; ++i) {
    std::string name = own + "/" + std::to_string(i);
    std::string other = name + ".new";
    {
      Fd fd(open(name.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0644));
      if (!fd || write(fd.get(), name.data(), name.size()) != static_cast<ssize_t>(name.size())) return false;
      if (unlink(name.c_str()) != 0 || fchmod(fd.get(), 0600) != 0) return false;
      char c;
      if (pread(fd.get(), &c, 1, 0) != 1 || c != '/') return false;
    }
    {
      Fd fd(open(name.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644));
      if (!fd || write(fd.get(), name.data(), name.size()) != static_cast<ssize_t>(name.size())) return false;
    }
    if (rename(name.c_str(), other.c_str()) != 0 || access(name.c_str(), F_OK) == 0) return false;
    if (ReadFile(other) != name) return false;
    if (link(other.c_str(), name.c_str()) != 0) return false;
    if (i % 2 == 0 && unlink(other.c_str()) != 0) return false;
    // Shared: any of these may lose against another process, but nothing else may happen.
    const std::string shared = files / ("shared" + std::to_string(i % 5));
    Fd fd(open(shared.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0666));
    if (!fd && errno != ENOENT) return false;
    if (fd && pwrite(fd.get(), "shared", 6, 0) != 6) return false;
    if (rename(shared.c_str(), (files / "shared-moved").c_str()) != 0 && errno != ENOENT) return false;
    if (i % 10 == 0 && ListDirectory(own).size() < static_cast<size_t>(i)) return false;
  }
  return true;
}

TEST_F(Load, EightProcessesAtOnce) {
  std::vector<pid_t> workers;
  for (int i = 0; i < 8; ++i) {
    pid_t child = fork();
    if (child == 0) {
      bool done = Work(*files_, i);
      if (!done) perror("worker");
      _exit(done ? 0 : 1);
    }
    workers.push_back(child);
  }
  for (pid_t worker : workers) {
    int status = -1;
    ASSERT_EQ(waitpid(worker, &status, 0), worker);
    EXPECT_EQ(status, 0);
  }
  for (int i = 0; i < 8; ++i) {
    std::string own = "w" + std::to_string(i);
    EXPECT_EQ(ListDirectory(*files_ / own).size(), 225u);
    EXPECT_EQ(ListDirectory(*files_ / own), ListDirectory(files_->OnHost(own)));
  }
}

}  // namespace
}  // namespace lisafs::tests
