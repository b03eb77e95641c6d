#include "seccomp/policy_table.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace lisafs {
namespace {

TEST(PolicyTable, IsWhatTheDocumentationSays) {
  std::ifstream file("docs/system-calls.md");
  ASSERT_TRUE(file);
  std::ostringstream documented;
  documented << file.rdbuf();
  EXPECT_EQ(documented.str(), PolicyTables()) << "run: bazel run //seccomp:policy_table > docs/system-calls.md";
}

}  // namespace
}  // namespace lisafs
