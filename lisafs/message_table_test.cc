#include "lisafs/message_table.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

namespace lisafs {
namespace {

TEST(MessageTable, IsTheOneInTheDocumentation) {
  std::ifstream file("docs/protocol.md");
  ASSERT_TRUE(file) << "docs/protocol.md is not among the test's files";
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_NE(text.str().find("\n\n" + MessageTable() + "\n"), std::string::npos)
      << "docs/protocol.md must hold exactly this table:\n\n"
      << MessageTable();
}

TEST(MessageTable, SaysWhereFieldsLie) {
  const std::string table = MessageTable();
  EXPECT_NE(table.find("| 7 | OpenAt | @0 u64 `fd`, @8 u32 `flags`, @12 4 zero bytes | @0 u64 `open_fd` | 1 |"),
            std::string::npos);
  EXPECT_NE(table.find("| 23 | RenameAt | @0 u64 `old_dir_fd`, @8 u64 `new_dir_fd`, @16 string `old_name`, "
                       "string `new_name` | – |  |"),
            std::string::npos);
}

}  // namespace
}  // namespace lisafs
