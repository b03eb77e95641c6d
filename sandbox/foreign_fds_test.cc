#include "sandbox/foreign_fds.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace lisafs {
namespace {

TEST(ForeignFds, AreDuplicated) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  close(ends[1]);
  int numbers[] = {ends[1]};
  auto duplicates = DuplicateForeignFds(child, numbers);
  // So its own is closed.
  kill(child, SIGKILL);
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
  ASSERT_TRUE(duplicates.ok()) << duplicates.status();
  ASSERT_EQ(duplicates->size(), 1u);
  char byte = 'x';
  EXPECT_EQ(write(duplicates->front().get(), &byte, 1), 1);
  duplicates->clear();
  EXPECT_EQ(read(ends[0], &byte, 1), 1);
  EXPECT_EQ(read(ends[0], &byte, 1), 0);
  close(ends[0]);
}

TEST(ForeignFds, SayWhatIsMissing) {
  int numbers[] = {STDERR_FILENO, 4711};
  EXPECT_EQ(DuplicateForeignFds(getpid(), numbers).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(DuplicateForeignFds(1 << 30, numbers).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace lisafs
