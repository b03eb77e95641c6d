#include "control/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace lisafs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class ConfigTest : public testing::Test {
 protected:
  ~ConfigTest() override { unlink(path_.c_str()); }

  absl::Status Read(const std::string& text) {
    std::ofstream(path_) << text;
    return ReadConfig(path_, config_);
  }

  const std::string path_ = testing::TempDir() + "config_test." + std::to_string(getpid()) + ".toml";
  Config config_;
};

TEST_F(ConfigTest, SetsWhatTheFileSays) {
  absl::Status read = Read(R"(
socket = "/run/other.sock"
[access]
reader_group = "root"
[limits]
message_bytes = 65536
calls_per_second = 5
[metrics]
listen = "127.0.0.1:9469"
[log]
format = "json"
level = "debug"
[fuse]
io_uring = true
[cgroup]
enabled = true
parent = "/a/b"
memory_bytes = 0
pids = 7
[tls]
listen = "0.0.0.0:7420"
certificate = "/a"
key = "/b"
client_ca = "/c"
admins = ["ops", "root"]
)");
  ASSERT_TRUE(read.ok()) << read;
  EXPECT_EQ(config_.socket, "/run/other.sock");
  EXPECT_EQ(config_.state_directory, "/run/lisafs/state");
  EXPECT_EQ(config_.access.reader_group, 0u);
  EXPECT_EQ(config_.max_message_bytes, 65536);
  EXPECT_EQ(config_.limits.calls_per_second, 5);
  EXPECT_EQ(config_.metrics_address, "127.0.0.1:9469");
  EXPECT_TRUE(config_.log_json);
  EXPECT_TRUE(config_.programs.fuse_io_uring);
  EXPECT_TRUE(config_.programs.cgroup.enabled);
  EXPECT_EQ(config_.programs.cgroup.parent, "/a/b");
  EXPECT_EQ(config_.programs.cgroup.memory_bytes, 0u);
  EXPECT_EQ(config_.programs.cgroup.pids, 7u);
  EXPECT_EQ(config_.log_level, "debug");
  EXPECT_EQ(config_.tls_key, "/b");
  EXPECT_THAT(config_.access.tls_admins, ElementsAre("ops", "root"));
}

TEST_F(ConfigTest, ErrorsNameTheLineAndTheKey) {
  struct Bad {
    std::string text;
    std::string error;
  };
  const Bad cases[] = {
      {"\nsokcet = \"/x\"", ":2: sokcet: unknown key"},
      {"[cgroup]\nparent = \"lisafs\"", ":2: cgroup.parent: not the path of a cgroup"},
      {"[cgroup]\nparent = \"/\"", ":2: cgroup.parent: not the path of a cgroup"},
      {"[cgroup]\nparent = \"/a/../../b\"", ":2: cgroup.parent: not the path of a cgroup"},
      {"[cgroup]\nparent = \"/a//b\"", ":2: cgroup.parent: not the path of a cgroup"},
      {"[cgroup]\npids = -1", ":2: cgroup.pids: not 0 to"},
      {"socket = 1", ":1: socket: not a string"},
      {"socket = \"run\"", ":1: socket: not an absolute path"},
      {"socket = \"\"", ":1: socket: empty"},
      {"[limits]\n\nthreads = 1", ":3: limits.threads: not 16 to 10000"},
      {"[limits]\nthreads = \"x\"", ":2: limits.threads: not an integer"},
      {"[limits.more]\nx = 1", ":1: limits.more: unknown key"},
      {"limits = 3", ":1: limits: not a table"},
      {"[nothing]", ":1: nothing: unknown key"},
      {"[log]\nlevel = \"loud\"", ":2: log.level: not one of debug, info, warning, error"},
      {"[log]\ndestination = \"here\"", ":2: log.destination: not stderr"},
      {"[access]\nreader_group = \"no-such-group\"", ":2: access.reader_group: no group no-such-group"},
      {"[access]\nreader_group = -1", ":2: access.reader_group: not a group's number"},
      {"[fuse]\nio_uring = 1", ":2: fuse.io_uring: neither true nor false"},
      {"[metrics]\nlisten = \"0.0.0.0:9469\"", ":2: metrics.listen: not ADDRESS:PORT of this machine's loopback"},
      {"[tls]\nadmins = [1]", ":2: tls.admins: not a list of strings"},
      {"[tls]\nlisten = \"0.0.0.0:1\"", ": tls.listen: needs certificate, key and client_ca"},
      {"socket = \"/a\"\nsocket = \"/b\"", ":2: "},
      {"socket", ":1: "},
  };
  for (const Bad& bad : cases) {
    absl::Status status = Read(bad.text);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad.text;
    EXPECT_THAT(std::string(status.message()), HasSubstr(path_ + bad.error)) << bad.text;
  }
  EXPECT_EQ(ReadConfig("/nowhere.toml", config_).code(), absl::StatusCode::kNotFound);
}

// The documentation says what each key does, and the example that is installed shows each.
TEST_F(ConfigTest, EveryKeyIsDocumented) {
  auto read = [](const char* path) {
    std::ifstream file(path);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const std::string operations = read("docs/operations.md"), example = read("scripts/service/lisafsd.toml");
  for (const std::string& key : ConfigKeys()) {
    EXPECT_THAT(operations, HasSubstr("| `" + key + "` |"));
    EXPECT_THAT(example, HasSubstr("# " + key.substr(key.rfind('.') + 1) + " ="));
  }
  absl::Status parsed = ReadConfig("scripts/service/lisafsd.toml", config_);
  EXPECT_TRUE(parsed.ok()) << parsed;
}

}  // namespace
}  // namespace lisafs
