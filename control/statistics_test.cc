#include "control/statistics.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <new>

namespace lisafs {
namespace {

using testing::ElementsAre;

// A page as the gofer has it: a file, mapped.
class StatisticsTest : public testing::Test {
 protected:
  StatisticsTest() : file_(memfd_create("counters", MFD_CLOEXEC)) {
    EXPECT_EQ(ftruncate(file_.get(), sizeof(CountersPage)), 0);
    void* memory = mmap(nullptr, sizeof(CountersPage), PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
    page_ = static_cast<CountersPage*>(memory);
    page_->magic = kCountersMagic;
    page_->version = kCountersVersion;
  }
  ~StatisticsTest() override { munmap(page_, sizeof(CountersPage)); }

  absl::StatusOr<CountersReader> Open() { return CountersReader::Open(Fd(dup(file_.get()))); }

  MessageCounters& At(size_t mount, size_t lane, Mid message) {
    return page_->mounts[mount].lanes[lane].messages[MessageIndex(message)];
  }

  Fd file_;
  CountersPage* page_;
};

TEST_F(StatisticsTest, LanesAddUp) {
  At(2, 0, Mid::kFStat).Count(0, 8, 144, 1500);
  At(2, 1, Mid::kFStat).Count(0, 8, 144, 1);
  At(2, kMaxLanes - 1, Mid::kFStat).Count(ENOENT, 8, 4, 1600);
  At(2, 1, Mid::kFStat).Count(ENOENT, 8, 4, 0);
  At(2, 3, Mid::kMakeNodeAt).Count(100'000, 1, 2, UINT64_MAX);
  At(3, 0, Mid::kWalk).Count(0, 1, 1, 1);

  auto reader = Open();
  ASSERT_TRUE(reader.ok()) << reader.status();
  control::v1::MountStatistics statistics;
  ASSERT_TRUE(reader->ReadMessages(2, statistics).ok());
  ASSERT_EQ(statistics.messages_size(), 2);
  const control::v1::MessageStatistics& stat = statistics.messages(0);
  EXPECT_EQ(stat.message(), "FStat");
  EXPECT_EQ(stat.calls(), 4u);
  EXPECT_EQ(stat.errors(), 2u);
  EXPECT_EQ(stat.bytes_received(), 32u);
  EXPECT_EQ(stat.bytes_sent(), 296u);
  EXPECT_EQ(stat.latency_nanoseconds(), 3101u);
  EXPECT_THAT(stat.latency_histogram(), ElementsAre(2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2));
  ASSERT_EQ(stat.errnos_size(), 1);
  EXPECT_EQ(stat.errnos(0).number(), ENOENT);
  EXPECT_EQ(stat.errnos(0).count(), 2u);
  const control::v1::MessageStatistics& make = statistics.messages(1);
  EXPECT_EQ(make.message(), "MakeNodeAt");
  EXPECT_EQ(make.latency_histogram_size(), static_cast<int>(kLatencyBuckets));
  EXPECT_EQ(make.errnos(0).number(), static_cast<int>(kErrnoSlots) - 1);
}

TEST_F(StatisticsTest, WhatIsHeld) {
  page_->mounts[kMaxMounts - 1].control_fds = 12;
  page_->mounts[kMaxMounts - 1].open_fds = 3;
  page_->mounts[kMaxMounts - 1].channels = 2;
  auto reader = Open();
  ASSERT_TRUE(reader.ok());
  control::v1::Mount mount;
  ASSERT_TRUE(reader->ReadHeld(kMaxMounts - 1, mount).ok());
  EXPECT_EQ(mount.control_fds(), 12u);
  EXPECT_EQ(mount.open_fds(), 3u);
  EXPECT_EQ(mount.channels(), 2u);
  control::v1::MountStatistics statistics;
  ASSERT_TRUE(reader->ReadMessages(0, statistics).ok());
  EXPECT_EQ(statistics.messages_size(), 0);
}

TEST_F(StatisticsTest, AFileThatIsCutIsAnErrorAndNoMore) {
  auto reader = Open();
  ASSERT_TRUE(reader.ok());
  ASSERT_EQ(ftruncate(file_.get(), 64), 0);
  control::v1::MountStatistics statistics;
  control::v1::Mount mount;
  EXPECT_EQ(reader->ReadMessages(0, statistics).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(reader->ReadHeld(1, mount).code(), absl::StatusCode::kDataLoss);
  ASSERT_EQ(ftruncate(file_.get(), 0), 0);
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(StatisticsTest, AnotherVersionIsRefused) {
  page_->version = kCountersVersion + 1;
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace lisafs
