// A real Prometheus scrapes lisafsd and answers questions about it.

#include <gmock/gmock.h>
#include <httplib.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/fd.h"
#include "control/service_testing.h"

namespace lisafs {
namespace {

using testing::HasSubstr;

constexpr char kPrometheus[] = "/usr/bin/prometheus";
constexpr char kPromtool[] = "/usr/bin/promtool";

class PrometheusTest : public ServiceTest {
 protected:
  void SetUp() override {
    ServiceTest::SetUp();
    if (IsSkipped()) return;
    Configure("[metrics]\nlisten = \"127.0.0.1:0\"\n");
    ASSERT_EQ(StopDaemon(SIGTERM), 0);
    StartDaemon();
    metrics_port_ = MetricsPort();
    ASSERT_NE(metrics_port_, 0) << Log();
  }
  void TearDown() override {
    if (prometheus_ > 0) {
      kill(prometheus_, SIGKILL);
      waitpid(prometheus_, nullptr, 0);
    }
    ServiceTest::TearDown();
  }

  std::string Scrape() {
    auto response = httplib::Client("127.0.0.1", metrics_port_).Get("/metrics");
    EXPECT_TRUE(response && response->status == 200);
    return response ? response->body : "";
  }

  void StartPrometheus() {
    std::ofstream(directory_ + "/prometheus.yml")
        << "scrape_configs:\n- job_name: lisafs\n  scrape_interval: 1s\n  static_configs:\n  - targets: ['127.0.0.1:"
        << metrics_port_ << "']\n";
    port_ = FreePort();
    const std::string listen = "--web.listen-address=127.0.0.1:" + std::to_string(port_);
    const std::string config = "--config.file=" + directory_ + "/prometheus.yml";
    const std::string storage = "--storage.tsdb.path=" + directory_ + "/prometheus";
    const char* argv[] = {kPrometheus, listen.c_str(), config.c_str(), storage.c_str(), nullptr};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, (directory_ + "/prometheus.log").c_str(),
                                     O_WRONLY | O_CREAT, 0600);
    ASSERT_EQ(posix_spawn(&prometheus_, kPrometheus, &actions, nullptr, const_cast<char**>(argv), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
  }

  // The value of the only series that answers, or "" if there is not one.
  std::string Query(const std::string& query) {
    auto response =
        httplib::Client("127.0.0.1", port_).Get("/api/v1/query", httplib::Params{{"query", query}}, httplib::Headers{});
    if (!response || response->status != 200) return "";
    auto result = nlohmann::json::parse(response->body)["data"]["result"];
    return result.size() == 1 ? result[0]["value"][1].get<std::string>() : "";
  }

  int metrics_port_ = 0;
  int port_ = 0;
  pid_t prometheus_ = -1;
};

TEST_F(PrometheusTest, ARealOneScrapesAndAnswers) {
  if (!std::filesystem::exists(kPrometheus)) GTEST_SKIP() << "needs " << kPrometheus;
  ASSERT_TRUE(Create(Request("web")).ok());
  StartPrometheus();
  EXPECT_TRUE(Eventually([&] { return Query("up{job=\"lisafs\"}") == "1"; }))
      << ReadFile(directory_ + "/prometheus.log");
  EXPECT_TRUE(Eventually([&] { return Query("lisafs_sandboxes{state=\"running\"}") == "1"; }));
  EXPECT_EQ(Query("count(lisafs_mount_control_fds{sandbox=\"web\"})"), "2");
  EXPECT_EQ(Query("lisafs_control_calls_total{method=\"CreateSandbox\",code=\"OK\"}"), "1");
  EXPECT_EQ(Query("lisafs_process_resident_memory_bytes{program=\"gofer\"} > bool 0"), "1");
  ASSERT_TRUE(Delete("web").ok());
  EXPECT_TRUE(Eventually([&] { return Query("lisafs_sandboxes{state=\"running\"}") == "0"; }));
}

// By Prometheus's own linter.
TEST_F(PrometheusTest, NamesAndUnitsFollowTheConventions) {
  if (!std::filesystem::exists(kPromtool)) GTEST_SKIP() << "needs " << kPromtool;
  ASSERT_TRUE(Create(Request("web")).ok());
  std::ofstream(directory_ + "/metrics") << Scrape();
  const std::string command =
      std::string(kPromtool) + " check metrics < " + directory_ + "/metrics > " + directory_ + "/lint 2>&1";
  EXPECT_EQ(system(command.c_str()), 0) << ReadFile(directory_ + "/lint");
}

TEST_F(PrometheusTest, NothingElseIsServed) {
  httplib::Client client("127.0.0.1", metrics_port_);
  EXPECT_EQ(client.Get("/")->status, 404);
  EXPECT_EQ(client.Get("/metrics/../etc/passwd")->status, 404);
  auto posted = client.Post("/metrics", std::string(2000, 'x'), "text/plain");
  EXPECT_TRUE(!posted || posted->status >= 400);
  EXPECT_THAT(Scrape(), HasSubstr("lisafs_build_info"));
}

TEST_F(PrometheusTest, AnAddressThatIsTakenIsAnError) {
  Configure("[metrics]\nlisten = \"127.0.0.1:" + std::to_string(metrics_port_) + "\"\n");
  // A second lisafsd would be refused for its state directory, so it has another one.
  ASSERT_TRUE(std::filesystem::create_directory(directory_ + "/second"));
  const std::string command = std::filesystem::absolute("control/lisafsd").string() + " --config=" + directory_ +
                              "/lisafsd.toml --socket=" + directory_ + "/second/sock --state-dir=" + directory_ +
                              "/second/state 2> " + directory_ + "/second/log";
  EXPECT_NE(system(command.c_str()), 0);
  EXPECT_THAT(ReadFile(directory_ + "/second/log"), HasSubstr("cannot serve: metrics: 127.0.0.1:"));
}

}  // namespace
}  // namespace lisafs
