#include "control/process_statistics.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/fd.h"

namespace lisafs {
namespace {

TEST(ProcessStatisticsTest, OfThisProcess) {
  auto before = ReadProcess(getpid());
  ASSERT_TRUE(before.has_value());
  EXPECT_EQ(before->pid(), getpid());
  EXPECT_GT(before->resident_bytes(), 1u << 20);
  EXPECT_GE(before->threads(), 1u);
  EXPECT_GE(before->open_fds(), 3u);
  Fd another(open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(ReadProcess(getpid())->open_fds(), before->open_fds() + 1);
}

TEST(ProcessStatisticsTest, OfWhatLives) {
  control::v1::Sandbox sandbox;
  sandbox.set_id("web");
  EXPECT_TRUE(ProcessesOf(sandbox).empty());
  sandbox.set_gofer_pid(getpid());
  sandbox.set_plugin_pid(INT32_MAX);
  auto processes = ProcessesOf(sandbox);
  ASSERT_EQ(processes.size(), 1u);
  EXPECT_EQ(processes[0].sandbox_id(), "web");
  EXPECT_EQ(processes[0].program(), "gofer");
}

}  // namespace
}  // namespace lisafs
