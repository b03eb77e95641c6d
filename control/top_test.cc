#include "control/top.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace lisafs {
namespace {

using testing::HasSubstr;
namespace v1 = control::v1;

v1::MessageStatistics* AddMount(v1::GetStatisticsResponse& response, const std::string& sandbox,
                                const std::string& target, uint64_t calls, uint64_t errors, uint64_t sent) {
  v1::MountStatistics* mount = response.add_mounts();
  mount->set_sandbox_id(sandbox);
  mount->set_target(target);
  v1::MessageStatistics* message = mount->add_messages();
  message->set_message("PRead");
  message->set_calls(calls);
  message->set_errors(errors);
  message->set_bytes_sent(sent);
  for (int i = 0; i < 12; ++i) message->add_latency_histogram(i == 11 ? calls : 0);
  return message;
}

// To the last mount.
void AddClaim(v1::GetStatisticsResponse& response, uint64_t requests, uint64_t answered_alone) {
  v1::PluginClaim* claim = response.mutable_mounts(response.mounts_size() - 1)->add_plugin_claims();
  claim->set_kind("lookup");
  claim->set_requests(requests);
  claim->set_answered_alone(answered_alone);
}

v1::GetStatisticsResponse Before() {
  v1::GetStatisticsResponse response;
  response.mutable_time()->set_seconds(100);
  AddMount(response, "db", "/data", 1000, 0, 0);
  AddMount(response, "web", "/", 500, 10, 1 << 20);
  AddClaim(response, 100, 10);
  return response;
}

v1::GetStatisticsResponse Now() {
  v1::GetStatisticsResponse response;
  response.mutable_time()->set_seconds(102);
  AddMount(response, "db", "/data", 31'000, 0, 4096);
  AddMount(response, "web", "/", 520, 30, 5 << 20);
  AddClaim(response, 140, 40);
  AddMount(response, std::string(64, 'f'), "/new", 8, 0, 0);
  return response;
}

TEST(TopScreen, ShowsRatesSortedByCalls) {
  EXPECT_EQ(TopScreen(Before(), Now(), TopOrder::kCalls, 24, 80),
            "3 sandboxes, 3 mounts, 15.0k calls/s, 10 errors/s, by calls\n"
            "CALLS/S  ERR/S     P50     P99  IN/S    OUT/S  ALONE  SANDBOX MOUNT\n"
            "  15.0k      0  3.1 us  4.1 us   0 B  2.0 KiB      -  db /data\n"
            "     10     10  3.1 us  4.1 us   0 B  2.0 MiB    75%  web /\n"
            "      4      0  3.1 us  4.1 us   0 B      0 B      -  ffffffffffff /new\n");
}

std::string FirstName(TopOrder order) {
  std::istringstream screen(TopScreen(Before(), Now(), order, 24, 80));
  std::string line;
  for (int i = 0; i < 3; ++i) std::getline(screen, line);
  return line.substr(line.rfind("  ") + 2);
}

TEST(TopScreen, SortsByWhatItIsTold) {
  EXPECT_EQ(FirstName(TopOrder::kErrors), "web /");
  EXPECT_EQ(FirstName(TopOrder::kBytes), "web /");
  EXPECT_EQ(FirstName(TopOrder::kName), "db /data");
  EXPECT_EQ(FirstName(TopOrder::kCalls), "db /data");
  EXPECT_EQ(TopOrderOfKey('l'), TopOrder::kLatency);
  EXPECT_EQ(TopOrderOfKey('x'), std::nullopt);
}

TEST(TopScreen, FitsTheTerminal) {
  v1::GetStatisticsResponse before, now;
  now.mutable_time()->set_seconds(1);
  for (int i = 0; i < 50; ++i) {
    v1::MessageStatistics* message = AddMount(now, std::string(64, 'a'), "/" + std::string(200, 'x') + "\x1b[31m",
                                              UINT32_MAX, UINT32_MAX, 1ull << 60);
    message->set_bytes_received(1ull << 60);
  }
  std::istringstream screen(TopScreen(before, now, TopOrder::kCalls, 10, 80));
  int lines = 0;
  for (std::string line; std::getline(screen, line); ++lines) {
    EXPECT_LE(line.size(), 80u);
    EXPECT_EQ(line.find('\x1b'), std::string::npos);
    if (lines >= 2) {
      EXPECT_THAT(line, HasSubstr("aaaaaaaaaaaa /xxx"));
    }
  }
  EXPECT_EQ(lines, 10);
}

TEST(TopScreen, AMountThatIsAnotherOneStartsAnew) {
  v1::GetStatisticsResponse now = Now();
  now.mutable_mounts(0)->mutable_messages(0)->set_calls(20);
  EXPECT_THAT(TopScreen(Before(), now, TopOrder::kName, 3, 80), HasSubstr("     10      0"));
}

}  // namespace
}  // namespace lisafs
