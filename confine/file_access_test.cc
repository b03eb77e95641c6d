#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "confine/confine.h"
#include "confine/confine_testing.h"

namespace lisafs {
namespace {

// Detached trees, of which a process keeps some and loses others that it has a descriptor of all the same.
class FileAccessTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "detached trees need root";
    if (LandlockVersion() < 2) GTEST_SKIP() << "the kernel's Landlock is of version " << LandlockVersion();
    char name[] = "/tmp/file_access_test.XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
    for (const char* each : {"writable", "readonly", "other"}) {
      ASSERT_EQ(mkdir((directory_ + "/" + each).c_str(), 0755), 0);
      ASSERT_EQ(mkdir((directory_ + "/" + each + "/d").c_str(), 0755), 0);
      ASSERT_TRUE(Fd(open((directory_ + "/" + each + "/d/f").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0755)).valid());
    }
    writable_ = Tree("writable");
    read_only_ = Tree("readonly");
    other_ = Tree("other");
    file_ = Tree("other/d/f");
    ASSERT_TRUE(writable_.valid() && read_only_.valid() && other_.valid() && file_.valid());
  }
  void TearDown() override {
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }

  Fd Tree(const std::string& name) const {
    return Fd(open_tree(AT_FDCWD, (directory_ + "/" + name).c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  }

  void ExpectInside(const std::function<void()>& body, bool with_file = false) {
    pid_t child = Fork([&] {
      proc_self_fd_ = Fd(open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC));
      INSIDE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
      std::vector<FileAccess> trees = {{writable_.get()}, {read_only_.get(), true}};
      if (with_file) trees.push_back({file_.get()});
      OrExit(RestrictFileAccess(trees));
      body();
    });
    EXPECT_EQ(WaitFor(child), 0);
  }

  // Of a descriptor's very file.
  Fd Reopen(const Fd& fd, int flags) const {
    return Fd(openat(proc_self_fd_.get(), std::to_string(fd.get()).c_str(), flags | O_CLOEXEC));
  }

  std::string directory_;
  Fd writable_, read_only_, other_, file_, proc_self_fd_;
};

TEST_F(FileAccessTest, WhatIsBelowATreeIsAsBefore) {
  ExpectInside([&] {
    Fd directory(openat(writable_.get(), "d", O_PATH | O_NOFOLLOW | O_CLOEXEC));
    Fd file(openat(directory.get(), "f", O_PATH | O_NOFOLLOW | O_CLOEXEC));
    Fd opened = Reopen(file, O_RDWR);
    INSIDE(opened.valid() && ftruncate(opened.get(), 3) == 0);
    INSIDE(Fd(openat(directory.get(), "new", O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600)).valid());
    Fd unnamed(openat(directory.get(), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    INSIDE(unnamed.valid());
    INSIDE(linkat(proc_self_fd_.get(), std::to_string(unnamed.get()).c_str(), writable_.get(), "named",
                  AT_SYMLINK_FOLLOW) == 0);
    INSIDE(renameat(directory.get(), "new", writable_.get(), "moved") == 0);
    INSIDE(mknodat(writable_.get(), "whiteout", S_IFCHR, 0) == 0);
    INSIDE(mknodat(writable_.get(), "fifo", S_IFIFO | 0600, 0) == 0);
    INSIDE(symlinkat("target", writable_.get(), "link") == 0);
    INSIDE(unlinkat(writable_.get(), "moved", 0) == 0);
  });
}

TEST_F(FileAccessTest, NothingIsOpenedElsewhereWhateverIsHeld) {
  ExpectInside([&] {
    INSIDE(!Fd(open("/etc/passwd", O_RDONLY | O_CLOEXEC)).valid() && errno == EACCES);
    INSIDE(!Fd(openat(other_.get(), "d/f", O_RDONLY | O_CLOEXEC)).valid() && errno == EACCES);
    Fd file(openat(other_.get(), "d/f", O_PATH | O_CLOEXEC));
    INSIDE(file.valid() && !Reopen(file, O_RDONLY).valid() && errno == EACCES);
    INSIDE(mkdirat(other_.get(), "new", 0700) != 0 && errno == EACCES);
    INSIDE(unlinkat(other_.get(), "d/f", 0) != 0 && errno == EACCES);
    INSIDE(renameat(other_.get(), "d", other_.get(), "e") != 0 && errno == EACCES);
    INSIDE(renameat(other_.get(), "d/f", writable_.get(), "f") != 0);
  });
}

TEST_F(FileAccessTest, NothingIsChangedBelowAReadOnlyTree) {
  ExpectInside([&] {
    Fd file(openat(read_only_.get(), "d/f", O_RDONLY | O_CLOEXEC));
    INSIDE(file.valid());
    INSIDE(Fd(openat(read_only_.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC)).valid());
    INSIDE(!Reopen(file, O_WRONLY).valid() && errno == EACCES);
    INSIDE(!Reopen(file, O_RDONLY | O_TRUNC).valid() || LandlockVersion() < 3);
    INSIDE(mkdirat(read_only_.get(), "new", 0700) != 0 && errno == EACCES);
    INSIDE(unlinkat(read_only_.get(), "d/f", 0) != 0 && errno == EACCES);
  });
}

TEST_F(FileAccessTest, NothingIsExecuted) {
  ExpectInside([&] {
    Fd file(openat(writable_.get(), "d/f", O_RDONLY | O_CLOEXEC));
    char* nothing[] = {nullptr};
    INSIDE(file.valid() && syscall(SYS_execveat, file.get(), "", nothing, nothing, AT_EMPTY_PATH) != 0);
    INSIDE(errno == EACCES);
  });
}

TEST_F(FileAccessTest, ASingleFileIsATree) {
  ExpectInside(
      [&] {
        INSIDE(Reopen(file_, O_RDWR).valid());
        INSIDE(!Fd(openat(other_.get(), "d", O_RDONLY | O_CLOEXEC)).valid() && errno == EACCES);
      },
      true);
}

TEST_F(FileAccessTest, NoMountCanBeMade) {
  ExpectInside([&] { INSIDE(mount("none", directory_.c_str(), "tmpfs", 0, nullptr) != 0 && errno == EPERM); });
}

TEST_F(FileAccessTest, SignalsAndSocketsReachNothingOutside) {
  if (LandlockVersion() < 6) GTEST_SKIP() << "Landlock of version " << LandlockVersion() << " knows no scopes";
  Fd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
  snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "%s", directory_.c_str());
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(listener.get(), 1), 0);
  const pid_t parent = getpid();
  ExpectInside([&] {
    INSIDE(kill(parent, 0) != 0 && errno == EPERM);
    Fd client(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    INSIDE(connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 && errno == EPERM);
  });
}

}  // namespace
}  // namespace lisafs
