// The suite itself: what it holds for right and for wrong.

#include "tests/conformance/suite.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

namespace lisafs::conformance {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// A test's own base class has this name.
using CaseAtWork = Test;

class SuiteTest : public testing::Test {
 protected:
  CaseAtWork Make(const std::string& expectations = "") {
    std::vector<std::string> errors;
    expectations_ = Expectations::Parse(expectations, errors);
    EXPECT_THAT(errors, IsEmpty());
    return CaseAtWork("Walk.Names", {}, expectations_, peer_, peer_.socket());
  }

 private:
  Expectations expectations_;
  Peer peer_{Fd()};
};

TEST_F(SuiteTest, RowsCompare) {
  CaseAtWork t = Make();
  t.Row("right", "ok", "ok");
  t.Row("one of several", "EPERM|ok", "ok");
  EXPECT_THAT(t.failures(), IsEmpty());
  t.Row("wrong", "ok", "EIO");
  t.Row("a part of it", "EPERM|ok", "EPERM|ok");
  t.Row("right", "ok", "ok");  // Its name is taken.
  EXPECT_THAT(t.failures(), SizeIs(3));
}

TEST_F(SuiteTest, ExceptionsAreExpectations) {
  CaseAtWork t = Make("Walk.Names / row => EIO  # why\n# Walk.Names / other => EIO\n");
  t.Row("row", "ok", "EIO");
  t.Row("other", "ok", "ok");
  EXPECT_THAT(t.failures(), IsEmpty());
  CaseAtWork mended = Make("Walk.Names / row => EIO");
  mended.Row("row", "ok", "ok");
  EXPECT_THAT(mended.failures(), SizeIs(1));
  CaseAtWork needless = Make("Walk.Names / row => ok");
  needless.Row("row", "EPERM|ok", "ok");
  EXPECT_THAT(needless.failures(), SizeIs(1));
}

TEST_F(SuiteTest, ExpectationsSayWhatIsWrongWithThem) {
  std::vector<std::string> errors;
  Expectations::Parse("nonsense\nNo.Such / row => ok\nWalk.Names / row => EIO\nWalk.Names / row => EPERM\n", errors);
  EXPECT_THAT(errors, ElementsAre(HasSubstr("nonsense"), HasSubstr("No.Such"), HasSubstr("twice")));
}

TEST_F(SuiteTest, CaseNamesAreTheirOwn) {
  std::set<std::string> names;
  for (const Case& test_case : AllCases()) EXPECT_TRUE(names.insert(test_case.name).second) << test_case.name;
  EXPECT_GT(names.size(), 70u);
}

TEST(AnswerTest, WhatIsNoProperError) {
  Answer answer{.mid = 0, .payload = Bytes(3)};
  EXPECT_EQ(answer.ToString(), "broken");
  answer.payload = Bytes(4);
  EXPECT_EQ(answer.ToString(), "broken");
  answer.payload[0] = std::byte{2};
  EXPECT_EQ(answer.ToString(), "ENOENT");
}

TEST(RawSocketTest, TellsSilenceFromTheEnd) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  RawSocket socket{Fd(ends[0])};
  Fd server(ends[1]);
  EXPECT_EQ(socket.Receive(std::chrono::milliseconds(10)).ToString(), "no answer");
  server.reset();
  EXPECT_EQ(socket.Receive().ToString(), "hung up");
}

}  // namespace
}  // namespace lisafs::conformance
