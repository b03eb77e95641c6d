#include "control/access_recorder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <random>

#include "lisafs/counters.h"
#include "lisafs/live_policy.h"

namespace lisafs {
namespace {

using std::chrono::milliseconds;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

// Both pages, with the gofer's view of them.
class AccessRecorderTest : public testing::Test {
 protected:
  AccessRecorderTest()
      : counters_(memfd_create("counters", MFD_CLOEXEC)),
        policy_(memfd_create("policy", MFD_CLOEXEC)),
        page_(*Map<CountersPage>(counters_)),
        live_(*Map<LivePolicyPage>(policy_)),
        writer_(page_.accesses) {
    live_.magic = kLivePolicyMagic;
    live_.version = kLivePolicyVersion;
  }
  ~AccessRecorderTest() override {
    munmap(&page_, sizeof page_);
    munmap(&live_, sizeof live_);
  }
  template <typename Page>
  static Page* Map(const Fd& file) {
    EXPECT_EQ(ftruncate(file.get(), sizeof(Page)), 0);
    void* mapped = mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    EXPECT_NE(mapped, MAP_FAILED);
    return static_cast<Page*>(mapped);
  }

  std::unique_ptr<AccessRecorder> Start(size_t mount = 3) {
    auto recorder = AccessRecorder::Start(Fd(dup(policy_.get())), Fd(dup(counters_.get())), mount);
    EXPECT_TRUE(recorder.ok()) << recorder.status();
    return *std::move(recorder);
  }
  static AccessRecorder::Profile Collect(AccessRecorder& recorder) {
    auto news = recorder.Collect(milliseconds(0));
    EXPECT_TRUE(news.ok()) << news.status();
    return news.ok() ? *news : AccessRecorder::Profile();
  }
  // Writes a record that a gofer in its right mind would not.
  void AppendRaw(const AccessRecord& record, std::string_view rest) {
    const uint64_t end = page_.accesses.end;
    memcpy(page_.accesses.bytes + end, &record, sizeof record);
    memcpy(page_.accesses.bytes + end + sizeof record, rest.data(), rest.size());
    page_.accesses.end = end + sizeof record + rest.size();
    page_.accesses.records.fetch_add(1);
  }

  const Fd counters_, policy_;
  CountersPage& page_;
  LivePolicyPage& live_;
  AccessRingWriter writer_;
};

TEST_F(AccessRecorderTest, TellsWhatIsNew) {
  writer_.Append(3, kReadFrom, "/before");
  {
    auto recorder = Start();
    EXPECT_EQ(live_.mounts[3].recordings, 1u);
    EXPECT_THAT(Collect(*recorder), IsEmpty());
    writer_.Append(3, kReadFrom, "/file");
    writer_.Append(3, kWrittenTo, "/file");
    writer_.Append(2, kWrittenTo, "/of another mount");
    writer_.Append(3, kLookedUp | kMissing, "/a\nb");
    EXPECT_THAT(Collect(*recorder),
                UnorderedElementsAre(Pair("/file", kReadFrom | kWrittenTo), Pair("/a\nb", kLookedUp | kMissing)));
    writer_.Append(3, kReadFrom, "/file");
    EXPECT_THAT(Collect(*recorder), IsEmpty());
    writer_.Append(3, kRemoved, "/file");
    EXPECT_THAT(Collect(*recorder), UnorderedElementsAre(Pair("/file", kReadFrom | kWrittenTo | kRemoved)));
    EXPECT_EQ(recorder->missed(), 0u);
    auto another = Start();
    EXPECT_EQ(live_.mounts[3].recordings, 2u);
  }
  EXPECT_EQ(live_.mounts[3].recordings, 0u);
}

TEST_F(AccessRecorderTest, GoesRoundTheRingAndCountsWhatItMissed) {
  auto recorder = Start();
  const std::string path = "/" + std::string(1000, 'x');
  size_t told = 0;
  for (int i = 0; i < 5000; ++i) {
    writer_.Append(3, kReadFrom, path + std::to_string(i));
    if (i % 100 == 0) told += Collect(*recorder).size();
  }
  told += Collect(*recorder).size();
  EXPECT_EQ(told, 5000u);
  EXPECT_EQ(recorder->missed(), 0u);

  for (int i = 0; i < 2000; ++i) writer_.Append(3, kReadFrom, path + "late" + std::to_string(i));
  EXPECT_THAT(Collect(*recorder), IsEmpty());
  EXPECT_EQ(recorder->missed(), 2000u);
  writer_.Append(3, kReadFrom, "/after");
  writer_.Append(3, kReadFrom, std::string(kMaxAccessPath + 1, '/'));
  EXPECT_THAT(Collect(*recorder), UnorderedElementsAre(Pair("/after", kReadFrom)));
  EXPECT_EQ(recorder->missed(), 2001u);
}

TEST_F(AccessRecorderTest, IsBounded) {
  auto recorder = Start();
  for (int i = 0; i < 110'000; ++i) {
    writer_.Append(3, kReadFrom, "/" + std::to_string(i));
    if (i % 1000 == 0) Collect(*recorder);
  }
  Collect(*recorder);
  EXPECT_TRUE(recorder->full());
  // Of those that are known it still tells.
  writer_.Append(3, kWrittenTo, "/1");
  EXPECT_THAT(Collect(*recorder), UnorderedElementsAre(Pair("/1", kReadFrom | kWrittenTo)));
}

TEST_F(AccessRecorderTest, NonsenseIsMissed) {
  struct {
    const char* what;
    AccessRecord record;
    std::string rest;
  } cases[] = {
      {"longer than what there is", {.path_length = 100, .what = 1, .mount = 3, .padding = 0}, "/short"},
      {"longer than any path",
       {.path_length = UINT16_MAX, .what = 1, .mount = 3, .padding = 0},
       std::string(70000, '/')},
      {"not absolute", {.path_length = 3, .what = 1, .mount = 3, .padding = 0}, "etc"},
      {"a NUL in it", {.path_length = 4, .what = 1, .mount = 3, .padding = 0}, std::string("/a\0b", 4)},
      {"half a record", {.path_length = 2, .what = 1, .mount = 3, .padding = 0}, "/xabc"},
  };
  for (const auto& bad : cases) {
    SCOPED_TRACE(bad.what);
    auto recorder = Start();
    AppendRaw(bad.record, bad.rest);
    for (const auto& [path, what] : Collect(*recorder)) EXPECT_EQ(path, "/x");
    EXPECT_GE(recorder->missed(), 1u);
    // And goes on behind it.
    AppendRaw({.path_length = 5, .what = UINT16_MAX, .mount = 3, .padding = 0}, "/good");
    EXPECT_THAT(Collect(*recorder), UnorderedElementsAre(Pair("/good", kAllAccesses)));
  }
  for (uint64_t end : {uint64_t{0}, UINT64_MAX, UINT64_MAX - 3, uint64_t{1} << 40}) {
    writer_.Append(3, kReadFrom, "/file");
    auto recorder = Start();
    page_.accesses.end = end;
    page_.accesses.records = end;
    Collect(*recorder);
    EXPECT_GE(recorder->missed(), 1u) << end;
    page_.accesses.end = 4711;
    page_.accesses.records = 0;
    Collect(*recorder);
  }
}

TEST_F(AccessRecorderTest, WhateverIsInTheRing) {
  std::mt19937_64 random(1);
  auto recorder = Start();
  for (int round = 0; round < 200; ++round) {
    for (size_t i = 0; i < AccessRing::kSize; i += 8) {
      const uint64_t noise = random();
      memcpy(page_.accesses.bytes + i, &noise, sizeof noise);
    }
    page_.accesses.end.fetch_add(random() % AccessRing::kSize);
    page_.accesses.records = random();
    for (const auto& [path, what] : Collect(*recorder)) {
      EXPECT_TRUE(path.starts_with('/'));
      EXPECT_LE(path.size(), kMaxAccessPath);
      EXPECT_EQ(what & ~kAllAccesses, 0);
    }
  }
  EXPECT_GT(recorder->missed(), 0u);
}

TEST_F(AccessRecorderTest, AFileThatWasCutFails) {
  auto recorder = Start();
  ASSERT_EQ(ftruncate(counters_.get(), 100), 0);
  EXPECT_EQ(recorder->Collect(milliseconds(0)).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(AccessRecorderTest, WithoutAPolicyItDoesNotStart) {
  EXPECT_FALSE(AccessRecorder::Start(Fd(dup(policy_.get())), Fd(dup(counters_.get())), kMaxMounts).ok());
  live_.version = 1;
  EXPECT_FALSE(AccessRecorder::Start(Fd(dup(policy_.get())), Fd(dup(counters_.get())), 0).ok());
  EXPECT_EQ(live_.mounts[0].recordings, 0u);
}

}  // namespace
}  // namespace lisafs
