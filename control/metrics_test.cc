#include "control/metrics.h"

#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lisafs {
namespace {

using control::v1::Event;
using testing::HasSubstr;
using testing::Not;

Measurements Example() {
  Measurements measurements;
  control::v1::Sandbox& sandbox = measurements.sandboxes.emplace_back();
  sandbox.set_id("web");
  sandbox.set_state(control::v1::Sandbox::STATE_RUNNING);
  control::v1::MountStatistics& mount = measurements.mounts.emplace_back();
  mount.set_sandbox_id("web");
  mount.set_target("/a \"b\"\\\n");
  mount.set_control_fds(12);
  mount.set_passthrough_opens(3);
  mount.set_data_hidden(true);
  control::v1::PluginClaim* claim = mount.add_plugin_claims();
  claim->set_kind("lookup");
  claim->set_requests(9);
  claim->set_answered_alone(4);
  control::v1::MessageStatistics* stat = mount.add_messages();
  stat->set_message("FStat");
  stat->set_calls(10);
  stat->set_bytes_sent(1440);
  stat->set_latency_nanoseconds(1'500'000'001);
  // 4 calls of less than 1,024 ns, 5 of 4,096 to 8,191, and one of more than 17 s.
  for (int i = 0; i < 36; ++i) stat->add_latency_histogram(i == 9 ? 4 : i == 12 ? 5 : i == 35 ? 1 : 0);
  control::v1::MessageStatistics::ErrnoCount* error = stat->add_errnos();
  error->set_number(ENOENT);
  error->set_count(2);
  control::v1::ProcessStatistics& process = measurements.processes.emplace_back();
  process.set_sandbox_id("web");
  process.set_program("gofer");
  process.set_resident_bytes(4096);
  process.set_cpu_nanoseconds(20'000'000);
  measurements.calls[{"GetSandbox", "OK"}] = 7;
  measurements.events[Event::TYPE_SANDBOX_CREATED] = 1;
  return measurements;
}

std::string MetricsText(const Measurements& measurements) {
  std::string text;
  WriteMetrics(measurements, [&](absl::string_view piece) { text.append(piece.data(), piece.size()); });
  return text;
}

TEST(MetricsTest, HaveEveryMeasurement) {
  const std::string text = MetricsText(Example());
  const std::string mount = R"({sandbox="web",mount="/a \"b\"\\\n")";
  for (const std::string& line : {
           std::string("lisafs_build_info{version=\"0.1.0\"} 1"),
           std::string("lisafs_sandboxes{state=\"running\"} 1"),
           std::string("lisafs_sandboxes{state=\"failed\"} 0"),
           std::string("lisafs_control_calls_total{method=\"GetSandbox\",code=\"OK\"} 7"),
           std::string("lisafs_events_total{type=\"sandbox_created\"} 1"),
           "lisafs_mount_control_fds" + mount + "} 12",
           "lisafs_mount_passthrough_opens_total" + mount + "} 3",
           "lisafs_mount_data_hidden" + mount + "} 1",
           "lisafs_plugin_claimed_requests_total" + mount + ",kind=\"lookup\"} 9",
           "lisafs_plugin_claimed_answers_total" + mount + ",kind=\"lookup\"} 4",
           "lisafs_requests_total" + mount + ",message=\"FStat\"} 10",
           "lisafs_sent_bytes_total" + mount + ",message=\"FStat\"} 1440",
           "lisafs_request_errors_total" + mount + ",message=\"FStat\",errno=\"ENOENT\"} 2",
           "lisafs_request_duration_seconds_bucket" + mount + ",message=\"FStat\",le=\"0.000001024\"} 4",
           "lisafs_request_duration_seconds_bucket" + mount + ",message=\"FStat\",le=\"0.000004096\"} 4",
           "lisafs_request_duration_seconds_bucket" + mount + ",message=\"FStat\",le=\"0.000016384\"} 9",
           "lisafs_request_duration_seconds_bucket" + mount + ",message=\"FStat\",le=\"17.179869184\"} 9",
           "lisafs_request_duration_seconds_bucket" + mount + ",message=\"FStat\",le=\"+Inf\"} 10",
           "lisafs_request_duration_seconds_sum" + mount + ",message=\"FStat\"} 1.500000001",
           "lisafs_request_duration_seconds_count" + mount + ",message=\"FStat\"} 10",
           std::string("lisafs_process_resident_memory_bytes{sandbox=\"web\",mount=\"\",program=\"gofer\"} 4096"),
           std::string("lisafs_process_cpu_seconds_total{sandbox=\"web\",mount=\"\",program=\"gofer\"} 0.020000000"),
       }) {
    EXPECT_THAT(text, HasSubstr("\n" + line + "\n"));
  }
}

TEST(MetricsTest, EveryMetricHasItsHeaderOnce) {
  const std::string text = MetricsText(Example());
  size_t headers = 0;
  for (size_t at = 0; (at = text.find("# TYPE ", at)) != std::string::npos; ++at) {
    ++headers;
    const std::string name = text.substr(at + 7, text.find(' ', at + 7) - at - 7);
    EXPECT_EQ(text.find("# TYPE " + name + " ", at + 1), std::string::npos) << name;
    EXPECT_NE(text.find("# HELP " + name + " "), std::string::npos) << name;
  }
  EXPECT_GE(headers, 20u);
  EXPECT_THAT(text, Not(HasSubstr("\n\n")));
}

}  // namespace
}  // namespace lisafs
