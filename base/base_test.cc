#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/escape.h"
#include "base/fd.h"
#include "base/program.h"
#include "base/result.h"

namespace lisafs {
namespace {

bool IsOpen(int fd) { return fcntl(fd, F_GETFD) >= 0; }

TEST(Fd, ClosesOnceAndMovesOwnership) {
  int number;
  {
    Fd a(open("/dev/null", O_RDONLY | O_CLOEXEC));
    number = a.get();
    ASSERT_TRUE(IsOpen(number));
    Fd b = std::move(a);
    EXPECT_FALSE(a.valid());  // NOLINT(bugprone-use-after-move): what a moved-from Fd holds is its contract.
    EXPECT_EQ(b.get(), number);
    EXPECT_TRUE(IsOpen(number));
  }
  EXPECT_FALSE(IsOpen(number));
}

TEST(Fd, ReleaseLeavesItOpen) {
  Fd a(open("/dev/null", O_RDONLY | O_CLOEXEC));
  int number = a.release();
  EXPECT_FALSE(a.valid());
  EXPECT_TRUE(IsOpen(number));
  close(number);
}

TEST(Fd, ResetKeepsErrno) {
  Fd a(open("/dev/null", O_RDONLY | O_CLOEXEC));
  errno = ENOTDIR;
  a.reset();
  EXPECT_EQ(errno, ENOTDIR);
}

TEST(Errno, NamesAndDescribes) {
  EXPECT_EQ(Errno(ENOENT).ToString(), "ENOENT: No such file or directory");
  EXPECT_EQ(Errno(4095).ToString(), "errno 4095");
}

Result<int> Half(int n) {
  if (n % 2 != 0) return Fail(EINVAL);
  return n / 2;
}
Result<int> Quarter(int n) {
  LISAFS_ASSIGN_OR_RETURN(int half, Half(n));
  return Half(half);
}

TEST(Result, MacrosPropagate) {
  EXPECT_EQ(Quarter(8), 2);
  EXPECT_EQ(Quarter(6).error(), Errno(EINVAL));
  EXPECT_EQ(Quarter(3).error(), Errno(EINVAL));
}

TEST(Program, EscapesControlCharacters) {
  SetProgramName("test");
  testing::internal::CaptureStderr();
  PrintError("open \x1b[31m", "a\nb");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "test: open \\x1b[31m: a\\x0ab\n");
}

TEST(Escape, CatchesControlCharactersOfTwoBytes) {
  EXPECT_EQ(Escape("caf\xc3\xa9 \xc2\x9b"
                   "2J"),
            "caf\xc3\xa9 \\xc2\\x9b2J");
  EXPECT_EQ(Escape("\x7f\t"), "\\x7f\\x09");
}

}  // namespace
}  // namespace lisafs
