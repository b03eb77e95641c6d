#include "sandbox/oci/source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

namespace lisafs {
namespace {

using ::testing::HasSubstr;

class InspectSourceTest : public ::testing::Test {
 protected:
  InspectSourceTest() {
    std::string pattern = std::string(getenv("TEST_TMPDIR")) + "/sourceXXXXXX";
    directory_ = mkdtemp(pattern.data());
  }

  static absl::StatusOr<OciSource> Inspect(const std::string& source, const std::string& target = "/data") {
    return InspectSource({.target = target, .bind = true, .source = source});
  }

  std::string directory_;
};

TEST_F(InspectSourceTest, ServesDirectoriesAndRegularFiles) {
  std::ofstream(directory_ + "/file") << "x";
  ASSERT_EQ(symlink("file", (directory_ + "/link").c_str()), 0);
  for (const char* name : {"/file", "/link"}) {
    auto source = Inspect(directory_ + name);
    ASSERT_TRUE(source.ok()) << source.status();
    EXPECT_TRUE(source->served);
    EXPECT_FALSE(source->directory);
  }
  auto source = Inspect(directory_);
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_TRUE(source->served);
  EXPECT_TRUE(source->directory);
}

TEST_F(InspectSourceTest, DoesNotServeWhatHoldsNoFiles) {
  ASSERT_EQ(mkfifo((directory_ + "/fifo").c_str(), 0600), 0);
  ASSERT_EQ(mknod((directory_ + "/sock").c_str(), S_IFSOCK | 0600, 0), 0);
  for (const std::string& path : {directory_ + "/fifo", directory_ + "/sock", std::string("/dev/null"),
                                  std::string("/proc/sys"), std::string("/proc/self/ns/mnt"), std::string("/sys")}) {
    auto source = Inspect(path);
    ASSERT_TRUE(source.ok()) << source.status();
    EXPECT_FALSE(source->served) << path;
  }
}

TEST_F(InspectSourceTest, NamesAMissingSource) {
  auto source = Inspect(directory_ + "/missing", "/data");
  EXPECT_EQ(source.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(source.status().message()),
              HasSubstr("mount /data: source " + directory_ + "/missing: No such file or directory"));
}

TEST_F(InspectSourceTest, LooksAtTheHostsMount) {
  if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    GTEST_SKIP() << "no mount namespace can be made here: " << strerror(errno);
  }
  ASSERT_EQ(mount("shm", directory_.c_str(), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr), 0);
  ASSERT_EQ(mkdir((directory_ + "/below").c_str(), 0755), 0);
  auto source = Inspect(directory_);
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_TRUE(source->served);
  EXPECT_TRUE(source->inherited.nosuid && source->inherited.nodev && source->inherited.noexec);
  EXPECT_FALSE(source->inherited.read_only);

  EXPECT_FALSE(Inspect(directory_, "/dev/shm")->served);
  EXPECT_TRUE(Inspect(directory_ + "/below", "/dev/shm")->served) << "a directory of a tmpfs that has others";

  ASSERT_EQ(mount(nullptr, directory_.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr), 0);
  source = Inspect(directory_);
  EXPECT_TRUE(source->inherited.read_only);
  EXPECT_FALSE(source->inherited.noexec);
}

}  // namespace
}  // namespace lisafs
