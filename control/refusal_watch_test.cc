#include "control/refusal_watch.h"

#include <gtest/gtest.h>

namespace lisafs {
namespace {

using control::v1::Event;

control::v1::Sandbox Sandbox(uint64_t refused, uint64_t exhausted) {
  control::v1::Sandbox sandbox;
  sandbox.set_id("web");
  control::v1::Mount* mount = sandbox.add_mounts();
  mount->mutable_spec()->set_target("/data");
  mount->set_refused(refused);
  mount->set_exhausted(exhausted);
  return sandbox;
}

TEST(RefusalTrackerTest, TellsWhatIsNew) {
  Events events;
  RefusalTracker tracker(events);
  uint64_t next = 0;
  auto read = [&] { return events.Read(next, std::chrono::milliseconds(0)).events; };
  tracker.Note({Sandbox(0, 0)});
  EXPECT_TRUE(read().empty());
  tracker.Note({Sandbox(3, 1)});
  auto told = read();
  ASSERT_EQ(told.size(), 2u);
  EXPECT_EQ(told[0].type(), Event::TYPE_ACCESS_DENIED);
  EXPECT_EQ(told[0].sandbox_id(), "web");
  EXPECT_EQ(told[0].mount_target(), "/data");
  EXPECT_EQ(told[0].count(), 3u);
  EXPECT_EQ(told[0].message(), "the gofer refused 3 requests");
  EXPECT_EQ(told[1].type(), Event::TYPE_LIMIT_HIT);
  EXPECT_EQ(told[1].message(), "the gofer had no room for 1 request");
  tracker.Note({Sandbox(3, 1)});
  EXPECT_TRUE(read().empty());
  // It has gone, and another one has come.
  tracker.Note({});
  tracker.Note({Sandbox(2, 0)});
  told = read();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].count(), 2u);
  EXPECT_EQ(events.counts()[Event::TYPE_ACCESS_DENIED], 5u);
}

TEST(RefusalWatchTest, LooksAndStops) {
  Events events;
  {
    RefusalWatch watch([] { return std::vector{Sandbox(1, 0)}; }, events);
    uint64_t next = 0;
    EXPECT_EQ(events.Read(next, std::chrono::seconds(10)).events.size(), 1u);
  }
  EXPECT_EQ(events.End(), 1u);
}

}  // namespace
}  // namespace lisafs
