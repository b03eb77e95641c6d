// lisafs-runtime as an engine sees it, with a low-level runtime that only writes down what it was given, and a lisafsd
// that only writes down what it was asked for.

#include <gmock/gmock.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sstream>

#include "proto/lisafs/control/v1/control.grpc.pb.h"

namespace lisafs {
namespace {

namespace fs = std::filesystem;
using control::v1::MountSpec;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

class StandInControl : public control::v1::Control::Service {
 public:
  grpc::Status CreateSandbox(grpc::ServerContext*, const control::v1::CreateSandboxRequest* request,
                             control::v1::CreateSandboxResponse* response) override {
    std::lock_guard lock(mutex_);
    created_.push_back(*request);
    if (failures_ > 0) {
      --failures_;
      return failure_;
    }
    response->mutable_sandbox()->set_plugin_pid(getpid());
    return grpc::Status::OK;
  }

  grpc::Status GetSandbox(grpc::ServerContext*, const control::v1::GetSandboxRequest*,
                          control::v1::GetSandboxResponse*) override {
    std::lock_guard lock(mutex_);
    if (!known_) return {grpc::StatusCode::NOT_FOUND, "no such sandbox"};
    return grpc::Status::OK;
  }

  grpc::Status DeleteSandbox(grpc::ServerContext*, const control::v1::DeleteSandboxRequest* request,
                             control::v1::DeleteSandboxResponse*) override {
    std::lock_guard lock(mutex_);
    deleted_.push_back(request->id());
    // Says in the low-level runtime's record when it was asked.
    std::ofstream(record_, std::ios::app) << "DeleteSandbox\n";
    return grpc::Status::OK;
  }

  // The next `count` CreateSandbox fail.
  void FailToCreate(grpc::Status failure, int count = 1) {
    std::lock_guard lock(mutex_);
    failure_ = std::move(failure);
    failures_ = count;
  }
  void Know(bool known) {
    std::lock_guard lock(mutex_);
    known_ = known;
  }
  void Record(std::string path) { record_ = std::move(path); }

  std::vector<control::v1::CreateSandboxRequest> created() {
    std::lock_guard lock(mutex_);
    return created_;
  }
  std::vector<std::string> deleted() {
    std::lock_guard lock(mutex_);
    return deleted_;
  }

 private:
  std::mutex mutex_;
  std::vector<control::v1::CreateSandboxRequest> created_;
  std::vector<std::string> deleted_;
  grpc::Status failure_;
  int failures_ = 0;
  bool known_ = false;
  std::string record_;
};

class RuntimeTest : public ::testing::Test {
 protected:
  RuntimeTest() {
    char pattern[] = "/tmp/lisafs-runtime-test-XXXXXX";
    directory_ = mkdtemp(pattern);
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + directory_ + "/control.sock", grpc::InsecureServerCredentials());
    builder.RegisterService(&control_);
    server_ = builder.BuildAndStart();
    control_.Record(directory_ + "/record");
    // state: what the file says, or no such container.
    std::ofstream(directory_ + "/runtime") << "#!/bin/sh\n"
                                              "cd "
                                           << directory_
                                           << "\n"
                                              "case \"$*\" in *\" state \"*) cat state; exit;; esac\n"
                                              "echo \"$0 $*\" >> record\n"
                                              "cp bundle/config.json config.seen\n"
                                              "cp /proc/self/mountinfo mounts.seen\n"
                                              "readlink /proc/self/fd/* > descriptors.seen\n"
                                              "echo low-level output\n"
                                              "exit $(cat status 2>/dev/null || echo 7)\n";
    chmod((directory_ + "/runtime").c_str(), 0755);
    fs::create_directories(directory_ + "/bundle/rootfs");
    fs::create_directories(directory_ + "/data");
    std::ofstream(directory_ + "/file") << "x";
    config_ = {{"root", {{"path", "rootfs"}}}, {"mounts", json::array()}};
  }
  ~RuntimeTest() override {
    server_->Shutdown();
    fs::remove_all(directory_);
  }

  struct Outcome {
    int status;
    std::string output;
  };
  // Runs lisafs-runtime with the stand-ins. `flags` come before, `command` after `--root /r`.
  Outcome Run(const std::string& command, const std::string& flags = "") {
    std::ofstream(directory_ + "/bundle/config.json") << config_.dump();
    std::string line = "sandbox/lisafs-runtime --runtime " + directory_ + "/runtime --lisafsd " + directory_ +
                       "/control.sock " + flags + " --root /r " + command + " 2>&1 </dev/null";
    FILE* pipe = popen(line.c_str(), "r");
    std::string output;
    for (int c; (c = fgetc(pipe)) != EOF;) output += static_cast<char>(c);
    int status = pclose(pipe);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, output};
  }
  Outcome Create() { return Run("create --bundle " + directory_ + "/bundle box"); }

  std::string Record() { return ReadFile(directory_ + "/record"); }

  std::string directory_;
  StandInControl control_;
  std::unique_ptr<grpc::Server> server_;
  json config_;
};

TEST_F(RuntimeTest, OtherCommandsGoToTheLowLevelRuntimeAsTheyCame) {
  Outcome outcome = Run("exec --unknown -x box sh -c --lisafsd", "--debug");
  EXPECT_EQ(outcome.status, 7);
  EXPECT_EQ(outcome.output, "low-level output\n");
  EXPECT_EQ(Record(), directory_ + "/runtime --debug --root /r exec --unknown -x box sh -c --lisafsd\n");
  EXPECT_TRUE(control_.created().empty());
}

TEST_F(RuntimeTest, VersionAddsALine) {
  Outcome outcome = Run("", "--version");
  EXPECT_EQ(outcome.status, 7);
  EXPECT_THAT(outcome.output, ::testing::StartsWith("low-level output\nlisafs-runtime "));
}

TEST_F(RuntimeTest, HelpShowsItsOwnFlagsFirst) {
  Outcome outcome = Run("", "--help");
  EXPECT_THAT(outcome.output, HasSubstr("--lisafsd SOCKET"));
  EXPECT_THAT(outcome.output, ::testing::EndsWith("low-level output\n"));
}

TEST_F(RuntimeTest, RefusesRestoreAndBadUsage) {
  Outcome outcome = Run("restore --bundle x box");
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.output, HasSubstr("lisafs-runtime: restore: "));
  EXPECT_EQ(Run("list", "--lisafsd=").status, 2);
  EXPECT_EQ(Record(), "");
}

TEST_F(RuntimeTest, CreateShowsTheLowLevelRuntimeAnotherConfig) {
  config_["mounts"] = {
      {{"destination", "/data"},
       {"type", "bind"},
       {"source", directory_ + "/data"},
       {"options", {"rbind", "ro", "nosuid"}}},
      {{"destination", "/dev/null2"}, {"type", "bind"}, {"source", "/dev/null"}, {"options", {"bind"}}},
      {{"destination", "/proc"}, {"type", "proc"}, {"source", "proc"}},
      {{"destination", "/file"}, {"type", "bind"}, {"source", "../file"}, {"options", {"bind", "noexec", "nodev"}}},
      {{"destination", "/file"}, {"type", "bind"}, {"source", directory_ + "/file"}, {"options", {"bind"}}},
  };
  std::string mounts_before = ReadFile("/proc/self/mountinfo");
  Outcome outcome = Create();
  EXPECT_EQ(outcome.status, 7) << outcome.output;
  EXPECT_EQ(outcome.output, "low-level output\n");
  EXPECT_EQ(Record(), directory_ + "/runtime --root /r create --bundle " + directory_ + "/bundle box\n");

  ASSERT_EQ(control_.created().size(), 1u);
  const control::v1::CreateSandboxRequest request = control_.created()[0];
  EXPECT_EQ(request.id(), "box");
  EXPECT_GT(request.caller_pid(), 0);
  ASSERT_EQ(request.mounts_size(), 4);
  const MountSpec& root = request.mounts(0);
  EXPECT_EQ(root.target(), "/");
  EXPECT_EQ(root.source(), directory_ + "/bundle/rootfs");
  EXPECT_EQ(root.mount_point(), "/run/lisafs/mnt/rootfs");
  EXPECT_TRUE(root.recursive());
  EXPECT_FALSE(root.read_only());
  const MountSpec& data = request.mounts(1);
  EXPECT_EQ(data.target(), "/data");
  EXPECT_TRUE(data.recursive() && data.read_only() && data.nosuid());
  EXPECT_FALSE(data.nodev() || data.noexec());
  const MountSpec& file = request.mounts(2);
  EXPECT_EQ(file.source(), directory_ + "/bundle/../file");
  EXPECT_TRUE(file.noexec() && file.nodev());
  EXPECT_FALSE(file.recursive() || file.read_only());
  EXPECT_EQ(request.mounts(3).target(), "/file#2") << "targets are names, and unique";

  json seen = json::parse(ReadFile(directory_ + "/config.seen"));
  EXPECT_EQ(seen["root"]["path"], "/run/lisafs/mnt/rootfs");
  EXPECT_EQ(seen["mounts"][0]["source"], data.mount_point());
  EXPECT_EQ(seen["mounts"][0]["options"], json({"bind", "ro", "nosuid"}));
  EXPECT_EQ(seen["mounts"][1]["source"], "/dev/null");
  EXPECT_EQ(seen["mounts"][3]["source"], file.mount_point());
  EXPECT_EQ(seen["hooks"]["createRuntime"].size(), 1u);
  EXPECT_EQ(seen["hooks"]["createRuntime"][0]["args"][2], std::to_string(getpid()));

  // All of that in a place of its own.
  EXPECT_THAT(ReadFile(directory_ + "/mounts.seen"), HasSubstr(" /run/lisafs/mnt "));
  EXPECT_THAT(ReadFile(directory_ + "/mounts.seen"), Not(HasSubstr("shared:")));
  EXPECT_EQ(ReadFile("/proc/self/mountinfo"), mounts_before);
  EXPECT_EQ(json::parse(ReadFile(directory_ + "/bundle/config.json")), config_);
  EXPECT_THAT(ReadFile(directory_ + "/descriptors.seen"), Not(HasSubstr("socket:")));
  EXPECT_THAT(ReadFile(directory_ + "/descriptors.seen"), Not(HasSubstr("anon_inode:")));
}

TEST_F(RuntimeTest, AReadOnlyRootHasItsMountPointsBefore) {
  config_["root"]["readonly"] = true;
  config_["process"]["cwd"] = "/work";
  config_["mounts"] = {
      {{"destination", "/dev"}, {"type", "tmpfs"}},
      {{"destination", "/dev/pts"}, {"type", "devpts"}},
      {{"destination", "/etc/file"}, {"type", "bind"}, {"source", directory_ + "/file"}, {"options", {"bind"}}},
  };
  EXPECT_EQ(Create().status, 7);
  ASSERT_EQ(control_.created().size(), 1u);
  EXPECT_TRUE(control_.created()[0].mounts(0).read_only());
  fs::path root = directory_ + "/bundle/rootfs";
  EXPECT_TRUE(fs::is_directory(root / "work"));
  EXPECT_TRUE(fs::is_directory(root / "dev"));
  EXPECT_FALSE(fs::exists(root / "dev/pts")) << "that is in the tmpfs";
  EXPECT_TRUE(fs::is_regular_file(root / "etc/file"));
}

TEST_F(RuntimeTest, SaysWhyItCannotCreate) {
  control_.FailToCreate({grpc::StatusCode::FAILED_PRECONDITION, "lisafs-gofer: did not start"});
  Outcome outcome =
      Run("create --bundle " + directory_ + "/bundle box", "--log " + directory_ + "/log.json --log-format json");
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.output, "lisafs-runtime: create box: lisafs-gofer: did not start\n");
  EXPECT_EQ(Record(), "");
  json line = json::parse(ReadFile(directory_ + "/log.json"));
  EXPECT_EQ(line["level"], "error");
  EXPECT_EQ(line["msg"], "lisafs-runtime: create box: lisafs-gofer: did not start");
  EXPECT_EQ(line["time"].get<std::string>().size(), 20u);
}

TEST_F(RuntimeTest, AsksForNothingWhenTheBundleIsBad) {
  config_["mounts"] = {
      {{"destination", "/data"}, {"type", "bind"}, {"source", directory_ + "/missing"}, {"options", {"bind"}}}};
  Outcome outcome = Create();
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.output, HasSubstr("mount /data: source " + directory_ + "/missing: No such file or directory"));
  config_["mounts"] = json::array();
  config_["root"]["path"] = directory_ + "/file";
  outcome = Create();
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.output, HasSubstr("root.path: " + directory_ + "/file is not a directory of files"));
  EXPECT_TRUE(control_.created().empty());
  EXPECT_EQ(Record(), "");
}

TEST_F(RuntimeTest, WaitsUntilAnEndedSandboxIsForgotten) {
  control_.FailToCreate({grpc::StatusCode::ALREADY_EXISTS, "sandbox box: exists"}, 3);
  EXPECT_EQ(Create().status, 7);
  EXPECT_EQ(control_.created().size(), 4u);
  control_.FailToCreate({grpc::StatusCode::ALREADY_EXISTS, "sandbox box: exists"}, 1000000);
  Outcome outcome = Create();
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.output, HasSubstr("sandbox box: exists"));
}

TEST_F(RuntimeTest, DeletesAStoppedContainersSandboxFirst) {
  control_.Know(true);
  std::ofstream(directory_ + "/state") << "{\"status\": \"stopped\"}";
  EXPECT_EQ(Run("delete box").status, 7);
  EXPECT_EQ(Record(), "DeleteSandbox\n" + directory_ + "/runtime --root /r delete box\n");
}

TEST_F(RuntimeTest, DeletesTheSandboxOfAContainerThatIsUnknown) {
  control_.Know(true);
  EXPECT_EQ(Run("delete --force box").status, 7);
  EXPECT_THAT(control_.deleted(), ::testing::ElementsAre("box"));
}

TEST_F(RuntimeTest, KeepsTheSandboxOfAContainerThatCannotBeDeleted) {
  control_.Know(true);
  std::ofstream(directory_ + "/state") << "{\"status\": \"running\", \"pid\": 1}";
  EXPECT_EQ(Run("delete box").status, 7);
  EXPECT_TRUE(control_.deleted().empty());
}

TEST_F(RuntimeTest, DeletesALiveContainerFirst) {
  control_.Know(true);
  std::ofstream(directory_ + "/state") << "{\"status\": \"running\", \"pid\": 1}";
  std::ofstream(directory_ + "/status") << "0";
  EXPECT_EQ(Run("delete --force box").status, 0);
  EXPECT_EQ(Record(), directory_ + "/runtime --root /r delete --force box\nDeleteSandbox\n");
}

TEST_F(RuntimeTest, DeleteWithoutASandboxIsTheLowLevelRuntimes) {
  EXPECT_EQ(Run("delete box").status, 7);
  EXPECT_TRUE(control_.deleted().empty());
  server_->Shutdown();
  fs::remove(directory_ + "/control.sock");
  Outcome outcome = Run("delete box");
  EXPECT_EQ(outcome.status, 7);
  EXPECT_EQ(outcome.output, "low-level output\n") << "no lisafsd is started to hear that there is nothing";
}

}  // namespace
}  // namespace lisafs
