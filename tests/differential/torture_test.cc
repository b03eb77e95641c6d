// Many processes in a container, each of which knows what it has to find in its files: for a minute, and for an hour
// with LISAFS_TEST_LONG.

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "tests/containers/host.h"

namespace lisafs::tests {
namespace {

using std::chrono::seconds;

class Torture : public Host {};

TEST_F(Torture, FindsWhatItWrote) {
  const std::string actor = DataFile("tests/differential/actor");
  const bool is_long = getenv("LISAFS_TEST_LONG") != nullptr;
  const seconds duration(is_long ? 3600 : 60);
  Bundle bundle = BusyboxBundle("bundle");
  std::filesystem::copy_file(actor, bundle.rootfs() + "/bin/actor");
  MakeDirectory(bundle.rootfs() + "/work");
  bundle.SetArguments({"/bin/actor", "torture", std::to_string(duration.count()), "1", "/work"});
  Ran ran = RunContainer(bundle, Id("torture"), {.timeout = 2 * duration + std::chrono::minutes(10)});
  EXPECT_TRUE(ran.ok()) << ran;
  RecordProperty("said", ran.out);
  // The host sees it whole, too.
  Ran left = RunProgram({actor, "left-whole", bundle.rootfs() + "/work"});
  EXPECT_TRUE(left.ok()) << left;
}

}  // namespace
}  // namespace lisafs::tests
