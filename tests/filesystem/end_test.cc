// How a mount ends.

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/filesystem/mounted_directory.h"

namespace lisafs::tests {
namespace {

int ErrnoOf(long result) { return result < 0 ? errno : 0; }

class End : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    files_.emplace(MountedDirectory::Options{});
    ASSERT_TRUE(files_->ok());
    WriteFile(*files_ / "f", "content");
    file_.reset(open((*files_ / "f").c_str(), O_RDWR | O_CLOEXEC));
    ASSERT_TRUE(file_);
  }
  // What a file system without its server answers to everything that needs it.
  void ExpectEverythingFails(int error) {
    struct stat stat;
    EXPECT_EQ(ErrnoOf(::stat((*files_ / "new").c_str(), &stat)), error);
    EXPECT_EQ(ErrnoOf(open((*files_ / "f").c_str(), O_RDONLY)), error);
    EXPECT_EQ(ErrnoOf(mkdir((*files_ / "d").c_str(), 0755)), error);
    EXPECT_EQ(ErrnoOf(pwrite(file_.get(), "x", 1, 0)), error);
    char c;
    EXPECT_EQ(ErrnoOf(pread(file_.get(), &c, 1, 1 << 20)), error);
    EXPECT_EQ(ErrnoOf(fsync(file_.get())), error);
    EXPECT_EQ(ErrnoOf(ftruncate(file_.get(), 0)), error);
  }

  std::optional<MountedDirectory> files_;
  Fd file_;
};

TEST_F(End, WithTheLastUserOfTheMount) {
  EXPECT_FALSE(files_->Unmount());  // file_ is open.
  file_.reset();
  EXPECT_TRUE(files_->Unmount());
  EXPECT_TRUE(files_->BothEnd());
}

TEST_F(End, WithoutTheGofer) {
  files_->KillGofer();
  usleep(100'000);
  ExpectEverythingFails(EIO);
  file_.reset();
  EXPECT_TRUE(files_->Unmount());
}

TEST_F(End, OfTheGoferUnderLoad) {
  pid_t worker = fork();
  if (worker == 0) {
    for (int i = 0;; ++i) {
      std::string name = *files_ / std::to_string(i);
      if (mkdir(name.c_str(), 0755) != 0) _exit(errno == EIO ? 0 : 1);
    }
  }
  usleep(200'000);
  files_->KillGofer();
  int status = -1;
  EXPECT_TRUE(Eventually(kPatience, [&] { return waitpid(worker, &status, WNOHANG) == worker; }));
  EXPECT_EQ(status, 0);
  if (status == -1) kill(worker, SIGKILL);
}

TEST_F(End, WithoutThePlugin) {
  files_->KillPlugin();
  ExpectEverythingFails(ENOTCONN);
  // The gofer has nothing left to serve.
  EXPECT_TRUE(files_->BothEnd());
}

}  // namespace
}  // namespace lisafs::tests
