// Files' data, through the kernel: with the host's descriptors donated to the plugin, with them withheld, and passed
// through; and mounts of other kinds.

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <vector>

#include "base/fd.h"
#include "tests/filesystem/mounted_directory.h"
#include "tests/filesystem/semantics_testing.h"

namespace lisafs::tests {
namespace {

enum class Way { kDonated, kWithheld, kPassedThrough };

class Data : public testing::TestWithParam<Way> {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    files_.emplace(MountedDirectory::Options{.withhold_descriptors = GetParam() == Way::kWithheld,
                                             .passthrough = GetParam() == Way::kPassedThrough,
                                             .exclusive = IsExclusive()});
    ASSERT_TRUE(files_->ok());
  }
  Fd Open(const std::string& name, int flags) {
    Fd fd(open((*files_ / name).c_str(), flags | O_CLOEXEC, 0644));
    EXPECT_TRUE(fd) << name << ": " << strerror(errno);
    return fd;
  }
  std::optional<MountedDirectory> files_;
};
INSTANTIATE_TEST_SUITE_P(Ways, Data, testing::Values(Way::kDonated, Way::kWithheld, Way::kPassedThrough),
                         [](const auto& info) {
                           return info.param == Way::kDonated    ? "Donated"
                                  : info.param == Way::kWithheld ? "Withheld"
                                                                 : "PassedThrough";
                         });

TEST_P(Data, ReadsAndWrites) {
  Fd fd = Open("f", O_RDWR | O_CREAT | O_EXCL);
  EXPECT_EQ(pwrite(fd.get(), "0123456789", 10, 0), 10);
  EXPECT_EQ(pwrite(fd.get(), "end", 3, 5000), 3);
  char buffer[8192];
  EXPECT_EQ(pread(fd.get(), buffer, sizeof buffer, 0), 5003);
  EXPECT_EQ(std::string(buffer, 10), "0123456789");
  EXPECT_EQ(buffer[10], 0);
  EXPECT_EQ(std::string(buffer + 5000, 3), "end");
  EXPECT_EQ(pread(fd.get(), buffer, 10, 6000), 0);
  EXPECT_EQ(ErrnoOf(open((*files_ / "f").c_str(), O_CREAT | O_EXCL | O_RDWR, 0644)), EEXIST);
  Fd append = Open("f", O_WRONLY | O_APPEND);
  EXPECT_EQ(write(append.get(), "appended", 8), 8);
  EXPECT_EQ(ReadFile(files_->OnHost("f"))->substr(5000), "endappended");
  Fd truncated = Open("f", O_RDWR | O_TRUNC);
  EXPECT_EQ(ReadFile(files_->OnHost("f")), "");
  EXPECT_EQ(pread(fd.get(), buffer, 10, 0), 0);
  EXPECT_EQ(ErrnoOf(pwrite(Open("f", O_RDONLY).get(), "x", 1, 0)), EBADF);
}

TEST_P(Data, SixtyFourMebibytes) {
  constexpr size_t kSize = 64 << 20;
  std::vector<uint32_t> pattern(kSize / 4);
  for (size_t i = 0; i < pattern.size(); ++i) pattern[i] = static_cast<uint32_t>(i * 2654435761u);
  const char* bytes = reinterpret_cast<const char*>(pattern.data());
  {
    Fd fd = Open("big", O_WRONLY | O_CREAT);
    // Odd sizes, so that pages and messages are cut anywhere.
    for (size_t done = 0; done < kSize;) {
      size_t piece = std::min<size_t>(kSize - done, 1'234'567);
      ASSERT_EQ(write(fd.get(), bytes + done, piece), static_cast<ssize_t>(piece));
      done += piece;
    }
    EXPECT_EQ(fsync(fd.get()), 0);
    EXPECT_EQ(fdatasync(fd.get()), 0);
  }
  Fd host(open(files_->OnHost("big").c_str(), O_RDWR | O_CLOEXEC));
  void* on_host = mmap(nullptr, kSize, PROT_READ, MAP_SHARED, host.get(), 0);
  ASSERT_NE(on_host, MAP_FAILED);
  EXPECT_EQ(memcmp(on_host, bytes, kSize), 0);

  Fd fd = Open("big", O_RDWR);
  std::vector<char> read(kSize);
  for (size_t done = 0; done < kSize;) {
    ssize_t n = ::read(fd.get(), read.data() + done, 777'777);
    ASSERT_GT(n, 0);
    done += static_cast<size_t>(n);
  }
  EXPECT_EQ(memcmp(read.data(), bytes, kSize), 0);

  void* mapped = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  ASSERT_NE(mapped, MAP_FAILED);
  EXPECT_EQ(memcmp(mapped, bytes, kSize), 0);
  memset(static_cast<char*>(mapped) + (32 << 20), 'm', 100'000);
  EXPECT_EQ(msync(mapped, kSize, MS_SYNC), 0);
  EXPECT_EQ(static_cast<char*>(on_host)[(32 << 20) + 99'999], 'm');
  munmap(mapped, kSize);
  munmap(on_host, kSize);
}

TEST_P(Data, SizesAndHoles) {
  Fd fd = Open("f", O_RDWR | O_CREAT);
  ASSERT_EQ(ftruncate(fd.get(), 1 << 20), 0);
  struct stat stat;
  ASSERT_EQ(fstat(fd.get(), &stat), 0);
  EXPECT_EQ(stat.st_size, 1 << 20);
  EXPECT_EQ(fallocate(fd.get(), 0, 0, 2 << 20), 0);
  ASSERT_EQ(fstat(fd.get(), &stat), 0);
  EXPECT_EQ(stat.st_size, 2 << 20);
  EXPECT_GE(stat.st_blocks, 4096);
  EXPECT_EQ(pwrite(fd.get(), "x", 1, 0), 1);
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_DATA), 0);
  EXPECT_GE(lseek(fd.get(), 0, SEEK_HOLE), 4096);
  EXPECT_EQ(ErrnoOf(lseek(fd.get(), 2 << 20, SEEK_DATA)), ENXIO);
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_END), 2 << 20);
  EXPECT_EQ(fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), 0);
  char c = 'y';
  EXPECT_EQ(pread(fd.get(), &c, 1, 0), 1);
  EXPECT_EQ(c, 0);
}

TEST_P(Data, FilesWithoutNames) {
  Fd unnamed(open(files_->mounted().c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0640));
  ASSERT_TRUE(unnamed) << strerror(errno);
  ASSERT_EQ(write(unnamed.get(), "content", 7), 7);
  struct stat stat;
  ASSERT_EQ(fstat(unnamed.get(), &stat), 0);
  EXPECT_EQ(stat.st_nlink, 0u);
  EXPECT_EQ(stat.st_mode, S_IFREG | 0640u);
  EXPECT_EQ(fsetxattr(unnamed.get(), "user.a", "b", 1, 0), 0);
  const std::string path = "/proc/self/fd/" + std::to_string(unnamed.get());
  ASSERT_EQ(linkat(AT_FDCWD, path.c_str(), AT_FDCWD, (*files_ / "named").c_str(), AT_SYMLINK_FOLLOW), 0)
      << strerror(errno);
  EXPECT_EQ(ReadFile(files_->OnHost("named")), "content");
  EXPECT_EQ(ReadFile(*files_ / "named"), "content");
  ASSERT_EQ(fstat(unnamed.get(), &stat), 0);
  EXPECT_EQ(stat.st_nlink, 1u);
  ASSERT_EQ(unlink((*files_ / "named").c_str()), 0);
  EXPECT_EQ(pwrite(unnamed.get(), "C", 1, 0), 1);
  EXPECT_EQ(ErrnoOf(linkat(AT_FDCWD, path.c_str(), AT_FDCWD, (*files_ / "again").c_str(), AT_SYMLINK_FOLLOW)), ENOENT);
}

TEST_P(Data, CopiesLocksAndIoctls) {
  Fd from = Open("from", O_RDWR | O_CREAT);
  ASSERT_EQ(write(from.get(), "0123456789", 10), 10);
  Fd to = Open("to", O_RDWR | O_CREAT);
  off_t offset = 4;
  EXPECT_EQ(copy_file_range(from.get(), &offset, to.get(), nullptr, 100, 0), 6);
  EXPECT_EQ(ReadFile(files_->OnHost("to")), "456789");
  EXPECT_EQ(fdatasync(to.get()), 0);
  Fd other = Open("from", O_RDWR);
  EXPECT_EQ(flock(from.get(), LOCK_EX), 0);
  EXPECT_EQ(ErrnoOf(flock(other.get(), LOCK_EX | LOCK_NB)), EWOULDBLOCK);
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  EXPECT_EQ(fcntl(from.get(), F_OFD_SETLK, &lock), 0);
  EXPECT_EQ(ErrnoOf(fcntl(other.get(), F_OFD_SETLK, &lock)), EAGAIN);
  int bytes;
  EXPECT_EQ(ErrnoOf(ioctl(from.get(), FIONREAD + 0x100, &bytes)), ENOTTY);
  Fd directory(open(files_->mounted().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_EQ(fsync(directory.get()), 0);
}

TEST(Mounts, AReadOnlyOneRefusesEveryChange) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  MountedDirectory files({.read_only = true});
  ASSERT_TRUE(files.ok());
  WriteFile(files.OnHost("f"), "content");
  EXPECT_EQ(ReadFile(files / "f"), "content");
  EXPECT_EQ(ErrnoOf(open((files / "f").c_str(), O_RDWR)), EROFS);
  EXPECT_EQ(ErrnoOf(open((files / "g").c_str(), O_CREAT | O_WRONLY, 0644)), EROFS);
  EXPECT_EQ(ErrnoOf(mkdir((files / "d").c_str(), 0755)), EROFS);
  EXPECT_EQ(ErrnoOf(unlink((files / "f").c_str())), EROFS);
  EXPECT_EQ(ErrnoOf(chmod((files / "f").c_str(), 0600)), EROFS);
  EXPECT_EQ(ErrnoOf(truncate((files / "f").c_str(), 0)), EROFS);
}

TEST(Mounts, ASingleFile) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  MountedDirectory files({.single_file = true});
  ASSERT_TRUE(files.ok());
  EXPECT_EQ(ReadFile(files.mounted()), "content");
  WriteFile(files.mounted(), "written");
  EXPECT_EQ(ReadFile(files.OnHost("file")), "written");
  struct stat stat;
  ASSERT_EQ(::stat(files.mounted().c_str(), &stat), 0);
  EXPECT_TRUE(S_ISREG(stat.st_mode));
  EXPECT_EQ(chmod(files.mounted().c_str(), 0600), 0);
  EXPECT_EQ(ErrnoOf(open((files / "below").c_str(), O_RDONLY)), ENOTDIR);
  EXPECT_EQ(ErrnoOf(unlink(files.mounted().c_str())), EBUSY);
}

}  // namespace
}  // namespace lisafs::tests
