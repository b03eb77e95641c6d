#include <fcntl.h>
#include <gtest/gtest.h>
#include <string.h>
#include <sys/resource.h>
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

TEST(MakeRoomForDescriptors, LeavesTheTableLargeAndNothingOpen) {
  pid_t child = Fork([] {
    OrExit(MakeRoomForDescriptors(4000));
    for (int fd = 3; fd < 5000; ++fd) INSIDE(fcntl(fd, F_GETFD) < 0);
    char status[4096] = {};
    Fd file(open("/proc/self/status", O_RDONLY));
    INSIDE(read(file.get(), status, sizeof status - 1) > 0);
    INSIDE(strstr(status, "FDSize:\t4096\n") != nullptr);
  });
  EXPECT_EQ(WaitFor(child), 0);
}

TEST(MakeRoomForDescriptors, IsContentWithTheLimit) {
  pid_t child = Fork([] {
    const rlimit few = {.rlim_cur = 100, .rlim_max = 100};
    INSIDE(setrlimit(RLIMIT_NOFILE, &few) == 0);
    OrExit(MakeRoomForDescriptors(4000));
    INSIDE(fcntl(99, F_GETFD) < 0);
    // The last one is somebody's.
    INSIDE(dup2(STDERR_FILENO, 99) == 99);
    OrExit(MakeRoomForDescriptors(4000));
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
