// Detached trees, FUSE mounts and mount namespaces, as root on the real kernel.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "sandbox/detached_tree.h"
#include "sandbox/fuse_mount.h"
#include "sandbox/mount_namespace.h"

namespace lisafs {
namespace {

using testing::HasSubstr;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A process in a mount namespace of its own, where a tmpfs on `directory` has: dir/below (a tmpfs with a file), file,
// link -> /DIRECTORY/dir, and mount points at_dir and at_file.
class MountsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root to mount";
    std::string name = testing::TempDir() + "/mounts.XXXXXX";
    directory_ = std::filesystem::canonical(mkdtemp(name.data()));
    int ready[2];
    ASSERT_EQ(pipe2(ready, O_CLOEXEC), 0);
    child_ = fork();
    if (child_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      bool ok = unshare(CLONE_NEWNS) == 0 && mount("", "/", "", MS_REC | MS_PRIVATE, nullptr) == 0 &&
                mount("tmpfs", directory_.c_str(), "tmpfs", 0, nullptr) == 0 && chdir(directory_.c_str()) == 0 &&
                mkdir("dir", 0755) == 0 && mkdir("dir/below", 0755) == 0 && mkdir("at_dir", 0755) == 0 &&
                mount("tmpfs", "dir/below", "tmpfs", 0, nullptr) == 0 && symlink(Path("dir").c_str(), "link") == 0;
      std::ofstream("file") << "content";
      std::ofstream("dir/below/deep") << "deep";
      std::ofstream("at_file") << "";
      char byte = ok ? 'y' : 'n';
      if (write(ready[1], &byte, 1) != 1) _exit(1);
      pause();
    }
    char byte = 0;
    ASSERT_EQ(read(ready[0], &byte, 1), 1);
    ASSERT_EQ(byte, 'y');
    close(ready[0]);
    close(ready[1]);
    auto opened = MountNamespace::OfProcess(child_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    namespace_ = std::make_unique<MountNamespace>(*std::move(opened));
  }

  void TearDown() override {
    if (child_ > 0) {
      kill(child_, SIGKILL);
      waitpid(child_, nullptr, 0);
    }
    namespace_.reset();
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }

  std::string Path(const std::string& name) { return directory_ + "/" + name; }

  absl::StatusOr<DetachedTree> Open(const std::string& name, MountAttributes attributes = {}, bool recursive = false) {
    absl::StatusOr<DetachedTree> tree = absl::UnknownError("not run");
    EXPECT_EQ(namespace_->Run([&] { return (tree = OpenDetachedTree(Path(name), attributes, recursive)).status(); }),
              tree.status());
    return tree;
  }

  std::string directory_;
  pid_t child_ = -1;
  std::unique_ptr<MountNamespace> namespace_;
};

TEST_F(MountsTest, ATreeIsFoundInTheOtherNamespaceAndNowhereElse) {
  EXPECT_FALSE(std::filesystem::exists(Path("dir")));
  auto tree = Open("link");
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_EQ(tree->type, static_cast<mode_t>(S_IFDIR));
  struct stat below;
  EXPECT_EQ(fstatat(tree->fd.get(), "below", &below, 0), 0);
  EXPECT_NE(fstatat(tree->fd.get(), "below/deep", &below, 0), 0) << "what is mounted below does not come along";
  // ".." of the tree's root is the tree's root.
  struct stat root, up;
  ASSERT_EQ(fstat(tree->fd.get(), &root), 0);
  ASSERT_EQ(fstatat(tree->fd.get(), "..", &up, 0), 0);
  EXPECT_EQ(root.st_ino, up.st_ino);
  EXPECT_EQ(root.st_dev, up.st_dev);
}

TEST_F(MountsTest, AttributesHoldForTheWholeTree) {
  auto tree = Open("dir", {.read_only = true}, /*recursive=*/true);
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_TRUE(Fd(openat(tree->fd.get(), "below/deep", O_RDONLY | O_CLOEXEC)));
  for (const char* name : {"new", "below/new"}) {
    EXPECT_FALSE(Fd(openat(tree->fd.get(), name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600))) << name;
    EXPECT_EQ(errno, EROFS) << name;
  }
}

TEST_F(MountsTest, AFileIsATree) {
  auto tree = Open("file");
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_EQ(tree->type, static_cast<mode_t>(S_IFREG));
}

TEST_F(MountsTest, TreesThatShowTheSameFilesOverlap) {
  auto whole = Open("."), directory = Open("dir"), link = Open("link"), below = Open("dir/below"), file = Open("file");
  for (auto* tree : {&whole, &directory, &link, &below, &file}) ASSERT_TRUE(tree->ok()) << tree->status();
  EXPECT_TRUE(directory->Overlaps(*link));
  EXPECT_TRUE(link->Overlaps(*directory));
  EXPECT_TRUE(below->Overlaps(*directory));
  EXPECT_TRUE(directory->Overlaps(*below));
  EXPECT_TRUE(file->Overlaps(*whole));
  EXPECT_TRUE(file->Overlaps(*file));
  EXPECT_FALSE(file->Overlaps(*directory));
  EXPECT_FALSE(directory->Overlaps(*file));
  auto root = namespace_->Run([&] {
    auto tree = OpenDetachedTree("/", {}, false);
    EXPECT_TRUE(tree.ok() && tree->Overlaps(*file));
    return tree.status();
  });
  EXPECT_TRUE(root.ok()) << root;
  // What is not known could be anywhere.
  EXPECT_TRUE(file->Overlaps(DetachedTree()));
}

TEST_F(MountsTest, OtherSourcesAreRefused) {
  EXPECT_EQ(Open("nowhere").status().code(), absl::StatusCode::kNotFound);
  absl::Status null = OpenDetachedTree("/dev/null", {}, false).status();
  EXPECT_EQ(null, absl::InvalidArgumentError("neither a directory nor a regular file"));
}

TEST_F(MountsTest, AFuseMountAppearsInTheOtherNamespaceAndTakesItsEndFromIt) {
  for (auto [type, name] : {std::pair<mode_t, std::string>{S_IFDIR, "at_dir"}, {S_IFREG, "at_file"}}) {
    auto fuse = MakeFuseMount(type, {.read_only = true, .nosuid = true});
    ASSERT_TRUE(fuse.ok()) << fuse.status();
    absl::Status attached = namespace_->Run([&, type = type, name = name] {
      auto mount_point = OpenMountPoint(Path(name), type);
      return mount_point.ok() ? AttachMount(fuse->mount.get(), mount_point->get()) : mount_point.status();
    });
    ASSERT_TRUE(attached.ok()) << attached;
    fuse->mount.reset();

    std::istringstream mounts(ReadFile("/proc/" + std::to_string(child_) + "/mountinfo"));
    std::string line, found;
    while (std::getline(mounts, line)) {
      if (line.find(Path(name)) != std::string::npos) found = line;
    }
    EXPECT_THAT(found, HasSubstr(" ro,nosuid,")) << found;
    EXPECT_THAT(found, HasSubstr(" - fuse.lisafs lisafs "));
    EXPECT_THAT(found, HasSubstr("default_permissions,allow_other"));
    EXPECT_EQ(ReadFile("/proc/self/mountinfo").find(Path(name)), std::string::npos);

    // The first request waits; once the mount is gone, reads fail.
    std::vector<char> request(1 << 17);
    EXPECT_GT(read(fuse->device.get(), request.data(), request.size()), 0);
    EXPECT_TRUE(namespace_
                    ->Run([&, name = name] {
                      return umount2(Path(name).c_str(), MNT_DETACH) == 0 ? absl::OkStatus()
                                                                          : absl::ErrnoToStatus(errno, "umount");
                    })
                    .ok());
    pollfd ended{.fd = fuse->device.get(), .events = POLLIN};
    EXPECT_EQ(poll(&ended, 1, 60'000), 1);
    EXPECT_EQ(read(fuse->device.get(), request.data(), request.size()), -1);
    EXPECT_EQ(errno, ENODEV);
  }
}

TEST_F(MountsTest, AMountPointIsOfTheRootsType) {
  absl::Status status = namespace_->Run([&] {
    EXPECT_EQ(OpenMountPoint(Path("at_dir"), S_IFREG).status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(OpenMountPoint(Path("at_file"), S_IFDIR).status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(OpenMountPoint(Path("link"), S_IFDIR).status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(OpenMountPoint(Path("nowhere"), S_IFDIR).status().code(), absl::StatusCode::kNotFound);
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(MountsTest, AProcessThatIsGoneHasNoNamespace) {
  kill(child_, SIGKILL);
  siginfo_t info;
  waitid(P_PID, child_, &info, WEXITED | WNOWAIT);
  EXPECT_EQ(MountNamespace::OfProcess(child_).status().code(), absl::StatusCode::kNotFound) << "a zombie";
  waitpid(child_, nullptr, 0);
  EXPECT_EQ(MountNamespace::OfProcess(child_).status().code(), absl::StatusCode::kNotFound);
  child_ = -1;
}

}  // namespace
}  // namespace lisafs
