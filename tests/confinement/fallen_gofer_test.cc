// A gofer that was taken over: it has done all of its set-up, and then makes whatever calls it likes. It gets no
// farther than its trees, and changes nothing in one that is read-only, though it serves a writable one as well.

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <functional>
#include <string>

#include "base/fd.h"
#include "confine/confine.h"
#include "confine/confine_testing.h"
#include "gofer/self_fds.h"
#include "sandbox/detached_tree.h"
#include "sandbox/user_namespace.h"
#include "seccomp/gofer_policy.h"
#include "tests/support/files.h"

namespace lisafs {
namespace {

constexpr int kKilled = 128 + SIGSYS;
constexpr int kNoUserNamespaces = 89;

class FallenGoferTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "namespaces and mounts need root";
    if (!MakeUserNamespace(IdentityMap()).ok()) GTEST_SKIP() << "no user namespaces here";
    for (const char* each : {"writable/d", "readonly/d", "outside"}) tests::MakeDirectory(directory_ / each);
    for (const char* each : {"writable/f", "readonly/f", "outside/secret"}) tests::WriteFile(directory_ / each, "text");
    for (const char* tree : {"writable", "readonly"}) {
      const std::string in = directory_ / tree;
      ASSERT_EQ(symlink("../outside", (in + "/up").c_str()), 0);
      ASSERT_EQ(symlink((directory_ / "outside").c_str(), (in + "/absolute").c_str()), 0);
    }
    writable_ = Tree("writable", {.nosuid = true, .nodev = true});
    read_only_ = Tree("readonly", {.read_only = true, .nosuid = true, .nodev = true});
    ASSERT_TRUE(writable_.valid() && read_only_.valid());
  }

  Fd Tree(const std::string& name, const MountAttributes& attributes) {
    auto tree = OpenDetachedTree(directory_ / name, attributes, true);
    EXPECT_TRUE(tree.ok()) << tree.status();
    return tree.ok() ? std::move(tree->fd) : Fd();
  }

  // How a gofer of both trees ends that does this: its exit status, or 128 and the signal. As main() has the set-up.
  int StatusOf(const std::function<void(const SelfFds& self)>& body) {
    auto user_namespace = MakeUserNamespace(IdentityMap());
    if (!user_namespace.ok()) return kNoUserNamespaces;
    pid_t child = Fork([&] {
      const int kept[] = {writable_.get(), read_only_.get(), user_namespace->get()};
      OrExit(CloseOtherDescriptors(kept));
      OrExit(EnterNamespaces(-1, 30));
      Fd proc_self_fd = OrExit(OpenProcSelfFd());
      OrExit(EmptyRoot());
      SelfFds self = OrExit(SelfFds::Make(std::move(proc_self_fd)));
      OrExit(EnterUserNamespace(*std::move(user_namespace)));
      OrExit(
          DropPrivileges({.capabilities = {CAP_DAC_READ_SEARCH, CAP_CHOWN, CAP_FOWNER, CAP_FSETID, CAP_DAC_OVERRIDE}}));
      const FileAccess trees[] = {{writable_.get()}, {read_only_.get(), true}};
      OrExit(RestrictFileAccess(trees));
      OrExit(GoferPolicy({.proc_self_fd = self.fd(), .read_only = false}).Install());
      body(self);
    });
    return WaitFor(child);
  }

  tests::TempDir directory_;
  Fd writable_, read_only_;
};

int OpenIn(int directory, const char* path, int flags = O_RDONLY) {
  return openat(directory, path, flags | O_NOFOLLOW | O_CLOEXEC, 0600);
}

// With paths of many components, which the gofer itself never uses.
TEST_F(FallenGoferTest, NoPathLeadsOutOfATree) {
  EXPECT_EQ(StatusOf([&](const SelfFds& self) {
              for (int tree : {writable_.get(), read_only_.get()}) {
                for (const char* path : {"up/secret", "absolute/secret", "../outside/secret", "../../../../etc/passwd",
                                         "d/../../outside/secret", "/etc/passwd", "/proc/self/status"}) {
                  ExitUnless(OpenIn(tree, path) < 0, path);
                }
                // Above a tree is the tree.
                INSIDE(OpenIn(tree, "../f") >= 0);
              }
              for (const char* path : {"../status", "../../1/status", "../root", "../cwd/secret", "/etc/passwd"}) {
                ExitUnless(OpenIn(self.fd(), path) < 0, path);
                char value[8];
                ExitUnless(getxattr(path, "user.x", value, sizeof value) < 0 && (errno == ENOENT || errno == ENOTDIR),
                           path);
              }
              INSIDE(OpenIn(AT_FDCWD, "/") < 0 && errno == ENOENT);
            }),
            0);
}

TEST_F(FallenGoferTest, AReadOnlyTreeStaysAsItIs) {
  EXPECT_EQ(StatusOf([&](const SelfFds& self) {
              const int tree = read_only_.get();
              Fd file(OpenIn(tree, "f", O_PATH));
              Fd content(OpenIn(tree, "f"));
              INSIDE(file.valid() && content.valid());
              const FdName name(file.get());
              auto refused = [] { return errno == EROFS || errno == EACCES || errno == EXDEV || errno == EPERM; };
              for (int flags : {O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_CREAT | O_RDWR, O_TMPFILE | O_RDWR}) {
                INSIDE(OpenIn(tree, flags & O_DIRECTORY ? "d" : "f", flags) < 0 && refused());
              }
              INSIDE(!self.Reopen(file.get(), O_RDWR));
              INSIDE(pwrite(content.get(), "x", 1, 0) < 0);
              INSIDE(ftruncate(content.get(), 0) < 0);
              INSIDE(fallocate(content.get(), 0, 0, 100) < 0);
              INSIDE(!self.Chmod(file.get(), 0777) && refused());
              INSIDE(fchownat(file.get(), "", 1, 1, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0 && refused());
              INSIDE(syscall(SYS_utimensat, file.get(), "", nullptr, AT_EMPTY_PATH) < 0 && refused());
              INSIDE(setxattr(name.c_str(), "user.x", "", 0, 0) < 0 && refused());
              INSIDE(removexattr(name.c_str(), "user.x") < 0);
              INSIDE(mkdirat(tree, "new", 0700) < 0 && refused());
              INSIDE(mknodat(tree, "new", S_IFIFO | 0600, 0) < 0 && refused());
              INSIDE(symlinkat("new", tree, "new") < 0 && refused());
              INSIDE(unlinkat(tree, "f", 0) < 0 && refused());
              INSIDE(syscall(SYS_renameat2, tree, "f", tree, "g", 0) < 0 && refused());
              INSIDE(syscall(SYS_renameat2, tree, "f", writable_.get(), "g", 0) < 0 && refused());
              INSIDE(syscall(SYS_renameat2, writable_.get(), "f", tree, "g", 0) < 0 && refused());
              INSIDE(!self.Link(file.get(), writable_.get(), "linked") && refused());
            }),
            0);
  EXPECT_EQ(tests::ReadFile(directory_ / "readonly/f"), "text");
}

TEST_F(FallenGoferTest, WhatItHasNoCallForEndsIt) {
  struct {
    const char* name;
    std::function<void(const SelfFds& self)> call;
  } cases[] = {
      {"executing", [&](const SelfFds&) { syscall(SYS_execveat, writable_.get(), "f", nullptr, nullptr, 0); }},
      {"a device", [&](const SelfFds&) { mknodat(writable_.get(), "disk", S_IFBLK | 0600, 0x700); }},
      {"a file's handle", [&](const SelfFds&) { syscall(SYS_open_by_handle_at, writable_.get(), nullptr, 0); }},
      {"a mount", [&](const SelfFds&) { syscall(SYS_open_tree, writable_.get(), "", 1); }},
      {"a namespace", [&](const SelfFds&) { syscall(SYS_setns, writable_.get(), 0); }},
      {"a socket", [&](const SelfFds&) { socket(AF_UNIX, SOCK_STREAM, 0); }},
      {"a process", [&](const SelfFds&) { syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); }},
      {"a signal", [&](const SelfFds&) { syscall(SYS_kill, 1, SIGKILL); }},
      {"tracing", [&](const SelfFds&) { syscall(SYS_ptrace, 0, 0, 0, 0); }},
      {"code", [&](const SelfFds&) { mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }},
      {"an ioctl", [&](const SelfFds&) { syscall(SYS_ioctl, writable_.get(), 0, 0); }},
      {"another root", [&](const SelfFds&) { syscall(SYS_fchdir, writable_.get()); }},
      {"other ids", [&](const SelfFds&) { syscall(SYS_setresuid, 0, 0, 0); }},
      {"limits", [&](const SelfFds&) { syscall(SYS_prlimit64, 0, 0, nullptr, nullptr); }},
      {"io_uring", [&](const SelfFds&) { syscall(SYS_io_uring_setup, 1, nullptr); }},
  };
  for (const auto& c : cases) EXPECT_EQ(StatusOf(c.call), kKilled) << c.name;
}

// Should filter and Landlock have a hole: by a handle, which can be guessed, root opens any file of the file system
// that a tree lies on.
TEST_F(FallenGoferTest, InAUserNamespaceHandlesOpenNothing) {
  struct {
    file_handle header;
    unsigned char bytes[MAX_HANDLE_SZ];
  } handle = {};
  handle.header.handle_bytes = MAX_HANDLE_SZ;
  int mount_id;
  if (name_to_handle_at(AT_FDCWD, (directory_ / "outside/secret").c_str(), &handle.header, &mount_id, 0) != 0) {
    GTEST_SKIP() << "this file system has no handles";
  }
  auto opened = [&](Fd user_namespace) {
    return WaitFor(Fork([&] {
      OrExit(EnterUserNamespace(std::move(user_namespace)));
      OrExit(DropPrivileges({.capabilities = {CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE}}));
      Fd in_the_tree(OpenIn(writable_.get(), "d"));
      _exit(Fd(open_by_handle_at(in_the_tree.get(), &handle.header, O_RDONLY)) ? 0 : errno);
    }));
  };
  EXPECT_EQ(opened(Fd()), 0);
  EXPECT_EQ(opened(*MakeUserNamespace(IdentityMap())), EPERM);
}

// Of a container with ids of its own: files of others are to it what they are to anybody.
TEST_F(FallenGoferTest, InAUserNamespaceOnlyItsIdsFilesAreItsOwn) {
  constexpr uint32_t kFirst = 100000;
  const std::string theirs = directory_ / "writable/f", hosts = directory_ / "writable/hosts";
  tests::WriteFile(hosts, "the host's", 0600);
  ASSERT_EQ(chmod(theirs.c_str(), 0600), 0);
  ASSERT_EQ(chown(theirs.c_str(), kFirst + 5, kFirst + 5), 0);
  auto user_namespace = MakeUserNamespace({{{kFirst, kFirst, 10}}, {{kFirst, kFirst, 10}}});
  ASSERT_TRUE(user_namespace.ok()) << user_namespace.status();
  EXPECT_EQ(WaitFor(Fork([&] {
              OrExit(EnterUserNamespace(*std::move(user_namespace)));
              OrExit(DropPrivileges({.capabilities = {CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_CHOWN},
                                     .file_uid = kFirst,
                                     .file_gid = kFirst}));
              const int tree = writable_.get();
              INSIDE(OpenIn(tree, "f", O_RDWR) >= 0);
              INSIDE(fchownat(tree, "f", kFirst + 1, kFirst + 1, 0) == 0);
              INSIDE(OpenIn(tree, "hosts") < 0 && errno == EACCES);
              INSIDE(fchownat(tree, "hosts", kFirst, kFirst, 0) < 0 && errno == EPERM);
              INSIDE(fchownat(tree, "f", 0, 0, 0) < 0 && errno == EINVAL);
              INSIDE(fchmodat(tree, "hosts", 0666, 0) < 0 && errno == EPERM);
            })),
            0);
}

}  // namespace
}  // namespace lisafs
