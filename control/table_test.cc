#include "control/table.h"

#include <gtest/gtest.h>

namespace lisafs {
namespace {

using std::chrono::seconds;

TEST(Table, AlignsAndEscapes) {
  Table table({{"NAME"}, {"CALLS", Table::Align::kRight}, {"LAST"}});
  EXPECT_TRUE(table.empty());
  table.AddRow({"a", "12,345", "x"});
  table.AddRow({"caf\u00e9\n", "7", ""});
  EXPECT_EQ(table.ToString(),
            "NAME       CALLS  LAST\n"
            "a         12,345  x\n"
            "caf\u00e9\\x0a       7\n");
}

TEST(Format, Counts) {
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(1000), "1,000");
  EXPECT_EQ(FormatCount(UINT64_MAX), "18,446,744,073,709,551,615");
}

TEST(Format, Bytes) {
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1024), "1.0 KiB");
  EXPECT_EQ(FormatBytes(10188), "9.9 KiB");
  EXPECT_EQ(FormatBytes(10189), "10 KiB");
  EXPECT_EQ(FormatBytes((1 << 20) - 1), "1.0 MiB");
  EXPECT_EQ(FormatBytes(20ull << 30), "20 GiB");
  EXPECT_EQ(FormatBytes(UINT64_MAX), "16 EiB");
}

TEST(Format, Durations) {
  EXPECT_EQ(FormatNanoseconds(999), "999 ns");
  EXPECT_EQ(FormatNanoseconds(1000), "1.0 us");
  EXPECT_EQ(FormatNanoseconds(999'900), "1.0 ms");
  EXPECT_EQ(FormatNanoseconds(35'000'000), "35 ms");
  EXPECT_EQ(FormatNanoseconds(7200'000'000'000), "7200 s");
  EXPECT_EQ(FormatAge(seconds(-3)), "0s");
  EXPECT_EQ(FormatAge(seconds(119)), "119s");
  EXPECT_EQ(FormatAge(seconds(120)), "2m");
  EXPECT_EQ(FormatAge(seconds(3 * 3600)), "3h");
  EXPECT_EQ(FormatAge(seconds(40 * 86400)), "40d");
}

}  // namespace
}  // namespace lisafs
