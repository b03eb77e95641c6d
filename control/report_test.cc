#include "control/report.h"

#include <gtest/gtest.h>

namespace lisafs {
namespace {

using std::chrono::seconds;
using std::chrono::system_clock;

TEST(Report, Sandboxes) {
  control::v1::ListSandboxesResponse response;
  EXPECT_EQ(SandboxesReport(response, system_clock::now()), "no sandboxes\n");
  control::v1::Sandbox* running = response.add_sandboxes();
  running->set_id("db");
  running->set_state(control::v1::Sandbox::STATE_RUNNING);
  running->set_gofer_pid(1234);
  running->set_plugin_pid(1236);
  running->mutable_create_time()->set_seconds(1000);
  running->add_mounts();
  control::v1::Sandbox* failed = response.add_sandboxes();
  failed->set_id("web");
  failed->set_state(control::v1::Sandbox::STATE_FAILED);
  failed->set_failure("gofer killed by signal 9");
  failed->set_plugin_pid(99);
  failed->mutable_create_time()->set_seconds(940);
  EXPECT_EQ(SandboxesReport(response, system_clock::from_time_t(1005)),
            "STATE    GOFER  PLUGIN  MOUNTS  AGE  NAME\n"
            "running   1234    1236       1   5s  db\n"
            "failed       -      99       0  65s  web\n"
            "\n"
            "web failed: gofer killed by signal 9\n");
}

TEST(Report, Mounts) {
  control::v1::ListMountsResponse response;
  EXPECT_EQ(MountsReport(response), "no mounts\n");
  for (const char* sandbox : {"db", "web"}) {
    control::v1::ListMountsResponse::Entry* entry = response.add_entries();
    entry->set_sandbox_id(sandbox);
    entry->mutable_mount()->mutable_spec()->set_target("/da\tta");
    entry->mutable_mount()->mutable_spec()->set_source("/srv");
    entry->mutable_mount()->set_control_fds(1200);
  }
  response.mutable_entries(1)->mutable_mount()->mutable_spec()->set_read_only(true);
  response.mutable_entries(0)->mutable_mount()->mutable_policy()->set_cache(control::v1::MountSpec::CACHE_EXCLUSIVE);
  response.mutable_entries(1)->mutable_mount()->mutable_policy()->set_cache(control::v1::MountSpec::CACHE_SHARED);
  response.mutable_entries(1)->mutable_mount()->mutable_spec()->set_nosuid(true);
  response.mutable_entries(1)->mutable_mount()->mutable_spec()->mutable_id_map();
  response.mutable_entries(1)->mutable_mount()->mutable_spec()->set_open_host_sockets(true);
  response.mutable_entries(1)->mutable_mount()->mutable_spec()->set_open_host_fifos(true);
  response.mutable_entries(1)->mutable_mount()->mutable_policy()->set_revoked(true);
  response.mutable_entries(1)->mutable_mount()->mutable_policy()->mutable_limits()->set_operations_per_second(9);
  response.mutable_entries(1)->mutable_mount()->mutable_policy()->mutable_limits()->set_operations_burst(3);
  response.mutable_entries(1)->mutable_mount()->set_failure("plugin killed by signal 9");
  EXPECT_EQ(MountsReport(response),
            "sandbox db\n"
            "TARGET     OPTIONS       FILES  OPEN  CHANNELS  SOURCE\n"
            "/da\\x09ta  rw,exclusive  1,200     0         0  /srv\n"
            "\n"
            "sandbox web\n"
            "TARGET     OPTIONS                                               FILES  OPEN  CHANNELS  SOURCE\n"
            "/da\\x09ta  ro,nosuid,idmap,shared,uds-open,fifo,ops=9/3,revoked  1,200     0         0  /srv\n"
            "/da\\x09ta failed: plugin killed by signal 9\n");
}

TEST(Report, StatisticsFitATerminal) {
  control::v1::GetStatisticsResponse response;
  EXPECT_EQ(StatisticsReport(response.mounts()), "no mounts\n");
  control::v1::MountStatistics* mount = response.add_mounts();
  mount->set_sandbox_id("web");
  mount->set_target("/");
  mount->set_data_hidden(true);
  control::v1::MessageStatistics* message = mount->add_messages();
  message->set_message("ConnectWithCreds");
  message->set_calls(1'000'000'000);
  message->set_errors(1'000'000'000);
  message->set_bytes_received(1000ull << 30);
  message->set_bytes_sent(1000);
  message->set_latency_p50_nanoseconds(786'000);
  message->set_latency_p99_nanoseconds(1'000'000);
  control::v1::PluginClaim* claim = mount->add_plugin_claims();
  claim->set_kind("lookup");
  claim->set_requests(UINT64_MAX);
  claim->set_answered_alone(1000);
  claim = mount->add_plugin_claims();
  claim->set_kind("open");
  claim->set_requests(2);
  response.add_mounts()->set_target("/unused");
  std::string report = StatisticsReport(response.mounts());
  EXPECT_EQ(report,
            "sandbox web mount /\n"
            "MESSAGE                   CALLS         ERRORS     P50     P99  RECEIVED    SENT\n"
            "ConnectWithCreds  1,000,000,000  1,000,000,000  786 us  1.0 ms  1000 GiB  1000 B\n"
            "Of 18,446,744,073,709,551,615 requests of the kernel the plugin says that it answered 1,000 without the "
            "gofer: lookup 1,000 of 18,446,744,073,709,551,615, open 0 of 2.\n"
            "Reads and writes that the kernel passes through, or through descriptors that the host gave away, are not "
            "counted.\n"
            "\n"
            "sandbox  mount /unused\n"
            "not used yet\n");
}

}  // namespace
}  // namespace lisafs
