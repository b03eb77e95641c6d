#include "control/events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace lisafs {
namespace {

using control::v1::Event;
using std::chrono::milliseconds;

std::vector<std::string> Messages(const Events::Batch& batch) {
  std::vector<std::string> messages;
  for (const Event& event : batch.events) messages.push_back(event.message());
  return messages;
}

void Add(Events& events, const std::string& message) { events.Add(Event::TYPE_SANDBOX_CREATED, "web", "", message); }

TEST(EventsTest, AreReadInOrderAndOnce) {
  Events events;
  uint64_t next = events.End();
  Add(events, "a");
  Add(events, "b");
  Events::Batch batch = events.Read(next, milliseconds(0));
  EXPECT_THAT(Messages(batch), testing::ElementsAre("a", "b"));
  EXPECT_EQ(batch.missed, 0u);
  EXPECT_EQ(batch.events[0].count(), 1u);
  EXPECT_GT(batch.events[0].time().seconds(), 0);
  EXPECT_THAT(events.Read(next, milliseconds(0)).events, testing::IsEmpty());
}

TEST(EventsTest, ASlowReaderIsToldWhatItMissed) {
  Events events(3);
  uint64_t next = events.End();
  for (const char* message : {"a", "b", "c", "d", "e"}) Add(events, message);
  Events::Batch batch = events.Read(next, milliseconds(0));
  EXPECT_EQ(batch.missed, 2u);
  EXPECT_THAT(Messages(batch), testing::ElementsAre("c", "d", "e"));
  EXPECT_EQ(events.Read(next, milliseconds(0)).missed, 0u);
  EXPECT_EQ(events.Begin(), 2u);
}

TEST(EventsTest, ABatchHasAnEnd) {
  Events events;
  for (size_t i = 0; i < Events::kMaxBatch + 1; ++i) Add(events, "x");
  uint64_t next = 0;
  EXPECT_EQ(events.Read(next, milliseconds(0)).events.size(), Events::kMaxBatch);
  EXPECT_EQ(events.Read(next, milliseconds(0)).events.size(), 1u);
}

TEST(EventsTest, AReaderIsWokenByTheNextOne) {
  Events events;
  uint64_t next = 0;
  std::thread writer([&] { Add(events, "a"); });
  EXPECT_THAT(Messages(events.Read(next, milliseconds(10'000))), testing::ElementsAre("a"));
  writer.join();
}

TEST(EventsTest, TokensAreOfOneProcess) {
  Events events, others;
  Add(events, "a");
  auto number = events.ParseToken(events.Token(1));
  ASSERT_TRUE(number.ok());
  EXPECT_EQ(*number, 1u);
  number = events.ParseToken(others.Token(0));
  ASSERT_TRUE(number.ok());
  EXPECT_FALSE(number->has_value());
  for (const std::string& bad : {std::string("x"), std::string("0123456789abcdef"), std::string("0123456789abcdef.-1"),
                                 events.Token(0) + "x", events.Token(2)}) {
    EXPECT_EQ(events.ParseToken(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

}  // namespace
}  // namespace lisafs
