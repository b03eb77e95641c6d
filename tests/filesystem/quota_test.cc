// Who has used up the space that he may use on the host is told so by the call that wants more. The host's file system
// is a Btrfs with quota groups: they need no more of the kernel than Btrfs does.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "base/fd.h"
#include "tests/filesystem/mounted_directory.h"
#include "tests/support/files.h"

namespace lisafs::tests {
namespace {

constexpr off_t kLimit = 8 << 20;

// How the data of files travels.
struct Way {
  const char* name;
  bool withhold_descriptors, passthrough;
};

class QuotaTest : public testing::TestWithParam<Way> {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    const std::string image = directory_ / "image", host = directory_ / "host";
    WriteFile(image, "");
    ASSERT_EQ(truncate(image.c_str(), 256 << 20), 0);
    if (!Run("mkfs.btrfs -q " + image + " >/dev/null")) GTEST_SKIP() << "needs mkfs.btrfs, of Debian's btrfs-progs";
    MakeDirectory(host);
    ASSERT_TRUE(Run("mount -o loop " + image + " " + host));
    is_mounted_ = true;
    ASSERT_TRUE(Run("btrfs quota enable " + host));
    ASSERT_TRUE(Run("btrfs qgroup limit " + std::to_string(kLimit) + " " + host));
    ASSERT_TRUE(files_
                    .emplace(MountedDirectory::Options{.withhold_descriptors = GetParam().withhold_descriptors,
                                                       .passthrough = GetParam().passthrough,
                                                       .host = host})
                    .ok());
    for (const char* name : {"file", "full"}) WriteFile(*files_ / name, "content");
  }
  void TearDown() override {
    files_.reset();
    if (is_mounted_) {
      EXPECT_EQ(umount((directory_ / "host").c_str()), 0) << strerror(errno);
    }
  }
  static bool Run(const std::string& command) { return system(command.c_str()) == 0; }
  // Writes until that fails, and gives the errno.
  static int Fill(int fd) {
    const std::string data(64 << 10, 'x');
    for (off_t at = 0; at < 4 * kLimit; at += static_cast<off_t>(data.size())) {
      if (pwrite(fd, data.data(), data.size(), at) < 0) return errno;
      if (at % (1 << 20) == 0 && fsync(fd) != 0) return errno;
    }
    return 0;
  }

  TempDir directory_;
  bool is_mounted_ = false;
  std::optional<MountedDirectory> files_;
};
INSTANTIATE_TEST_SUITE_P(Ways, QuotaTest,
                         testing::Values(Way{"Donated", false, false}, Way{"Messages", true, false},
                                         Way{"PassedThrough", false, true}),
                         [](const auto& info) { return info.param.name; });

TEST_P(QuotaTest, TheCallThatExceedsItFails) {
  Fd full(open((*files_ / "full").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(full);
  EXPECT_EQ(Fill(full.get()), EDQUOT);

  // As on the host itself.
  const std::pair<const char*, std::function<int(const std::string&)>> calls[] = {
      {"create",
       [](const std::string& in) { return open((in + "/new").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600); }},
      {"O_TMPFILE", [](const std::string& in) { return open(in.c_str(), O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600); }},
      {"mkdir", [](const std::string& in) { return mkdir((in + "/new").c_str(), 0700); }},
      {"mknod", [](const std::string& in) { return mknod((in + "/new").c_str(), S_IFIFO | 0600, 0); }},
      {"symlink", [](const std::string& in) { return symlink("to", (in + "/new").c_str()); }},
      {"link", [](const std::string& in) { return link((in + "/file").c_str(), (in + "/new").c_str()); }},
      {"setxattr",
       [](const std::string& in) {
         const std::string value(3000, 'x');
         return setxattr((in + "/file").c_str(), "user.new", value.data(), value.size(), 0);
       }},
      {"fallocate",
       [](const std::string& in) {
         Fd file(open((in + "/file").c_str(), O_RDWR | O_CLOEXEC));
         return fallocate(file.get(), 0, 0, 2 * kLimit);
       }},
      {"append",
       [](const std::string& in) {
         const std::string data(1 << 20, 'x');
         Fd file(open((in + "/file").c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
         return static_cast<int>(write(file.get(), data.data(), data.size()));
       }},
  };
  for (auto& [name, call] : calls) {
    EXPECT_EQ(call(files_->host()), -1) << name;
    EXPECT_EQ(errno, EDQUOT) << name;
    EXPECT_EQ(call(files_->mounted()), -1) << name;
    EXPECT_EQ(errno, EDQUOT) << name;
  }
  EXPECT_NE(access((*files_ / "new").c_str(), F_OK), 0);
  EXPECT_EQ(ReadFile(*files_ / "file"), "content");

  ASSERT_TRUE(Run("btrfs qgroup limit none " + files_->host()));
  EXPECT_EQ(pwrite(full.get(), "more", 4, 4 * kLimit), 4) << strerror(errno);
  EXPECT_EQ(mkdir((*files_ / "new").c_str(), 0700), 0) << strerror(errno);
}

}  // namespace
}  // namespace lisafs::tests
