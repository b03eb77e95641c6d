#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confine/confine.h"
#include "confine/confine_testing.h"

namespace lisafs {
namespace {

class NamespacesTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "namespaces need root";
  }
};

TEST_F(NamespacesTest, ChildDoesNotGoOnIfItsPidCannotBeTold) {
  Pipe went_on;
  pid_t starter = Fork([&] {
    Fd full(open("/dev/full", O_WRONLY | O_CLOEXEC));
    auto entered = EnterNamespaces(full.get());
    if (entered) INSIDE(write(went_on.write_end.get(), "x", 1) == 1);
    _exit(entered ? 0 : kStepFailed);
  });
  went_on.write_end.reset();
  EXPECT_EQ(WaitFor(starter), kStepFailed);
  EXPECT_EQ(ReadAll(went_on.read_end.get()), "");
  int status = 0;
  EXPECT_GT(waitpid(-1, &status, 0), 0);  // The child, which is this process's too.
  EXPECT_EQ(WEXITSTATUS(status), 1);
}

TEST_F(NamespacesTest, AttachedParentExitsAsTheChildDoes) {
  pid_t exits = Fork([] {
    OrExit(EnterNamespaces(-1));
    _exit(7);
  });
  EXPECT_EQ(WaitFor(exits), 7);

  pid_t faults = Fork([] {
    OrExit(EnterNamespaces(-1));
    OrExit(DropPrivileges({}));  // No core file.
    *static_cast<volatile int*>(nullptr) = 0;
  });
  EXPECT_EQ(WaitFor(faults), 128 + SIGSEGV);
}

// Starts an attached pair whose child holds the write end of a pipe, and waits until the child runs.
pid_t StartAttached(Pipe& alive) {
  pid_t parent = Fork([&] {
    OrExit(EnterNamespaces(-1));
    INSIDE(write(alive.write_end.get(), "x", 1) == 1);
    while (true) pause();
  });
  alive.write_end.reset();
  char byte;
  EXPECT_EQ(read(alive.read_end.get(), &byte, 1), 1);
  return parent;
}

TEST_F(NamespacesTest, AttachedParentForwardsSignals) {
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) {
    Pipe alive;
    pid_t parent = StartAttached(alive);
    kill(parent, signal);
    EXPECT_EQ(WaitFor(parent), 128 + signal);
    EXPECT_EQ(ReadAll(alive.read_end.get()), "");
  }
}

TEST_F(NamespacesTest, AttachedParentLetsGoOfDescriptors) {
  Pipe closed_by_child;
  pid_t parent = Fork([&] {
    OrExit(EnterNamespaces(-1));
    closed_by_child.write_end.reset();
    while (true) pause();
  });
  closed_by_child.write_end.reset();
  EXPECT_EQ(ReadAll(closed_by_child.read_end.get()), "");
  kill(parent, SIGTERM);
  EXPECT_EQ(WaitFor(parent), 128 + SIGTERM);
}

TEST_F(NamespacesTest, AttachedChildDiesWithItsParent) {
  Pipe alive;
  pid_t parent = StartAttached(alive);
  kill(parent, SIGKILL);
  EXPECT_EQ(WaitFor(parent), 128 + SIGKILL);
  EXPECT_EQ(ReadAll(alive.read_end.get()), "");
}

}  // namespace
}  // namespace lisafs
