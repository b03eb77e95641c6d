#ifndef LISAFS_TESTS_FILESYSTEM_SEMANTICS_TESTING_H_
#define LISAFS_TESTS_FILESYSTEM_SEMANTICS_TESTING_H_

#include <errno.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <functional>
#include <string>

#include "tests/filesystem/mounted_directory.h"

namespace lisafs::tests {

// One mount for all tests of a suite, and a directory in it for each, which is the working directory.
class SemanticsTest : public testing::Test {
 protected:
  static void SetUpTestSuite();
  static void TearDownTestSuite();
  void SetUp() override;
  void TearDown() override;

  std::string Host(const std::string& name) const { return host_ + "/" + name; }
  static struct stat Stat(const std::string& path);
  static mode_t Mode(const std::string& path) { return Stat(path).st_mode & 07777; }

  static MountedDirectory* files_;
  std::string here_, host_;
};

// Whether this run is of mounts that nobody changes on the host.
bool IsExclusive();

// Runs `work` in a child as an ordinary user; whether it gave true.
bool AsUser(uid_t uid, gid_t gid, const std::function<bool()>& work);

// The errno of a call that failed; 0 for one that did not.
inline int ErrnoOf(long result) { return result < 0 ? errno : 0; }

}  // namespace lisafs::tests

#endif  // LISAFS_TESTS_FILESYSTEM_SEMANTICS_TESTING_H_
