#include "sandbox/oci/mount_points.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

namespace lisafs {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::vector<std::string> InRoot(const std::vector<OciMountPoint>& points) {
  std::vector<std::string> paths;
  for (const OciMountPoint& point : PointsInRoot(points)) paths.push_back(point.path);
  return paths;
}

TEST(PointsInRoot, LeavesOutWhatOtherMountsHold) {
  EXPECT_THAT(InRoot({{"/proc"}, {"/dev"}, {"/dev/pts"}, {"/device"}, {"/"}, {"/a"}}),
              ::testing::ElementsAre("/proc", "/dev", "/device"));
  EXPECT_THAT(InRoot({{"/dev/pts"}, {"/dev"}, {"/dev"}}), ::testing::ElementsAre("/dev/pts", "/dev"));
}

class MakeMountPointTest : public ::testing::Test {
 protected:
  MakeMountPointTest() {
    std::string pattern = std::string(getenv("TEST_TMPDIR")) + "/pointsXXXXXX";
    top_ = mkdtemp(pattern.data());
    root_ = top_ / "root";
    fs::create_directories(root_ / "etc");
  }
  ~MakeMountPointTest() override { fs::remove_all(top_); }

  absl::Status Make(const std::string& path, bool directory = true) {
    return MakeMountPoint(root_, {path, directory}).status();
  }

  // The paths below `top_`, outside of the root.
  bool NothingOutside() {
    auto begin = fs::directory_iterator(top_);
    return std::distance(begin, fs::directory_iterator()) == 1;
  }

  fs::path top_, root_;
};

TEST_F(MakeMountPointTest, MakesDirectoriesAndFiles) {
  EXPECT_TRUE(Make("/a/b/c").ok());
  EXPECT_TRUE(fs::is_directory(root_ / "a/b/c"));
  EXPECT_TRUE(Make("/a/b/c").ok()) << "again";
  EXPECT_TRUE(Make("/etc/hosts", false).ok());
  EXPECT_TRUE(fs::is_regular_file(root_ / "etc/hosts"));
  EXPECT_TRUE(Make("/new/dir/file", false).ok());
  EXPECT_TRUE(fs::is_regular_file(root_ / "new/dir/file"));
}

TEST_F(MakeMountPointTest, KeepsWhatIsThere) {
  std::ofstream(root_ / "etc/hosts") << "content";
  EXPECT_TRUE(Make("/etc/hosts", false).ok());
  EXPECT_EQ(fs::file_size(root_ / "etc/hosts"), 7u);
}

TEST_F(MakeMountPointTest, FollowsLinksWithinTheRoot) {
  fs::create_directory_symlink("/run", root_ / "absolute");
  fs::create_directory_symlink("../../../run/up", root_ / "etc/relative");
  fs::create_symlink("../run/resolve/stub.conf", root_ / "etc/resolv.conf");
  EXPECT_TRUE(Make("/absolute/a").ok());
  EXPECT_TRUE(fs::is_directory(root_ / "run/a"));
  EXPECT_TRUE(Make("/etc/relative/b").ok());
  EXPECT_TRUE(fs::is_directory(root_ / "run/up/b"));
  EXPECT_TRUE(Make("/etc/resolv.conf", false).ok());
  EXPECT_TRUE(fs::is_regular_file(root_ / "run/resolve/stub.conf"));
  EXPECT_TRUE(Make("/../../x").ok());
  EXPECT_TRUE(fs::is_directory(root_ / "x"));
  EXPECT_TRUE(NothingOutside());
}

TEST_F(MakeMountPointTest, SaysWhatItFound) {
  fs::create_directories(root_ / "usr/lib");
  fs::create_symlink("usr/lib", root_ / "lib");
  fs::create_symlink("/lib/../../../x", root_ / "usr/lib/up");
  auto path = [&](const std::string& asked, bool directory) {
    auto found = MakeMountPoint(root_, {asked, directory});
    EXPECT_TRUE(found.ok() && found->fd) << asked;
    return found.ok() ? found->path : "";
  };
  EXPECT_EQ(path("/lib/./a/../b", true), "/usr/lib/b");
  EXPECT_EQ(path("/lib/file", false), "/usr/lib/file");
  EXPECT_EQ(path("/usr/lib/up/y", true), "/x/y");
  EXPECT_EQ(path("/..", true), "/");
}

TEST_F(MakeMountPointTest, SaysWhatIsInTheWay) {
  std::ofstream(root_ / "file") << "";
  absl::Status made = Make("/file/below");
  EXPECT_THAT(std::string(made.message()),
              HasSubstr("mount point /file/below in " + root_.string() + ": Not a directory"));
  fs::create_symlink("loop", root_ / "loop");
  EXPECT_THAT(std::string(Make("/loop/x").message()), HasSubstr("Too many levels of symbolic links"));
  EXPECT_FALSE(Make("/" + std::string(300, 'n')).ok());
  EXPECT_FALSE(MakeMountPoint(root_ / "missing", {"/x"}).ok());
}

}  // namespace
}  // namespace lisafs
