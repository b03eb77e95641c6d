#include "sandbox/oci/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lisafs {
namespace {

using ::testing::HasSubstr;

TEST(OciOptions, HonoursTheLastOfEachKind) {
  struct Case {
    std::vector<std::string> options;
    OciMountOptions expected;
  };
  const Case cases[] = {
      {{}, {}},
      {{"bind"}, {.bind = true}},
      {{"rbind", "rprivate"}, {.bind = true, .recursive = true}},
      {{"rbind", "bind"}, {.bind = true}},
      {{"bind", "ro", "nosuid", "nodev", "noexec"},
       {.bind = true, .read_only = true, .nosuid = true, .nodev = true, .noexec = true}},
      {{"ro", "nosuid", "nodev", "noexec", "rw", "suid", "dev", "exec"}, {}},
      {{"rw", "ro"}, {.read_only = true}},
      {{"rbind", "rro", "rnosuid", "rnodev", "rnoexec"},
       {.bind = true, .recursive = true, .read_only = true, .nosuid = true, .nodev = true, .noexec = true}},
      {{"idmap"}, {.id_mapped = true}},
      {{"idmap=uids=x"}, {.id_mapped = true, .id_map = "uids=x"}},
      {{"idmap", "ridmap"}, {.id_mapped = true, .id_mapped_recursive = true}},
      {{"noatime", "relatime", "strictatime", "private", "defaults", "rnostrictatime"}, {}},
  };
  for (const Case& c : cases) {
    auto read = ReadBindOptions(c.options);
    ASSERT_TRUE(read.ok()) << read.status();
    SCOPED_TRACE(::testing::PrintToString(c.options));
    EXPECT_EQ(read->bind, c.expected.bind);
    EXPECT_EQ(read->recursive, c.expected.recursive);
    EXPECT_EQ(read->read_only, c.expected.read_only);
    EXPECT_EQ(read->nosuid, c.expected.nosuid);
    EXPECT_EQ(read->nodev, c.expected.nodev);
    EXPECT_EQ(read->noexec, c.expected.noexec);
    EXPECT_EQ(read->id_mapped, c.expected.id_mapped);
    EXPECT_EQ(read->id_mapped_recursive, c.expected.id_mapped_recursive);
    EXPECT_EQ(read->id_map, c.expected.id_map);
  }
}

TEST(OciOptions, RefusesByName) {
  for (const char* option : {"shared", "rshared", "slave", "rslave"}) {
    auto read = ReadBindOptions({"bind", option});
    ASSERT_FALSE(read.ok()) << option;
    EXPECT_THAT(read.status().message(), HasSubstr(std::string("option ") + option + " cannot be honoured: "));
  }
  for (const char* option : {"", "RO", "size=1", "ro ", "private\n"}) {
    auto read = ReadBindOptions({"bind", option});
    ASSERT_FALSE(read.ok()) << option;
    EXPECT_THAT(read.status().message(), HasSubstr(std::string("option ") + option + " is not known"));
  }
}

TEST(OciOptions, IdsMustBeThereAfterAnEqualsSign) {
  EXPECT_THAT(ReadBindOptions({"bind", "ridmap="}).status().message(), HasSubstr("option ridmap= has no ids"));
}

TEST(OciOptions, OtherMountsAreNotJudged) {
  EXPECT_FALSE(FindBindOptions({"size=65536k", "shared", "anything"}).bind);
  EXPECT_TRUE(FindBindOptions({"anything", "rbind"}).recursive);
}

}  // namespace
}  // namespace lisafs
