#include "sandbox/container_mounts.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <sstream>

#include "sandbox/fuse_mount.h"

namespace lisafs {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;
using testing::HasSubstr;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// A process that stands for a container: its root is a tmpfs with a directory /data, a file /file and a procfs.
class ContainerMountsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root to mount";
    char name[] = "/tmp/container-mounts.XXXXXX";
    directory_ = mkdtemp(name);
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    pid_ = fork();
    if (pid_ == 0) BeContainer(ends[1]);
    close(ends[1]);
    char byte = 0;
    ASSERT_EQ(read(ends[0], &byte, 1), 1) << "the container cannot be made";
    close(ends[0]);
    auto process = Process::OfChild(pid_);
    ASSERT_TRUE(process.ok());
    auto mounts = ContainerMounts::Of(pid_, process->start_time());
    ASSERT_TRUE(mounts.ok()) << mounts.status();
    mounts_.emplace(*std::move(mounts));
  }
  void TearDown() override {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    if (!directory_.empty()) rmdir(directory_.c_str());
  }

  // A path of the container, from here.
  std::string Inside(const std::string& path) const { return "/proc/" + std::to_string(pid_) + "/root" + path; }
  std::string Mounts() const { return ReadFile("/proc/" + std::to_string(pid_) + "/mountinfo"); }

  // A FUSE file system that nobody serves.
  absl::Status Add(const ContainerMounts::Target& target, std::string* number = nullptr) {
    auto fuse = MakeFuseMount(target.type, {});
    if (!fuse.ok()) return fuse.status();
    auto found = FileSystemNumber(fuse->mount);
    if (!found.ok()) return found.status();
    if (number != nullptr) *number = *found;
    devices_.push_back(std::move(fuse->device));
    return mounts_->Add(std::move(fuse->mount), target, steady_clock::now() + seconds(60)).status();
  }
  absl::Status Remove(const std::string& number, bool even_if_busy = false) {
    return mounts_->Remove(number, even_if_busy, steady_clock::now() + seconds(60));
  }

  std::string directory_;
  pid_t pid_ = -1;
  std::optional<ContainerMounts> mounts_;
  std::vector<Fd> devices_;

 private:
  [[noreturn]] void BeContainer(int ready) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    bool ok = unshare(CLONE_NEWNS) == 0 && mount("", "/", "", MS_REC | MS_PRIVATE, nullptr) == 0 &&
              mount("root", directory_.c_str(), "tmpfs", 0, nullptr) == 0 && chdir(directory_.c_str()) == 0 &&
              mkdir("old", 0755) == 0 && syscall(SYS_pivot_root, ".", "old") == 0 && chdir("/") == 0 &&
              umount2("/old", MNT_DETACH) == 0 && mkdir("/data", 0755) == 0 && mkdir("/proc", 0755) == 0 &&
              mkdir("/dev", 0755) == 0 && mount("proc", "/proc", "proc", 0, nullptr) == 0 &&
              close(open("/file", O_CREAT | O_WRONLY, 0644)) == 0 && symlink("/", "/around") == 0 &&
              symlink("../../../../../../data", "/up") == 0 && symlink("/proc", "/kernel") == 0 &&
              symlink("/nowhere", "/dangling") == 0;
    if (!ok || write(ready, "", 1) != 1) _exit(1);
    while (true) pause();
  }
};

TEST_F(ContainerMountsTest, AddsAndRemovesADirectoryAndAFile) {
  std::string directory, file;
  absl::Status added = Add({.path = "/data", .type = S_IFDIR}, &directory);
  ASSERT_TRUE(added.ok()) << added;
  ASSERT_TRUE(Add({.path = "/file", .type = S_IFREG}, &file).ok());
  EXPECT_THAT(Mounts(), HasSubstr(" " + directory + " / /data "));
  EXPECT_THAT(Mounts(), HasSubstr(" " + file + " / /file "));
  EXPECT_EQ(ReadFile("/proc/self/mountinfo").find("/data rw,relatime - fuse.lisafs"), std::string::npos);
  ASSERT_TRUE(Remove(directory).ok());
  ASSERT_TRUE(Remove(file).ok());
  EXPECT_EQ(Mounts().find("fuse.lisafs"), std::string::npos);
  EXPECT_TRUE(Remove(file).ok()) << "it is nowhere";
}

TEST_F(ContainerMountsTest, MakesTheTargetIfAskedTo) {
  EXPECT_EQ(Add({.path = "/new/deep/dir", .type = S_IFDIR}).code(), absl::StatusCode::kNotFound);
  EXPECT_NE(access(Inside("/new").c_str(), F_OK), 0);
  std::string number;
  absl::Status added = Add({.path = "/new/deep/dir", .type = S_IFDIR, .create = true}, &number);
  ASSERT_TRUE(added.ok()) << added;
  added = Add({.path = "/other/file", .type = S_IFREG, .create = true});
  ASSERT_TRUE(added.ok()) << added;
  EXPECT_THAT(Mounts(), HasSubstr(" / /new/deep/dir "));
  EXPECT_THAT(Mounts(), HasSubstr(" / /other/file "));
  struct stat stat;
  ASSERT_TRUE(Remove(number).ok());
  ASSERT_EQ(lstat(Inside("/new/deep/dir").c_str(), &stat), 0);
  EXPECT_EQ(stat.st_mode, S_IFDIR | 0755u);
}

TEST_F(ContainerMountsTest, SymbolicLinksDoNotLeadOut) {
  // From the container's root, and up no further than that.
  ASSERT_TRUE(Add({.path = "/around/data", .type = S_IFDIR}).ok());
  EXPECT_THAT(Mounts(), HasSubstr(" / /data "));
  EXPECT_EQ(Add({.path = "/up", .type = S_IFDIR}).code(), absl::StatusCode::kFailedPrecondition)
      << "at its end it is what it is";
  EXPECT_EQ(Add({.path = "/dangling/x", .type = S_IFDIR, .create = true}).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(access("/nowhere", F_OK), 0);
}

TEST_F(ContainerMountsTest, SomePlacesAreForbidden) {
  struct Bad {
    ContainerMounts::Target target;
    std::string message;
  };
  const Bad cases[] = {
      {{.path = "/kernel/self", .type = S_IFDIR}, ""},
      {{.path = "/kernel/sys", .type = S_IFDIR}, "on a file system that is not to be mounted on"},
      {{.path = "/kernel", .type = S_IFDIR}, "not a directory"},
      {{.path = "/around/proc", .type = S_IFDIR}, "something is mounted there"},
      {{.path = "/around/dev", .type = S_IFDIR}, "nothing is mounted there"},
      {{.path = "/around/dev/x", .type = S_IFDIR, .create = true}, "nothing is mounted there"},
      {{.path = "/file", .type = S_IFDIR}, "not a directory"},
      {{.path = "/data", .type = S_IFREG}, "not a regular file"},
  };
  for (const Bad& bad : cases) {
    absl::Status added = Add(bad.target);
    EXPECT_EQ(added.code(), absl::StatusCode::kFailedPrecondition) << bad.target.path << " " << added;
    EXPECT_THAT(std::string(added.message()), HasSubstr(bad.message)) << bad.target.path;
  }
  ASSERT_TRUE(Add({.path = "/data", .type = S_IFDIR}).ok());
  EXPECT_THAT(std::string(Add({.path = "/data", .type = S_IFDIR}).message()), HasSubstr("something is mounted there"));
}

TEST_F(ContainerMountsTest, WhatIsInUseStaysUnlessForced) {
  std::string number;
  ASSERT_TRUE(Add({.path = "/data", .type = S_IFDIR}, &number).ok());
  Fd user(open(Inside("/data").c_str(), O_PATH | O_CLOEXEC));
  ASSERT_TRUE(user);
  absl::Status removed = Remove(number);
  EXPECT_EQ(removed.code(), absl::StatusCode::kFailedPrecondition) << removed;
  EXPECT_THAT(Mounts(), HasSubstr(" / /data "));
  removed = Remove(number, /*even_if_busy=*/true);
  EXPECT_TRUE(removed.ok()) << removed;
  EXPECT_EQ(Mounts().find("fuse.lisafs"), std::string::npos);
}

TEST_F(ContainerMountsTest, AFileSystemThatDoesNotAnswerIsNotWaitedFor) {
  std::string number;
  ASSERT_TRUE(Add({.path = "/data", .type = S_IFDIR}, &number).ok());
  auto fuse = MakeFuseMount(S_IFDIR, {});
  ASSERT_TRUE(fuse.ok());
  const auto start = steady_clock::now();
  absl::Status added = mounts_
                           ->Add(std::move(fuse->mount), {.path = "/data/below", .type = S_IFDIR},
                                 steady_clock::now() + std::chrono::milliseconds(200))
                           .status();
  EXPECT_EQ(added.code(), absl::StatusCode::kDeadlineExceeded) << added;
  EXPECT_LT(steady_clock::now() - start, seconds(60));
  // Whoever waits for it learns that its server is gone.
  devices_.clear();
  EXPECT_TRUE(Remove(number, /*even_if_busy=*/true).ok());
}

TEST_F(ContainerMountsTest, OfAProcessThatIsGone) {
  EXPECT_EQ(ContainerMounts::Of(pid_, 1).status().code(), absl::StatusCode::kNotFound);
}

TEST(CheckMountTarget, IsPlainAndElsewhere) {
  for (const char* good : {"/data", "/a/b", "/process", "/device", "/sysroot", "/var/dev", "/..data"}) {
    EXPECT_TRUE(CheckMountTarget(good).ok()) << good;
  }
  for (const char* bad : {"", "data", "/", "//", "/a/", "/a//b", "/a/./b", "/a/../b", "/..", "/.", "/proc", "/proc/sys",
                          "/sys", "/sys/fs", "/dev", "/dev/shm"}) {
    EXPECT_EQ(CheckMountTarget(bad).code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

}  // namespace
}  // namespace lisafs
