#include "tests/filesystem/semantics_testing.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

namespace lisafs::tests {

MountedDirectory* SemanticsTest::files_ = nullptr;

bool IsExclusive() { return getenv("LISAFS_TEST_EXCLUSIVE") != nullptr; }

void SemanticsTest::SetUpTestSuite() {
  if (geteuid() == 0) files_ = new MountedDirectory({.exclusive = IsExclusive()});
}

void SemanticsTest::TearDownTestSuite() {
  delete files_;
  files_ = nullptr;
}

void SemanticsTest::SetUp() {
  if (files_ == nullptr) GTEST_SKIP() << "needs root";
  ASSERT_TRUE(files_->ok());
  const std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
  ASSERT_EQ(mkdir((*files_ / name).c_str(), 0755), 0);
  here_ = *files_ / name;
  host_ = files_->OnHost(name);
  ASSERT_EQ(chdir(here_.c_str()), 0);
}

void SemanticsTest::TearDown() { ASSERT_EQ(chdir("/"), 0); }

struct stat SemanticsTest::Stat(const std::string& path) {
  struct stat stat = {};
  EXPECT_EQ(lstat(path.c_str(), &stat), 0) << path << ": " << strerror(errno);
  return stat;
}

bool AsUser(uid_t uid, gid_t gid, const std::function<bool()>& work) {
  pid_t child = fork();
  if (child == 0) {
    bool done = setresgid(gid, gid, gid) == 0 && setresuid(uid, uid, uid) == 0 && work();
    _exit(done ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return status == 0;
}

}  // namespace lisafs::tests
