#include "sandbox/files_as.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

namespace lisafs {
namespace {

TEST(FilesAs, MakesOthersFilesWithItsOwnRights) {
  if (geteuid() != 0) GTEST_SKIP() << "only root makes others' files";
  char name[] = "/tmp/files-as-XXXXXX";
  ASSERT_NE(mkdtemp(name), nullptr);
  const std::string directory = name;
  const int before = prctl(PR_GET_SECUREBITS);
  {
    FilesAs as(1000, 2000);
    // In a directory that is root's alone.
    EXPECT_EQ(mkdir((directory + "/theirs").c_str(), 0700), 0);
    EXPECT_EQ(chmod(directory.c_str(), 0711), 0);
  }
  EXPECT_EQ(mkdir((directory + "/own").c_str(), 0700), 0);
  struct stat theirs, own;
  ASSERT_EQ(stat((directory + "/theirs").c_str(), &theirs), 0);
  ASSERT_EQ(stat((directory + "/own").c_str(), &own), 0);
  EXPECT_EQ(theirs.st_uid, 1000u);
  EXPECT_EQ(theirs.st_gid, 2000u);
  EXPECT_EQ(own.st_uid, 0u);
  EXPECT_EQ(own.st_gid, 0u);
  EXPECT_EQ(prctl(PR_GET_SECUREBITS), before);
  for (const char* each : {"/theirs", "/own", ""}) EXPECT_EQ(rmdir((directory + each).c_str()), 0);
}

}  // namespace
}  // namespace lisafs
