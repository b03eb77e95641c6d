// Opening files that nobody else changes: it asks the gofer once, or nobody, and no program can tell.

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "lisafs/live_policy.h"
#include "lisafs/messages.h"
#include "tests/filesystem/mounted_directory.h"
#include "tests/support/files.h"

namespace lisafs::tests {
namespace {

// Of a hundred. The kernel may want its memory back at any time, and asks again.
constexpr uint64_t kFew = 10;

class Opening : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    SetUpWith({.exclusive = true});
  }
  void SetUpWith(const MountedDirectory::Options& options) {
    files_.reset();
    ASSERT_TRUE(files_.emplace(options).ok());
  }
  Fd Open(const std::string& name, int flags = O_RDONLY) {
    Fd fd(open((*files_ / name).c_str(), flags | O_CLOEXEC));
    EXPECT_TRUE(fd) << name << ": " << strerror(errno);
    return fd;
  }
  // How a program in the mount ends, and errno if it does not start: 126 with ETXTBSY, 127 otherwise.
  int Run(const std::string& name) {
    const pid_t child = fork();
    if (child == 0) {
      execl((*files_ / name).c_str(), name.c_str(), nullptr);
      _exit(errno == ETXTBSY ? 126 : 127);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  void CopyProgram(const std::string& name) { WriteFile(files_->OnHost(name), *ReadFile("/bin/true"), 0755); }
  // The character that a mapping of the open file begins with.
  static char Mapped(const Fd& fd) {
    void* memory = mmap(nullptr, 1, PROT_READ, MAP_PRIVATE, fd.get(), 0);
    EXPECT_NE(memory, MAP_FAILED);
    if (memory == MAP_FAILED) return 0;
    const char first = *static_cast<const char*>(memory);
    munmap(memory, 1);
    return first;
  }

  std::optional<MountedDirectory> files_;
};

TEST_F(Opening, AgainAsksNobody) {
  WriteFile(files_->OnHost("a"), "content");
  EXPECT_EQ(ReadFile(*files_ / "a"), "content");
  for (int i = 0; i < 100; ++i) EXPECT_EQ(ReadFile(*files_ / "a"), "content");
  EXPECT_TRUE(Eventually(kPatience, [&] { return files_->Calls(Mid::kOpenAt) >= 1; }));
  EXPECT_LT(files_->Calls(Mid::kOpenAt), kFew);
}

TEST_F(Opening, AgainIsPassedThroughWithoutTheBroker) {
  SetUpWith({.passthrough = true, .exclusive = true});
  WriteFile(files_->OnHost("a"), "content");
  for (int i = 0; i < 100; ++i) {
    Fd a = Open("a");
    EXPECT_EQ(Mapped(a), 'c');
  }
  EXPECT_TRUE(Eventually(kPatience, [&] { return files_->Calls(Mid::kOpenBacking) >= 1; }));
  EXPECT_LT(files_->Calls(Mid::kOpenBacking), kFew);
  EXPECT_EQ(files_->Calls(Mid::kPRead), 0u);
  // What is written then is what a reader sees.
  WriteFile(*files_ / "a", "new");
  EXPECT_EQ(ReadFile(*files_ / "a"), "new");
  EXPECT_EQ(ReadFile(files_->OnHost("a")), "new");
}

TEST_F(Opening, KeepsNoDeletedFile) {
  const size_t before = CountDescriptors(files_->gofer_pid());
  for (int i = 0; i < 100; ++i) {
    const std::string name = "file" + std::to_string(i);
    WriteFile(files_->OnHost(name), "content");
    EXPECT_EQ(ReadFile(*files_ / name), "content");
  }
  EXPECT_GE(CountDescriptors(files_->gofer_pid()), before + 75);
  for (int i = 0; i < 100; ++i) {
    // Every other one is replaced.
    const std::string name = *files_ / "file" + std::to_string(i);
    if (i % 2 == 0) {
      EXPECT_EQ(unlink(name.c_str()), 0);
    } else {
      WriteFile(*files_ / "other", "other");
      EXPECT_EQ(rename((*files_ / "other").c_str(), name.c_str()), 0);
      EXPECT_EQ(ReadFile(name), "other");
      EXPECT_EQ(unlink(name.c_str()), 0);
    }
  }
  // Closing is told later, a few at a time.
  EXPECT_TRUE(Eventually(kPatience, [&] {
    mkdir((*files_ / "d").c_str(), 0755);
    rmdir((*files_ / "d").c_str());
    return CountDescriptors(files_->gofer_pid()) < before + 50;
  })) << CountDescriptors(files_->gofer_pid());
}

TEST_F(Opening, KeepsNobodyFromWritingOrRunning) {
  CopyProgram("program");
  ASSERT_TRUE(ReadFile(*files_ / "program"));
  EXPECT_EQ(Run("program"), 0);
  Fd writer = Open("program", O_WRONLY);
  EXPECT_EQ(Run("program"), 126);
  writer.reset();
  EXPECT_TRUE(Eventually(kPatience, [&] { return Run("program") == 0; }));
}

// An overlay's file is another one once it has been written to: who opened it before still maps the old one.
TEST_F(Opening, OfWhatAnOverlayHasCopiedShowsTheCopy) {
  for (bool passthrough : {false, true}) {
    SetUpWith({.passthrough = passthrough, .exclusive = true, .overlays = 1});
    for (const char* name : {"a", "b"}) {
      WriteFile(files_->OnHost(name), "old");
      EXPECT_EQ(Mapped(Open(name)), 'o');
    }
    WriteFile(*files_ / "a", "new");
    EXPECT_EQ(Mapped(Open("a")), 'n');
    ASSERT_EQ(truncate((*files_ / "b").c_str(), 0), 0);
    EXPECT_EQ(ReadFile(*files_ / "b"), "");
    ASSERT_EQ(truncate((*files_ / "b").c_str(), 1), 0);
    EXPECT_EQ(Mapped(Open("b")), '\0');
  }
}

TEST_F(Opening, IsRefusedOnceTheMountIsRevoked) {
  WriteFile(files_->OnHost("a"), "content");
  EXPECT_EQ(ReadFile(*files_ / "a"), "content");
  files_->Restrict(kRevoked);
  EXPECT_LT(open((*files_ / "a").c_str(), O_RDONLY | O_CLOEXEC), 0);
  EXPECT_EQ(errno, EACCES);
  files_->Restrict(0);
  EXPECT_TRUE(Eventually(kPatience, [&] { return ReadFile(*files_ / "a") == "content"; }));
}

TEST_F(Opening, IsAskedForAgainAfterOthersMightChangeFiles) {
  WriteFile(files_->OnHost("a"), "content");
  EXPECT_EQ(ReadFile(*files_ / "a"), "content");
  const uint64_t before = files_->Calls(Mid::kOpenAt);
  EXPECT_TRUE(Eventually(kPatience, [&] {
    files_->Restrict(kShared);
    usleep(10'000);  // It may not notice what lasts for a moment.
    files_->Restrict(0);
    EXPECT_EQ(ReadFile(*files_ / "a"), "content");
    return files_->Calls(Mid::kOpenAt) > before;
  }));
}

// Nothing is to be done when such a file is opened, so the kernel does it by itself.
class OpeningReadOnly : public Opening {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    SetUpWith({.read_only = true, .exclusive = true});
  }
};

TEST_F(OpeningReadOnly, AsksNobody) {
  for (const char* name : {"a", "b", "c"}) WriteFile(files_->OnHost(name), name);
  for (const char* name : {"a", "b", "c"}) EXPECT_EQ(ReadFile(*files_ / name), name);
  // Once for each that was read.
  EXPECT_TRUE(Eventually(kPatience, [&] { return files_->Calls(Mid::kOpenAt) >= 3; }));
  uint64_t before = 0, after = 0;
  for (Mid mid : kAllMids) before += mid == Mid::kClose ? 0 : files_->Calls(mid);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(ReadFile(*files_ / "a"), "a");
  for (Mid mid : kAllMids) after += mid == Mid::kClose ? 0 : files_->Calls(mid);
  EXPECT_LT(after, before + kFew);
}

TEST_F(OpeningReadOnly, FilesAreAsEver) {
  CopyProgram("program");
  EXPECT_EQ(Run("program"), 0);
  EXPECT_EQ(ReadFile(*files_ / "program"), ReadFile("/bin/true"));
  const std::string content(100'000, 'c');
  WriteFile(files_->OnHost("file"), content);
  ASSERT_EQ(truncate(files_->OnHost("file").c_str(), 1'000'000), 0);
  Fd file = Open("file");
  EXPECT_EQ(Mapped(file), 'c');
  struct stat info = {};
  EXPECT_EQ(fstat(file.get(), &info), 0);
  EXPECT_EQ(info.st_size, 1'000'000);
  EXPECT_GE(lseek(file.get(), 0, SEEK_HOLE), 100'000);
  EXPECT_EQ(lseek(file.get(), 0, SEEK_END), 1'000'000);
  EXPECT_EQ(fsync(file.get()), 0);
  Fd unbuffered = Open("file", O_RDONLY | O_DIRECT);
  alignas(4096) static char block[4096];
  EXPECT_EQ(pread(unbuffered.get(), block, sizeof block, 4096), 4096);
  EXPECT_EQ(std::string(block, sizeof block), content.substr(0, sizeof block));
  Fd copy(memfd_create("copy", MFD_CLOEXEC));
  loff_t from = 0;
  EXPECT_TRUE(copy_file_range(file.get(), &from, copy.get(), nullptr, 5, 0) == 5 || errno == EXDEV);
  for (int flags : {O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_WRONLY | O_CREAT}) {
    EXPECT_LT(open((*files_ / "file").c_str(), flags | O_CLOEXEC, 0644), 0);
    EXPECT_EQ(errno, EROFS);
  }
  EXPECT_LT(open((*files_ / "none").c_str(), O_RDONLY | O_CLOEXEC), 0);
  EXPECT_EQ(errno, ENOENT);
}

TEST_F(OpeningReadOnly, ReadingIsRefusedOnceTheMountIsRevoked) {
  WriteFile(files_->OnHost("a"), "content");
  WriteFile(files_->OnHost("b"), "content");
  Fd b = Open("b");
  EXPECT_EQ(ReadFile(*files_ / "a"), "content");
  files_->Restrict(kRevoked);
  char c = 0;
  EXPECT_LT(pread(b.get(), &c, 1, 0), 0);
  EXPECT_EQ(errno, EACCES);
  EXPECT_TRUE(Eventually(kPatience, [&] { return !ReadFile(*files_ / "a").has_value(); }));
}

// The kernel is not to be told otherwise. It asks how large and old a file is before it reads.
TEST_F(OpeningReadOnly, WhatOthersChangeFromNowOnShows) {
  WriteFile(files_->OnHost("a"), "old");
  EXPECT_EQ(ReadFile(*files_ / "a"), "old");
  files_->Restrict(kShared);
  usleep(10'000);
  EXPECT_EQ(ReadFile(*files_ / "a"), "old");
  WriteFile(files_->OnHost("a"), "newer");
  EXPECT_TRUE(Eventually(kPatience, [&] { return ReadFile(*files_ / "a") == "newer"; }));
}

}  // namespace
}  // namespace lisafs::tests
