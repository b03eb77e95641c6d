// Files that the kernel reads and writes past the plugin: that it does, that nobody can tell, and that files are served
// all the same where it does not.

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "lisafs/messages.h"
#include "tests/filesystem/mounted_directory.h"

namespace lisafs::tests {
namespace {

class Passthrough : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    SetUpWith({.passthrough = true});
  }
  void SetUpWith(const MountedDirectory::Options& options) {
    files_.reset();
    files_.emplace(options);
    ASSERT_TRUE(files_->ok());
  }
  Fd Open(const std::string& name, int flags) {
    Fd fd(open((*files_ / name).c_str(), flags | O_CLOEXEC, 0644));
    EXPECT_TRUE(fd) << name << ": " << strerror(errno);
    return fd;
  }
  // Whether the kernel reads and writes an open file by itself: then it does so without the plugin's and the gofer's
  // data being asked for, and the plugin holds no descriptor of the file.
  bool PassesThrough(const Fd& fd) {
    const uint64_t before = DataCalls();  // What was closed a moment ago is then given up.
    const size_t held = CountDescriptors(files_->plugin_pid());
    char c = 'p';
    EXPECT_EQ(pwrite(fd.get(), &c, 1, 7), 1);
    EXPECT_EQ(pread(fd.get(), &c, 1, 7), 1);
    posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
    EXPECT_EQ(pread(fd.get(), &c, 1, 7), 1);
    EXPECT_EQ(CountDescriptors(files_->plugin_pid()), held);
    return DataCalls() == before && Eventually(kPatience, [&] { return files_->Calls(Mid::kOpenBacking) > 0; });
  }
  // Requests are counted when they have been answered.
  void ExpectBackings(uint64_t count) {
    EXPECT_TRUE(Eventually(kPatience, [&] { return files_->Calls(Mid::kOpenBacking) == count; }))
        << files_->Calls(Mid::kOpenBacking);
  }
  uint64_t DataCalls() { return files_->Calls(Mid::kPRead) + files_->Calls(Mid::kPWrite); }
  static struct stat Stat(const Fd& fd) {
    struct stat stat = {};
    EXPECT_EQ(fstat(fd.get(), &stat), 0);
    return stat;
  }

  std::optional<MountedDirectory> files_;
};

// The soundest proof: nobody who could have served the data is left.
TEST_F(Passthrough, AMappingOutlivesThePluginAndTheGofer) {
  WriteFile(files_->OnHost("f"), std::string(8192, 'a'));
  Fd fd = Open("f", O_RDWR);
  void* mapped = mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  ASSERT_NE(mapped, MAP_FAILED);
  files_->KillPlugin();
  // Not in memory yet: somebody has to read it.
  EXPECT_EQ(static_cast<char*>(mapped)[4096], 'a');
  static_cast<char*>(mapped)[0] = 'b';
  EXPECT_EQ(ReadFile(files_->OnHost("f"))->at(0), 'b');
  munmap(mapped, 8192);
}

TEST_F(Passthrough, IsUsedForEveryOpen) {
  WriteFile(files_->OnHost("f"), "0123456789");
  Fd first = Open("f", O_RDWR);
  EXPECT_TRUE(PassesThrough(first));
  Fd second = Open("f", O_RDWR);
  EXPECT_TRUE(PassesThrough(second));
  first.reset();
  Fd third = Open("f", O_RDWR);
  EXPECT_TRUE(PassesThrough(third));
  // One backing file for all of them.
  ExpectBackings(1);
  EXPECT_TRUE(PassesThrough(Open("new", O_RDWR | O_CREAT | O_EXCL)));
}

// Whoever opens them would wait for the broker longer than for all of their content.
TEST_F(Passthrough, IsNotUsedForSmallFiles) {
  SetUpWith({.passthrough = true, .passthrough_from = 8192});
  WriteFile(files_->OnHost("small"), std::string(8191, 'a'));
  WriteFile(files_->OnHost("large"), std::string(8192, 'a'));
  Fd small = Open("small", O_RDWR), created = Open("new", O_RDWR | O_CREAT);
  EXPECT_FALSE(PassesThrough(small));
  EXPECT_FALSE(PassesThrough(created));
  ExpectBackings(0);
  Fd large = Open("large", O_RDWR);
  EXPECT_TRUE(PassesThrough(large));
  // They stay what they are while they are open.
  ASSERT_EQ(ftruncate(small.get(), 100'000), 0);
  ASSERT_EQ(ftruncate(large.get(), 10), 0);
  Fd small_too = Open("small", O_RDWR), large_too = Open("large", O_RDWR);
  EXPECT_FALSE(PassesThrough(small_too));
  EXPECT_TRUE(PassesThrough(large_too));
  ExpectBackings(1);
  small.reset();
  small_too.reset();
  files_->AwaitQuiet();  // Closing waits for nobody.
  EXPECT_TRUE(PassesThrough(Open("small", O_RDWR)));
  ExpectBackings(2);
}

TEST_F(Passthrough, SizesAndTimesAreRightAfterWrites) {
  Fd fd = Open("f", O_RDWR | O_CREAT);
  struct stat before = Stat(fd), host;
  usleep(20'000);
  ASSERT_EQ(pwrite(fd.get(), "0123456789", 10, 0), 10);
  struct stat after = Stat(fd);
  EXPECT_EQ(after.st_size, 10);
  ASSERT_EQ(stat(files_->OnHost("f").c_str(), &host), 0);
  EXPECT_EQ(after.st_mtim.tv_sec, host.st_mtim.tv_sec);
  EXPECT_EQ(after.st_mtim.tv_nsec, host.st_mtim.tv_nsec);
  EXPECT_NE(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
  EXPECT_EQ(after.st_blocks, host.st_blocks);

  usleep(20'000);
  Fd append = Open("f", O_WRONLY | O_APPEND);
  ASSERT_EQ(write(append.get(), "appended", 8), 8);
  EXPECT_EQ(Stat(append).st_size, 18);
  EXPECT_EQ(Stat(fd).st_size, 18);
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_END), 18);
  ASSERT_EQ(stat((*files_ / "f").c_str(), &after), 0);
  EXPECT_EQ(after.st_size, 18);
  EXPECT_NE(after.st_mtim.tv_nsec, host.st_mtim.tv_nsec);
  ASSERT_EQ(ftruncate(fd.get(), 5), 0);
  EXPECT_EQ(Stat(append).st_size, 5);
  ASSERT_EQ(write(append.get(), "x", 1), 1);
  EXPECT_EQ(ReadFile(files_->OnHost("f")), "01234x");
  EXPECT_EQ(DataCalls(), 0u);
}

TEST_F(Passthrough, TimesAreRightAfterMappingsAreWritten) {
  WriteFile(files_->OnHost("f"), std::string(4096, 'a'));
  struct stat before, after;
  ASSERT_EQ(stat((*files_ / "f").c_str(), &before), 0);
  usleep(20'000);
  Fd fd = Open("f", O_RDWR);
  void* mapped = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  ASSERT_NE(mapped, MAP_FAILED);
  static_cast<char*>(mapped)[0] = 'b';
  ASSERT_EQ(stat((*files_ / "f").c_str(), &after), 0);
  EXPECT_NE(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
  munmap(mapped, 4096);
}

TEST_F(Passthrough, TheHostAndTheContainerSeeOneFile) {
  WriteFile(files_->OnHost("f"), std::string(8192, 'a'));
  Fd fd = Open("f", O_RDWR);
  Fd host(open(files_->OnHost("f").c_str(), O_RDWR | O_CLOEXEC));
  auto map = [](const Fd& file) {
    void* mapped = mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    EXPECT_NE(mapped, MAP_FAILED);
    return static_cast<volatile char*>(mapped);
  };
  volatile char* here = map(fd);
  volatile char* there = map(host);
  here[1] = 'b';
  EXPECT_EQ(there[1], 'b');
  there[4097] = 'c';
  EXPECT_EQ(here[4097], 'c');
  ASSERT_EQ(pwrite(host.get(), "d", 1, 2), 1);
  EXPECT_EQ(here[2], 'd');
  char c = 0;
  EXPECT_EQ(pread(fd.get(), &c, 1, 2), 1);
  EXPECT_EQ(c, 'd');
  munmap(const_cast<char*>(here), 8192);
  munmap(const_cast<char*>(there), 8192);
}

TEST_F(Passthrough, ManyOpenWithMixedModes) {
  WriteFile(files_->OnHost("f"), "0123456789");
  std::vector<Fd> open;
  for (int flags : {O_RDONLY, O_WRONLY, O_RDWR, O_WRONLY | O_APPEND, O_RDONLY, O_RDWR | O_TRUNC}) {
    open.push_back(Open("f", flags));
  }
  EXPECT_EQ(write(open[3].get(), "abc", 3), 3);
  char buffer[8] = {};
  for (int reader : {0, 2, 4, 5}) {
    EXPECT_EQ(pread(open[reader].get(), buffer, sizeof buffer, 0), 3);
    EXPECT_STREQ(buffer, "abc");
  }
  EXPECT_EQ(pread(open[1].get(), buffer, 1, 0), -1);
  EXPECT_EQ(pwrite(open[0].get(), buffer, 1, 0), -1);
  ASSERT_EQ(link((*files_ / "f").c_str(), (*files_ / "g").c_str()), 0);
  Fd other_name = Open("g", O_RDWR);
  EXPECT_EQ(pwrite(other_name.get(), "x", 1, 0), 1);
  EXPECT_EQ(pread(open[0].get(), buffer, sizeof buffer, 0), 3);
  EXPECT_STREQ(buffer, "xbc");
  ExpectBackings(1);
  EXPECT_EQ(DataCalls(), 0u);
}

TEST_F(Passthrough, ManyOpenAndCloseAtOnce) {
  WriteFile(files_->OnHost("f"), "0");
  std::atomic<int> failures = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&, i] {
      for (int n = 0; n < 300; ++n) {
        Fd fd(open((*files_ / "f").c_str(), (i % 2 ? O_RDWR : O_RDONLY) | O_CLOEXEC));
        char c;
        if (!fd || pread(fd.get(), &c, 1, 0) != 1 || (i % 2 && pwrite(fd.get(), "1", 1, 0) != 1)) ++failures;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(DataCalls(), 0u);
}

TEST_F(Passthrough, ARemovedFileLivesWhileItIsOpen) {
  Fd fd = Open("f", O_RDWR | O_CREAT);
  ASSERT_EQ(write(fd.get(), "content", 7), 7);
  ASSERT_EQ(unlink((*files_ / "f").c_str()), 0);
  EXPECT_TRUE(PassesThrough(fd));
  EXPECT_EQ(Stat(fd).st_size, 8);
  EXPECT_EQ(Stat(fd).st_nlink, 0u);
}

TEST_F(Passthrough, ExecutesAProgram) {
  std::string program = ReadFile("/bin/true").value_or("");
  WriteFile(files_->OnHost("true"), program);
  ASSERT_EQ(chmod(files_->OnHost("true").c_str(), 0755), 0);
  pid_t child = fork();
  if (child == 0) {
    execl((*files_ / "true").c_str(), "true", nullptr);
    _exit(127);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(DataCalls(), 0u);
}

TEST_F(Passthrough, LeavesSetIdFilesAlone) {
  WriteFile(files_->OnHost("f"), "content");
  ASSERT_EQ(chmod(files_->OnHost("f").c_str(), 04755), 0);
  Fd fd = Open("f", O_RDWR);
  ASSERT_EQ(pwrite(fd.get(), "C", 1, 0), 1);
  ExpectBackings(0);
  // Root may.
  EXPECT_EQ(Stat(fd).st_mode & 07777, 04755u);
}

// Where this differs from a native file, to whose writer with CAP_FSETID the bits are left, it errs on the safe side.
TEST_F(Passthrough, SetIdBitsGivenToAnOpenFileGoWithAWrite) {
  Fd fd = Open("f", O_RDWR | O_CREAT);
  ASSERT_EQ(fchmod(fd.get(), 04755), 0);
  EXPECT_EQ(Stat(fd).st_mode & 07777, 04755u);
  ASSERT_EQ(pwrite(fd.get(), "content", 7, 0), 7);
  EXPECT_EQ(Stat(fd).st_mode & 07777, 0755u);
}

TEST_F(Passthrough, CachedPagesAreNotBelievedAfterwards) {
  WriteFile(files_->OnHost("f"), "old");
  ASSERT_EQ(chmod(files_->OnHost("f").c_str(), 04755), 0);
  EXPECT_EQ(ReadFile(*files_ / "f"), "old");  // Cached by the kernel.
  ASSERT_EQ(chmod((*files_ / "f").c_str(), 0755), 0);
  {
    Fd fd = Open("f", O_RDWR);
    ASSERT_EQ(pwrite(fd.get(), "new", 3, 0), 3);
  }
  ASSERT_EQ(chmod((*files_ / "f").c_str(), 04755), 0);
  EXPECT_EQ(ReadFile(*files_ / "f"), "new");
}

TEST_F(Passthrough, AReadOnlyMountStaysReadOnly) {
  SetUpWith({.read_only = true, .passthrough = true});
  WriteFile(files_->OnHost("f"), "content");
  EXPECT_EQ(open((*files_ / "f").c_str(), O_RDWR | O_CLOEXEC), -1);
  EXPECT_EQ(errno, EROFS);
  Fd fd = Open("f", O_RDONLY);
  char buffer[8] = {};
  EXPECT_EQ(pread(fd.get(), buffer, sizeof buffer, 0), 7);
  EXPECT_STREQ(buffer, "content");
  EXPECT_EQ(DataCalls(), 0u);
  ExpectBackings(1);
}

TEST_F(Passthrough, NotOfAFileThatMayOnlyBeRead) {
  WriteFile(files_->OnHost("f"), "content");
  Fd host(open(files_->OnHost("f").c_str(), O_RDONLY | O_CLOEXEC));
  int flags = FS_IMMUTABLE_FL;
  if (ioctl(host.get(), FS_IOC_SETFLAGS, &flags) != 0) GTEST_SKIP() << "chattr +i: " << strerror(errno);
  EXPECT_EQ(ReadFile(*files_ / "f"), "content");
  EXPECT_TRUE(Eventually(kPatience, [&] { return files_->Calls(Mid::kOpenBacking) > 0; }));
  Fd fd = Open("f", O_RDONLY);
  EXPECT_EQ(open((*files_ / "f").c_str(), O_WRONLY | O_CLOEXEC), -1);
  EXPECT_EQ(errno, EPERM);
  flags = 0;
  EXPECT_EQ(ioctl(host.get(), FS_IOC_SETFLAGS, &flags), 0);
}

TEST_F(Passthrough, WorksOnOverlayfs) {
  SetUpWith({.passthrough = true, .overlays = 1});
  EXPECT_EQ(ReadFile(*files_ / "lower"), "lower");
  EXPECT_TRUE(PassesThrough(Open("f", O_RDWR | O_CREAT)));
  // Copied up while it is open and mapped.
  Fd reader = Open("lower", O_RDONLY);
  Fd writer = Open("lower", O_RDWR);
  ASSERT_EQ(pwrite(writer.get(), "L", 1, 0), 1);
  EXPECT_TRUE(PassesThrough(writer));
  char c = 0;
  EXPECT_EQ(pread(reader.get(), &c, 1, 0), 1);
  EXPECT_EQ(c, 'L');
  EXPECT_EQ(DataCalls(), 0u);
}

TEST_F(Passthrough, AContainerMayStackAnOverlayfsOnAnOrdinaryFileSystem) {
  for (const char* name : {"upper", "work", "lower", "merged"}) MakeDirectory(files_->OnHost(name));
  WriteFile(files_->OnHost("lower/f"), "content");
  MakeDirectory(files_->OnHost("tmpfs"));
  const std::string tmpfs = files_->OnHost("tmpfs");
  ASSERT_EQ(mount("tmpfs", tmpfs.c_str(), "tmpfs", 0, nullptr), 0);
  for (const char* name : {"/upper", "/work"}) MakeDirectory(tmpfs + name);
  const std::string options =
      "lowerdir=" + *files_ / "lower" + ",upperdir=" + tmpfs + "/upper,workdir=" + tmpfs + "/work";
  const std::string merged = files_->OnHost("merged");
  EXPECT_EQ(mount("overlay", merged.c_str(), "overlay", 0, options.c_str()), 0) << strerror(errno);
  EXPECT_EQ(ReadFile(merged + "/f"), "content");
  umount2(merged.c_str(), MNT_DETACH);
  umount2(tmpfs.c_str(), MNT_DETACH);
}

TEST_F(Passthrough, FallsBackWhereFileSystemsAreStackedTooDeep) {
  SetUpWith({.passthrough = true, .overlays = 2});
  for (const char* name : {"f", "g", "h"}) {
    Fd fd = Open(name, O_RDWR | O_CREAT);
    ASSERT_EQ(pwrite(fd.get(), "content", 7, 0), 7);
    EXPECT_EQ(ReadFile(files_->OnHost(name)), "content");
    // Once is enough to learn it, and then descriptors serve.
    EXPECT_EQ(DataCalls(), 1u) << name;
  }
  ExpectBackings(1);
}

TEST_F(Passthrough, FallsBackToMessagesWithoutDescriptors) {
  SetUpWith({.withhold_descriptors = true, .passthrough = true, .overlays = 2});
  Fd fd = Open("f", O_RDWR | O_CREAT);
  ASSERT_EQ(pwrite(fd.get(), "content", 7, 0), 7);
  EXPECT_EQ(ReadFile(*files_ / "f"), "content");
  EXPECT_GT(DataCalls(), 0u);
}

TEST_F(Passthrough, FallsBackWhenTheBrokerIsGone) {
  WriteFile(files_->OnHost("f"), "0123456789");
  Fd before = Open("f", O_RDWR);
  files_->KillBroker();
  // What is open stays as it is, and who joins follows.
  EXPECT_TRUE(PassesThrough(before));
  Fd joined = Open("f", O_RDWR);
  EXPECT_TRUE(PassesThrough(joined));
  // The first to open another file finds out; then descriptors serve.
  for (const char* name : {"g", "h"}) {
    Fd fd = Open(name, O_RDWR | O_CREAT);
    ASSERT_EQ(pwrite(fd.get(), "content", 7, 0), 7);
    EXPECT_EQ(Stat(fd).st_size, 7);
    EXPECT_EQ(ReadFile(files_->OnHost(name)), "content");
  }
  before.reset();
  joined.reset();
  files_->AwaitQuiet();  // Closing waits for nobody.
  Fd again = Open("f", O_RDWR);
  ASSERT_EQ(pwrite(again.get(), "X", 1, 0), 1);
  EXPECT_EQ(ReadFile(files_->OnHost("f"))->at(0), 'X');
  ExpectBackings(2);
  const uint64_t calls = DataCalls();
  Fd donated = Open("h", O_RDWR);
  ASSERT_EQ(pwrite(donated.get(), "x", 1, 0), 1);
  EXPECT_EQ(DataCalls(), calls);
}

TEST_F(Passthrough, EndsWithTheMount) {
  Open("f", O_RDWR | O_CREAT).reset();
  EXPECT_TRUE(files_->Unmount());
  EXPECT_TRUE(files_->BothEnd());
}

TEST_F(Passthrough, TheFileSystemIsGoneWithThePlugin) {
  Fd fd = Open("f", O_RDWR | O_CREAT);
  files_->KillPlugin();
  struct stat stat;
  EXPECT_EQ(::stat((*files_ / "g").c_str(), &stat), -1);
  EXPECT_EQ(errno, ENOTCONN);
}

}  // namespace
}  // namespace lisafs::tests
