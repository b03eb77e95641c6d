#include "sandbox/program_log.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace lisafs {
namespace {

class ProgramLogTest : public testing::Test {
 protected:
  ProgramLogTest() {
    std::string name = testing::TempDir() + "/program_log.XXXXXX";
    directory_ = mkdtemp(name.data());
  }
  ~ProgramLogTest() override { std::filesystem::remove_all(directory_); }

  std::string Path() { return directory_ + "/log"; }
  std::string Text() {
    std::stringstream text;
    text << std::ifstream(Path()).rdbuf();
    return text.str();
  }
  static bool Say(const Fd& output, const std::string& text) {
    return write(output.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
  }

  std::string directory_;
};

TEST_F(ProgramLogTest, CollectsWhatWasSaid) {
  auto log = ProgramLog::Create(Path());
  ASSERT_TRUE(log.ok()) << log.status();
  EXPECT_EQ(ProgramLog::Create(Path()).status().code(), absl::StatusCode::kAlreadyExists);
  log->Collect();
  EXPECT_EQ(log->LastLine(), "");
  auto output = log->OpenForProgram();
  ASSERT_TRUE(output.ok()) << output.status();
  pollfd readable{.fd = log->fd(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&readable, 1, 0), 0);
  ASSERT_TRUE(Say(*output, "first\nsecond \033[31m\n"));
  EXPECT_EQ(poll(&readable, 1, 0), 1);
  log->Collect();
  EXPECT_EQ(Text(), "first\nsecond \033[31m\n");
  EXPECT_EQ(log->LastLine(), "second \\x1b[31m");
  // A program that is gone does not keep its starter awake.
  output->reset();
  EXPECT_EQ(poll(&readable, 1, 0), 0);
}

TEST_F(ProgramLogTest, WhatIsSaidWhileNobodyCollectsIsKept) {
  auto log = ProgramLog::Create(Path());
  ASSERT_TRUE(log.ok()) << log.status();
  auto output = log->OpenForProgram();
  ASSERT_TRUE(output.ok()) << output.status();
  ASSERT_TRUE(Say(*output, "one\n"));
  log->Collect();
  log = absl::UnknownError("closed");
  ASSERT_TRUE(Say(*output, "two\n"));
  log = ProgramLog::Open(Path());
  ASSERT_TRUE(log.ok()) << log.status();
  log->Collect();
  EXPECT_EQ(Text(), "one\ntwo\n");
}

TEST_F(ProgramLogTest, IsBounded) {
  auto log = ProgramLog::Create(Path());
  ASSERT_TRUE(log.ok()) << log.status();
  auto output = log->OpenForProgram();
  ASSERT_TRUE(output.ok()) << output.status();
  const std::string line(1000, 'x');
  for (int i = 0; i < 200 && Say(*output, line); ++i) log->Collect();
  EXPECT_EQ(log->fd(), -1);
  EXPECT_EQ(Text().size(), ProgramLog::kMaxLogBytes);
  EXPECT_EQ(log->LastLine(), "The log is full, nothing more is kept.");
  // Nor does the program wait, nor is it killed, when its FIFO is full too.
  int said = 0;
  while (said < 10'000 && Say(*output, line)) ++said;
  EXPECT_LT(said, 10'000);
  EXPECT_EQ(errno, EAGAIN);

  log = ProgramLog::Open(Path());
  ASSERT_TRUE(log.ok()) << log.status();
  EXPECT_EQ(log->fd(), -1);
  log->Collect();
  EXPECT_EQ(Text().size(), ProgramLog::kMaxLogBytes);
}

TEST_F(ProgramLogTest, WhatIsMissingIsNamed) {
  absl::Status status = ProgramLog::Open(Path()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(std::string(status.message()), Path() + ": No such file or directory");
}

}  // namespace
}  // namespace lisafs
