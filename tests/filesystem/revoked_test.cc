// What is left of a mount that is revoked: of what is open, mapped and cached.

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "base/fd.h"
#include "lisafs/live_policy.h"
#include "tests/filesystem/mounted_directory.h"
#include "tests/support/files.h"

namespace lisafs::tests {
namespace {

constexpr size_t kPage = 4096;

class Revoked : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
  }
  void SetUpWith(const MountedDirectory::Options& options) {
    ASSERT_TRUE(files_.emplace(options).ok());
    MakeDirectory(files_->OnHost("d"));
    WriteFile(files_->OnHost("d/f"), std::string(2 * kPage, 'a'));
    ASSERT_EQ(symlink("target", files_->OnHost("d/link").c_str()), 0);
  }
  Fd Open(const std::string& name, int flags) {
    Fd fd(open((*files_ / name).c_str(), flags | O_CLOEXEC));
    EXPECT_TRUE(fd) << name << ": " << strerror(errno);
    return fd;
  }
  static int ErrnoOf(const std::function<ssize_t()>& call) { return call() < 0 ? errno : 0; }
  static int ReadErrno(const Fd& fd) {
    char c;
    return ErrnoOf([&] { return pread(fd.get(), &c, 1, 0); });
  }
  static char* Map(const Fd& fd, int protection, int flags) {
    void* mapped = mmap(nullptr, 2 * kPage, protection, flags, fd.get(), 0);
    EXPECT_NE(mapped, MAP_FAILED);
    return static_cast<char*>(mapped);
  }
  // Whether a process that looks there is killed for it.
  static bool IsGone(const char* mapped) {
    const pid_t child = fork();
    if (child == 0) {
      signal(SIGBUS, SIG_DFL);
      _exit(*static_cast<const volatile char*>(mapped) == 0);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS;
  }
  static bool Soon(const std::function<bool()>& holds) { return Eventually(kPatience, holds); }

  std::optional<MountedDirectory> files_;
};

TEST_P(Revoked, NothingThatIsCachedOpenOrMappedIsReadable) {
  SetUpWith({.exclusive = GetParam()});
  Fd file = Open("d/f", O_RDWR), directory = Open("d", O_RDONLY | O_DIRECTORY);
  Fd link = Open("d/link", O_PATH | O_NOFOLLOW);
  char* shared = Map(file, PROT_READ | PROT_WRITE, MAP_SHARED);
  char* own = Map(file, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  EXPECT_EQ(shared[0], 'a');
  own[0] = 'b';
  EXPECT_EQ(own[kPage], 'a');
  struct stat stat;
  char text[16];
  auto read_link = [&] { return readlinkat(link.get(), "", text, sizeof text); };
  auto look = [&] {
    EXPECT_EQ(ReadErrno(file), 0);
    EXPECT_EQ(ErrnoOf([&] { return fstatat(directory.get(), "f", &stat, 0); }), 0);
    EXPECT_EQ(read_link(), 6);
    EXPECT_EQ(shared[kPage], 'a');
  };
  look();

  files_->Restrict(kRevoked);
  EXPECT_TRUE(Soon([&] { return IsGone(shared); }));
  EXPECT_TRUE(IsGone(shared + kPage));
  EXPECT_TRUE(IsGone(own + kPage));
  EXPECT_EQ(own[0], 'b') << "a page that the process wrote is its own";
  EXPECT_EQ(ReadErrno(file), EACCES);
  EXPECT_EQ(ErrnoOf([&] { return pwrite(file.get(), "w", 1, 0); }), EACCES);
  EXPECT_EQ(ErrnoOf([&] { return fstat(file.get(), &stat); }), EACCES);
  EXPECT_EQ(ErrnoOf([&] { return fstatat(directory.get(), "f", &stat, 0); }), EACCES);
  EXPECT_EQ(ErrnoOf([&] { return openat(directory.get(), ".", O_RDONLY | O_DIRECTORY); }), EACCES);
  EXPECT_EQ(ErrnoOf([&] { return ::stat((*files_ / "d/f").c_str(), &stat); }), EACCES);
  EXPECT_EQ(ErrnoOf(read_link), EACCES);
  char entries[1024];
  EXPECT_EQ(ErrnoOf([&] { return getdents64(directory.get(), entries, sizeof entries); }), EACCES);
  // What is not content: the attributes that the kernel had of an open file, to who says that they may be old.
  struct statx old;
  EXPECT_EQ(statx(file.get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &old), 0);

  files_->Restrict(0);
  look();
  EXPECT_EQ(shared[0], 'a');
  munmap(shared, 2 * kPage);
  munmap(own, 2 * kPage);
}

// The container may have things mounted in it.
TEST_P(Revoked, WhatIsMountedWithinStays) {
  SetUpWith({.exclusive = GetParam()});
  Fd directory = Open("d", O_RDONLY | O_DIRECTORY);
  MakeDirectory(*files_ / "d/within");
  const std::string within = *files_ / "d/within";
  ASSERT_EQ(mount("tmpfs", within.c_str(), "tmpfs", 0, nullptr), 0);
  WriteFile(within + "/f", "here");
  files_->Restrict(kRevoked);
  struct stat stat;
  EXPECT_TRUE(Soon([&] { return fstatat(directory.get(), "within/f", &stat, 0) != 0; }));
  EXPECT_EQ(errno, EACCES);
  files_->Restrict(0);
  EXPECT_EQ(ReadFile(within + "/f"), "here");
  EXPECT_EQ(umount(within.c_str()), 0);
}

TEST_P(Revoked, StoresThatWereNotWrittenAreLost) {
  SetUpWith({.exclusive = GetParam()});
  Fd file = Open("d/f", O_RDWR);
  char* mapped = Map(file, PROT_READ | PROT_WRITE, MAP_SHARED);
  mapped[0] = 'b';
  files_->Restrict(kRevoked);
  EXPECT_TRUE(Soon([&] { return IsGone(mapped); }));
  files_->Restrict(0);
  EXPECT_EQ(mapped[0], 'a');
  EXPECT_EQ(ReadFile(files_->OnHost("d/f"))->at(0), 'a');
  munmap(mapped, 2 * kPage);
}

// A store to a mapping asks nobody either.
TEST_P(Revoked, AMappingOfAMountThatBecameReadOnly) {
  SetUpWith({.exclusive = GetParam()});
  Fd file = Open("d/f", O_RDWR);
  char* mapped = Map(file, PROT_READ | PROT_WRITE, MAP_SHARED);
  mapped[0] = 'b';
  ASSERT_EQ(msync(mapped, kPage, MS_SYNC), 0);
  files_->Restrict(kForbidChanges);
  mapped[0] = 'c';
  EXPECT_EQ(ErrnoOf([&] { return msync(mapped, kPage, MS_SYNC); }), EROFS);
  EXPECT_EQ(ReadFile(files_->OnHost("d/f"))->at(0), 'b');
  EXPECT_EQ(ErrnoOf([&] { return pwrite(file.get(), "w", 1, 0); }), EROFS);
  munmap(mapped, 2 * kPage);
}

// The kernel asks nobody before it reads the host's file. But it gives the open file up when somebody asks for its
// attributes.
TEST_P(Revoked, AFileThatIsPassedThrough) {
  SetUpWith({.passthrough = true, .exclusive = GetParam()});
  Fd file = Open("d/f", O_RDWR), other = Open("d/f", O_RDONLY), directory = Open("d", O_RDONLY | O_DIRECTORY);
  char* mapped = Map(file, PROT_READ, MAP_SHARED);
  files_->Restrict(kRevoked);
  struct stat stat;
  EXPECT_TRUE(Soon([&] { return fstat(directory.get(), &stat) != 0; }));
  EXPECT_EQ(errno, EACCES);
  EXPECT_EQ(ReadErrno(file), 0);
  EXPECT_EQ(ReadErrno(other), 0);

  EXPECT_EQ(ErrnoOf([&] { return fstat(other.get(), &stat); }), EIO);
  EXPECT_EQ(ReadErrno(file), EIO);
  EXPECT_EQ(ReadErrno(other), EIO);
  EXPECT_EQ(ErrnoOf([&] { return pwrite(file.get(), "w", 1, 0); }), EIO);
  EXPECT_EQ(ErrnoOf([&] { return openat(directory.get(), "f", O_RDONLY); }), EACCES);
  // What the kernel does not look at that for.
  EXPECT_EQ(mapped[0], 'a');
  char* mapped_now = Map(file, PROT_READ, MAP_SHARED);
  EXPECT_EQ(mapped_now[0], 'a');
  munmap(mapped_now, 2 * kPage);
  Fd pipe_ends[2];
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  for (int i : {0, 1}) pipe_ends[i].reset(ends[i]);
  off_t start = 0;
  EXPECT_EQ(sendfile(ends[1], file.get(), &start, 1), 1);

  files_->Restrict(0);
  EXPECT_EQ(ReadErrno(file), EIO) << "for good";
  for (int i = 0; i < 3; ++i) {
    Fd again = Open("d/f", O_RDWR);
    EXPECT_EQ(ReadErrno(again), 0);
    EXPECT_EQ(pwrite(again.get(), "w", 1, 1), 1);
    EXPECT_EQ(fstat(again.get(), &stat), 0);
    EXPECT_EQ(fstatat(directory.get(), "f", &stat, 0), 0);
  }
  EXPECT_EQ(mapped[1], 'w');
  munmap(mapped, 2 * kPage);
}

INSTANTIATE_TEST_SUITE_P(Caches, Revoked, testing::Bool(),
                         [](const auto& info) { return info.param ? "Exclusive" : "Shared"; });

}  // namespace
}  // namespace lisafs::tests
