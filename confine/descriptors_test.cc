#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "confine/confine.h"
#include "confine/confine_testing.h"

namespace lisafs {
namespace {

TEST(CloseOtherDescriptors, KeepsWhatIsAskedFor) {
  pid_t child = Fork([] {
    for (int fd = 20; fd < 30; ++fd) dup2(STDERR_FILENO, fd);
    const int keep[] = {25, 22, 22};
    OrExit(CloseOtherDescriptors(keep));
    for (int fd = 3; fd < 64; ++fd) INSIDE((fcntl(fd, F_GETFD) >= 0) == (fd == 22 || fd == 25));
    INSIDE(ReadLink("/proc/self/fd/0") == "/dev/null");
  });
  EXPECT_EQ(WaitFor(child), 0);
}

TEST(CloseOtherDescriptors, LeavesStandardInputThatIsKept) {
  pid_t child = Fork([] {
    Pipe pipe;
    dup2(pipe.read_end.get(), STDIN_FILENO);
    const int keep[] = {STDIN_FILENO};
    OrExit(CloseOtherDescriptors(keep));
    INSIDE(ReadLink("/proc/self/fd/0").starts_with("pipe:"));
  });
  EXPECT_EQ(WaitFor(child), 0);
}

TEST(CloseOtherDescriptors, FillsStandardDescriptorsThatAreClosed) {
  pid_t child = Fork([] {
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    OrExit(CloseOtherDescriptors({}));
    INSIDE(ReadLink("/proc/self/fd/0") == "/dev/null");
    INSIDE(ReadLink("/proc/self/fd/1") == "/dev/null");
  });
  EXPECT_EQ(WaitFor(child), 0);
}

}  // namespace
}  // namespace lisafs
