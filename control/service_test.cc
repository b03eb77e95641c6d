// lisafsd over its socket. The gofer and the plugin are what the environment variables GOFER and PLUGIN name, the real
// ones, or by default stand-ins that live and die as those do.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "proto/lisafs/control/v1/control.grpc.pb.h"

namespace lisafs {
namespace {

namespace v1 = control::v1;
using google::protobuf::util::MessageDifferencer;
using grpc::StatusCode;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

bool Eventually(const std::function<bool()>& holds, milliseconds patience = seconds(10)) {
  for (auto end = steady_clock::now() + patience; steady_clock::now() < end;) {
    if (holds()) return true;
    std::this_thread::sleep_for(milliseconds(10));
  }
  return false;
}

bool Lives(pid_t pid) {
  std::string stat = ReadFile("/proc/" + std::to_string(pid) + "/stat");
  size_t name_end = stat.rfind(')');
  return name_end != std::string::npos && stat.compare(name_end, 4, ") Z ") != 0;
}

// What does not change while a sandbox runs.
v1::Sandbox Lasting(v1::Sandbox sandbox) {
  for (v1::Mount& mount : *sandbox.mutable_mounts()) {
    mount.clear_control_fds();
    mount.clear_open_fds();
    mount.clear_channels();
  }
  return sandbox;
}

// A process in a mount namespace of its own: what calls CreateSandbox. A tmpfs on `directory` has: dir, file, and mount
// points at_dir and at_file.
class Caller {
 public:
  explicit Caller(std::string directory) : directory_(std::move(directory)) {
    int ready[2];
    if (pipe2(ready, O_CLOEXEC) != 0) abort();
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      bool ok = unshare(CLONE_NEWNS) == 0 && mount("", "/", "", MS_REC | MS_PRIVATE, nullptr) == 0 &&
                mount("tmpfs", directory_.c_str(), "tmpfs", 0, nullptr) == 0 && chdir(directory_.c_str()) == 0 &&
                mkdir("dir", 0755) == 0 && mkdir("at_dir", 0755) == 0;
      for (const char* name : {"file", "at_file"}) close(open(name, O_CREAT | O_WRONLY, 0644));
      char byte = ok ? 'y' : 'n';
      if (write(ready[1], &byte, 1) != 1) _exit(1);
      while (true) pause();
    }
    close(ready[1]);
    char byte = 0;
    if (read(ready[0], &byte, 1) != 1 || byte != 'y') abort();
    close(ready[0]);
  }
  ~Caller() { End(); }

  void End() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

  pid_t pid() const { return pid_; }
  std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  // How many FUSE file systems it sees.
  int FuseMounts() const {
    std::string mounts = ReadFile("/proc/" + std::to_string(pid_) + "/mountinfo");
    int count = 0;
    for (size_t at = 0; (at = mounts.find(" - fuse.lisafs ", at)) != std::string::npos; ++at) ++count;
    return count;
  }

 private:
  std::string directory_;
  pid_t pid_;
};

class ServiceTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root to mount";
    // Sandboxes whose lisafsd is gone become children of this process, so that they do not stay as zombies.
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    char name[] = "/tmp/lisafsd-test.XXXXXX";
    directory_ = mkdtemp(name);
    ASSERT_EQ(mkdir((directory_ + "/caller").c_str(), 0755), 0);
    caller_ = std::make_unique<Caller>(directory_ + "/caller");
    StartDaemon();
  }

  void TearDown() override {
    if (directory_.empty()) return;
    caller_.reset();
    if (daemon_ > 0) {
      // With their mounts all sandboxes have ended; those that failed are left to be deleted.
      for (const v1::Sandbox& sandbox : List()) Delete(sandbox.id());
      EXPECT_THAT(StateIds(), IsEmpty());
      EXPECT_EQ(StopDaemon(SIGTERM), 0) << Log();
      EXPECT_FALSE(std::filesystem::exists(Socket()));
    }
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "a process is left";
    std::filesystem::remove_all(directory_);
  }

  std::string Socket() { return directory_ + "/control.sock"; }
  std::string StateDir() { return directory_ + "/state"; }
  std::string Log() { return ReadFile(directory_ + "/log"); }

  // The program for a role: the stand-in under the role's name, or a real one.
  std::string Program(const std::string& role) {
    std::string path = directory_ + "/" + role;
    const char* real = role == "gofer" ? getenv("GOFER") : role == "plugin" ? getenv("PLUGIN") : nullptr;
    std::filesystem::path target = std::filesystem::absolute(real != nullptr ? real : "sandbox/stand_in");
    if (!std::filesystem::exists(path)) std::filesystem::create_symlink(target, path);
    return path;
  }

  // Runs lisafsd, with what it writes in the log.
  pid_t SpawnDaemon(const std::string& gofer = "gofer", const std::string& plugin = "plugin") {
    std::filesystem::remove(directory_ + "/log");
    std::vector<std::string> arguments = {std::filesystem::absolute("control/lisafsd"), "--socket=" + Socket(),
                                          "--state-dir=" + StateDir(), "--gofer=" + Program(gofer),
                                          "--plugin=" + Program(plugin)};
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, (directory_ + "/log").c_str(),
                                     O_WRONLY | O_CREAT | O_APPEND, 0600);
    pid_t pid = -1;
    EXPECT_EQ(posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
  }

  void StartDaemon(const std::string& gofer = "gofer", const std::string& plugin = "plugin") {
    daemon_ = SpawnDaemon(gofer, plugin);
    // A client that comes too early waits a second before it tries again.
    ASSERT_TRUE(Eventually([&] { return Log().find("listening") != std::string::npos; })) << Log();
    channel_ = grpc::CreateChannel("unix:" + Socket(), grpc::InsecureChannelCredentials());
    ASSERT_TRUE(channel_->WaitForConnected(std::chrono::system_clock::now() + seconds(10))) << Log();
    stub_ = v1::Control::NewStub(channel_);
  }

  // Gives lisafsd's exit status, or -1 if it was killed.
  int StopDaemon(int signal) {
    // lisafsd waits a while for clients that are connected.
    stub_ = nullptr;
    channel_ = nullptr;
    kill(daemon_, signal);
    int status;
    waitpid(daemon_, &status, 0);
    daemon_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  v1::CreateSandboxRequest Request(const std::string& id) {
    v1::CreateSandboxRequest request;
    request.set_id(id);
    request.set_caller_pid(caller_->pid());
    v1::MountSpec* directory = request.add_mounts();
    directory->set_target("/");
    directory->set_source(caller_->Path("dir"));
    directory->set_mount_point(caller_->Path("at_dir"));
    v1::MountSpec* file = request.add_mounts();
    file->set_target("/etc/hosts");
    file->set_source(caller_->Path("file"));
    file->set_mount_point(caller_->Path("at_file"));
    file->set_read_only(true);
    file->set_withhold_descriptors(true);
    return request;
  }

  grpc::Status Create(const v1::CreateSandboxRequest& request, v1::Sandbox* sandbox = nullptr) {
    grpc::ClientContext context;
    v1::CreateSandboxResponse response;
    grpc::Status status = stub_->CreateSandbox(&context, request, &response);
    if (sandbox != nullptr) *sandbox = response.sandbox();
    return status;
  }

  grpc::Status Get(const std::string& id, v1::Sandbox* sandbox) {
    grpc::ClientContext context;
    v1::GetSandboxRequest request;
    request.set_id(id);
    v1::GetSandboxResponse response;
    grpc::Status status = stub_->GetSandbox(&context, request, &response);
    *sandbox = response.sandbox();
    return status;
  }

  grpc::Status Delete(const std::string& id) {
    grpc::ClientContext context;
    v1::DeleteSandboxRequest request;
    request.set_id(id);
    v1::DeleteSandboxResponse response;
    return stub_->DeleteSandbox(&context, request, &response);
  }

  std::vector<v1::Sandbox> List() {
    grpc::ClientContext context;
    v1::ListSandboxesResponse response;
    EXPECT_TRUE(stub_->ListSandboxes(&context, {}, &response).ok());
    return {response.sandboxes().begin(), response.sandboxes().end()};
  }

  std::vector<std::string> StateIds() {
    std::vector<std::string> ids;
    for (const auto& entry : std::filesystem::directory_iterator(StateDir())) ids.push_back(entry.path().filename());
    return ids;
  }

  // Waits until the sandbox is in STATE_FAILED and gives its failure.
  std::string AwaitFailure(const std::string& id) {
    v1::Sandbox sandbox;
    EXPECT_TRUE(Eventually([&] { return Get(id, &sandbox).ok() && sandbox.state() == v1::Sandbox::STATE_FAILED; }));
    return sandbox.failure();
  }

  void ExpectNothingLeft() {
    EXPECT_THAT(List(), IsEmpty());
    EXPECT_THAT(StateIds(), IsEmpty());
    EXPECT_EQ(caller_->FuseMounts(), 0);
    // lisafsd has no children.
    std::string task = "/proc/" + std::to_string(daemon_) + "/task";
    for (const auto& thread : std::filesystem::directory_iterator(task)) {
      EXPECT_EQ(ReadFile(thread.path() / "children"), "");
    }
  }

  std::string directory_;
  std::unique_ptr<Caller> caller_;
  pid_t daemon_ = -1;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::Control::Stub> stub_;
};

TEST_F(ServiceTest, ASandboxLivesAsLongAsItsMounts) {
  v1::Sandbox sandbox;
  grpc::Status created = Create(Request("web"), &sandbox);
  ASSERT_TRUE(created.ok()) << created.error_message();
  EXPECT_EQ(sandbox.id(), "web");
  EXPECT_EQ(sandbox.state(), v1::Sandbox::STATE_RUNNING);
  EXPECT_TRUE(Lives(sandbox.gofer_pid()));
  EXPECT_TRUE(Lives(sandbox.plugin_pid()));
  EXPECT_GT(sandbox.create_time().seconds(), 0);
  EXPECT_EQ(sandbox.mounts_size(), 2);
  EXPECT_EQ(caller_->FuseMounts(), 2);
  v1::Sandbox again;
  ASSERT_TRUE(Get("web", &again).ok());
  EXPECT_TRUE(MessageDifferencer::Equals(Lasting(sandbox), Lasting(again)));
  EXPECT_EQ(Create(Request("web")).error_code(), StatusCode::ALREADY_EXISTS);

  caller_->End();
  EXPECT_TRUE(Eventually([&] { return List().empty(); }));
  EXPECT_THAT(StateIds(), IsEmpty());
  EXPECT_EQ(Get("web", &again).error_code(), StatusCode::NOT_FOUND);
}

TEST_F(ServiceTest, DeleteLeavesNothingAndItsIdIsFree) {
  for (int round = 0; round < 2; ++round) {
    v1::Sandbox sandbox;
    ASSERT_TRUE(Create(Request("web"), &sandbox).ok());
    ASSERT_TRUE(Delete("web").ok());
    EXPECT_FALSE(Lives(sandbox.gofer_pid()));
    EXPECT_FALSE(Lives(sandbox.plugin_pid()));
    EXPECT_THAT(List(), IsEmpty());
    EXPECT_THAT(StateIds(), IsEmpty());
    EXPECT_EQ(Delete("web").error_code(), StatusCode::NOT_FOUND);
    // What is mounted is the caller's to unmount.
    caller_ = nullptr;
    caller_ = std::make_unique<Caller>(directory_ + "/caller");
  }
}

TEST_F(ServiceTest, BadRequestsAreRefusedByFieldAndLeaveNothing) {
  struct Bad {
    std::string message;
    StatusCode code;
    std::function<void(v1::CreateSandboxRequest&)> change;
  };
  const Bad cases[] = {
      {"sandbox id: missing", StatusCode::INVALID_ARGUMENT, [](auto& r) { r.set_id(""); }},
      {"sandbox id", StatusCode::INVALID_ARGUMENT, [](auto& r) { r.set_id("../web"); }},
      {"caller_pid", StatusCode::INVALID_ARGUMENT, [](auto& r) { r.set_caller_pid(0); }},
      {"process 2147483647: no such process", StatusCode::NOT_FOUND, [](auto& r) { r.set_caller_pid(INT32_MAX); }},
      {"mounts: at least one", StatusCode::INVALID_ARGUMENT, [](auto& r) { r.clear_mounts(); }},
      {"mount 1: target", StatusCode::INVALID_ARGUMENT, [](auto& r) { r.mutable_mounts(1)->set_target("etc"); }},
      {"mount /etc/hosts: source /nowhere: No such file or directory", StatusCode::NOT_FOUND,
       [](auto& r) { r.mutable_mounts(1)->set_source("/nowhere"); }},
      {"mount /etc/hosts: source /dev/null: neither a directory nor a regular file", StatusCode::INVALID_ARGUMENT,
       [](auto& r) { r.mutable_mounts(1)->set_source("/dev/null"); }},
      {"mount /etc/hosts: mount point /nowhere: No such file or directory", StatusCode::NOT_FOUND,
       [](auto& r) { r.mutable_mounts(1)->set_mount_point("/nowhere"); }},
      {"not a directory, as its source is", StatusCode::INVALID_ARGUMENT,
       [](auto& r) { r.mutable_mounts(1)->set_source("/proc"); }},
  };
  for (const Bad& bad : cases) {
    v1::CreateSandboxRequest request = Request("web");
    bad.change(request);
    grpc::Status status = Create(request);
    EXPECT_EQ(status.error_code(), bad.code) << bad.message;
    EXPECT_THAT(status.error_message(), HasSubstr(bad.message));
  }
  ExpectNothingLeft();
}

TEST_F(ServiceTest, AProgramThatDoesNotStartLeavesNothing) {
  struct Bad {
    std::string gofer;
    std::string plugin;
    std::string message;
  };
  const Bad cases[] = {
      {"refuse", "plugin", "gofer did not start: refuse: mount 0: why \\x1b[31mnot"},
      {"gofer", "refuse", "plugin did not start: refuse: mount 0: why \\x1b[31mnot"},
      {"gofer", "die", "plugin did not start: killed by signal 9"},
  };
  for (const Bad& bad : cases) {
    ASSERT_EQ(StopDaemon(SIGTERM), 0);
    StartDaemon(bad.gofer, bad.plugin);
    grpc::Status status = Create(Request("web"));
    EXPECT_EQ(status.error_code(), StatusCode::FAILED_PRECONDITION);
    EXPECT_EQ(status.error_message(), bad.message);
    ExpectNothingLeft();
  }
}

TEST_F(ServiceTest, ACallerThatGoesAwayLeavesNothing) {
  ASSERT_EQ(StopDaemon(SIGTERM), 0);
  StartDaemon("hang", "plugin");
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + milliseconds(300));
  v1::CreateSandboxResponse response;
  EXPECT_EQ(stub_->CreateSandbox(&context, Request("web"), &response).error_code(), StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(Eventually([&] { return StateIds().empty(); }));
  ExpectNothingLeft();
}

TEST_F(ServiceTest, AKilledProcessIsReported) {
  v1::Sandbox sandbox;
  ASSERT_TRUE(Create(Request("gofer-dies"), &sandbox).ok());
  kill(sandbox.gofer_pid(), SIGKILL);
  EXPECT_EQ(AwaitFailure("gofer-dies"), "gofer killed by signal 9");
  ASSERT_TRUE(Get("gofer-dies", &sandbox).ok());
  EXPECT_EQ(sandbox.gofer_pid(), 0);
  EXPECT_TRUE(Delete("gofer-dies").ok());

  caller_ = nullptr;
  caller_ = std::make_unique<Caller>(directory_ + "/caller");
  ASSERT_TRUE(Create(Request("plugin-dies"), &sandbox).ok());
  kill(sandbox.plugin_pid(), SIGKILL);
  EXPECT_EQ(AwaitFailure("plugin-dies"), "plugin killed by signal 9");
  // The gofer ends by itself, and that changes nothing.
  EXPECT_TRUE(Eventually([&] { return Get("plugin-dies", &sandbox).ok() && sandbox.gofer_pid() == 0; }));
  EXPECT_EQ(sandbox.failure(), "plugin killed by signal 9");
  EXPECT_TRUE(Delete("plugin-dies").ok());
}

TEST_F(ServiceTest, TheNextLisafsdFindsTheSandboxes) {
  v1::Sandbox before, after;
  ASSERT_TRUE(Create(Request("web"), &before).ok());
  EXPECT_EQ(StopDaemon(SIGKILL), -1);
  // Half-made and damaged ones are cleared away.
  ASSERT_EQ(mkdir((StateDir() + "/half").c_str(), 0700), 0);
  ASSERT_EQ(mkdir((StateDir() + "/damaged").c_str(), 0700), 0);
  std::ofstream(StateDir() + "/damaged/sandbox.json") << "{\"version\": 1, ";
  std::ofstream(StateDir() + "/damaged/counters") << "short";
  StartDaemon();
  EXPECT_THAT(StateIds(), ElementsAre("web"));
  ASSERT_TRUE(Get("web", &after).ok());
  EXPECT_TRUE(MessageDifferencer::Equals(Lasting(before), Lasting(after))) << after.DebugString();

  // It knows of an adopted process how it ended, and a third one knows too.
  kill(after.gofer_pid(), SIGKILL);
  waitpid(after.gofer_pid(), nullptr, 0);
  std::string failure = AwaitFailure("web");
  EXPECT_THAT(failure, testing::AnyOf("gofer killed by signal 9", "gofer ended before the plugin"));
  EXPECT_EQ(StopDaemon(SIGTERM), 0);
  StartDaemon();
  EXPECT_EQ(AwaitFailure("web"), failure);

  ASSERT_TRUE(Delete("web").ok());
  EXPECT_FALSE(Lives(after.plugin_pid()));
}

TEST_F(ServiceTest, WhatEndsWhileNoLisafsdRunsIsForgotten) {
  v1::Sandbox sandbox;
  ASSERT_TRUE(Create(Request("web"), &sandbox).ok());
  EXPECT_EQ(StopDaemon(SIGTERM), 0);
  EXPECT_TRUE(Lives(sandbox.gofer_pid())) << "a sandbox does not need lisafsd";
  caller_->End();
  EXPECT_TRUE(Eventually([&] { return !Lives(sandbox.gofer_pid()) && !Lives(sandbox.plugin_pid()); }));
  StartDaemon();
  EXPECT_THAT(List(), IsEmpty());
  EXPECT_THAT(StateIds(), IsEmpty());
}

TEST_F(ServiceTest, AnAdoptedSandboxEndsByItself) {
  ASSERT_TRUE(Create(Request("web")).ok());
  EXPECT_EQ(StopDaemon(SIGTERM), 0);
  StartDaemon();
  ASSERT_EQ(List().size(), 1u);
  caller_->End();
  EXPECT_TRUE(Eventually([&] {
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    return List().empty();
  }));
}

TEST_F(ServiceTest, OneLisafsdToAStateDirectory) {
  pid_t second = SpawnDaemon();  // With a log of its own.
  int status;
  ASSERT_EQ(waitpid(second, &status, 0), second);
  EXPECT_EQ(WEXITSTATUS(status), 1);
  EXPECT_THAT(Log(), HasSubstr("lisafsd: cannot serve: state directory: " + StateDir() + ": another lisafsd uses it"));
  EXPECT_THAT(List(), IsEmpty()) << "the first goes on";
}

TEST_F(ServiceTest, TheSocketIsForRootAlone) {
  struct stat stat;
  ASSERT_EQ(::stat(Socket().c_str(), &stat), 0);
  EXPECT_EQ(stat.st_mode & 07777, 0600u);
  // Even if somebody opens it up.
  ASSERT_EQ(chmod(directory_.c_str(), 0755), 0);
  ASSERT_EQ(chmod(Socket().c_str(), 0777), 0);
  pid_t stranger = fork();
  if (stranger == 0) {
    if (setgid(65534) != 0 || setuid(65534) != 0) _exit(2);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", Socket().c_str());
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) _exit(3);
    char byte;
    // A server that talks HTTP/2 would say something first.
    _exit(read(fd, &byte, 1) == 0 ? 0 : 4);
  }
  int status;
  ASSERT_EQ(waitpid(stranger, &status, 0), stranger);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_TRUE(Eventually([&] { return Log().find("of user 65534") != std::string::npos; }));
}

TEST_F(ServiceTest, StatisticsAreChecked) {
  ASSERT_TRUE(Create(Request("web")).ok());
  grpc::ClientContext context;
  v1::GetStatisticsResponse response;
  ASSERT_TRUE(stub_->GetStatistics(&context, {}, &response).ok());
  ASSERT_EQ(response.mounts_size(), 2);
  EXPECT_EQ(response.mounts(0).sandbox_id(), "web");
  EXPECT_EQ(response.mounts(0).target(), "/");
  EXPECT_TRUE(response.mounts(0).data_hidden());
  EXPECT_FALSE(response.mounts(1).data_hidden());

  struct Bad {
    std::string id;
    uint32_t interval;
    StatusCode code;
  };
  for (const Bad& bad : {Bad{"", 99, StatusCode::INVALID_ARGUMENT}, Bad{"", 3'600'001, StatusCode::INVALID_ARGUMENT},
                         Bad{"a/b", 0, StatusCode::INVALID_ARGUMENT}, Bad{"nobody", 0, StatusCode::NOT_FOUND}}) {
    grpc::ClientContext watch_context;
    v1::WatchStatisticsRequest request;
    request.set_sandbox_id(bad.id);
    request.set_interval_milliseconds(bad.interval);
    auto reader = stub_->WatchStatistics(&watch_context, request);
    v1::WatchStatisticsResponse watched;
    EXPECT_FALSE(reader->Read(&watched));
    EXPECT_EQ(reader->Finish().error_code(), bad.code) << bad.id << " " << bad.interval;
  }
}

TEST_F(ServiceTest, AWatchEndsWithItsSandboxOrItsClient) {
  ASSERT_TRUE(Create(Request("web")).ok());
  v1::WatchStatisticsRequest request;
  request.set_sandbox_id("web");
  request.set_interval_milliseconds(100);
  v1::WatchStatisticsResponse response;

  grpc::ClientContext cancelled;
  auto reader = stub_->WatchStatistics(&cancelled, request);
  ASSERT_TRUE(reader->Read(&response));
  ASSERT_TRUE(reader->Read(&response));
  cancelled.TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), StatusCode::CANCELLED);

  grpc::ClientContext context;
  reader = stub_->WatchStatistics(&context, request);
  ASSERT_TRUE(reader->Read(&response));
  ASSERT_TRUE(Delete("web").ok());
  while (reader->Read(&response)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), StatusCode::NOT_FOUND);

  // An open watch does not keep lisafsd from stopping.
  grpc::ClientContext open;
  request.clear_sandbox_id();
  reader = stub_->WatchStatistics(&open, request);
  ASSERT_TRUE(reader->Read(&response));
  kill(daemon_, SIGTERM);
  while (reader->Read(&response)) {
  }
  grpc::Status stopped = reader->Finish();
  EXPECT_EQ(stopped.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_EQ(stopped.error_message(), "lisafsd stops");
  EXPECT_EQ(StopDaemon(SIGTERM), 0);
}

// Calls a method that there is no generated code for here, with a serialized request.
std::string CallRaw(const std::shared_ptr<grpc::Channel>& channel, const std::string& method, std::string request) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  grpc::Slice slice(request);
  auto call = stub.PrepareCall(&context, method, &queue);
  auto await = [&queue] {
    void* tag;
    bool ok = false;
    queue.Next(&tag, &ok);
    return ok;
  };
  call->StartCall(nullptr);
  await();
  call->WriteLast(grpc::ByteBuffer(&slice, 1), {}, nullptr);
  await();
  grpc::ByteBuffer response;
  call->Read(&response, nullptr);
  std::string text;
  if (await()) {
    std::vector<grpc::Slice> slices;
    response.Dump(&slices).ok();
    for (const grpc::Slice& part : slices) text.append(reinterpret_cast<const char*>(part.begin()), part.size());
  }
  context.TryCancel();
  grpc::Status status;
  call->Finish(&status, nullptr);
  await();
  return text;
}

TEST_F(ServiceTest, StockClientsFindItsHealthAndItsDefinition) {
  // HealthCheckResponse{status: SERVING}.
  EXPECT_EQ(CallRaw(channel_, "/grpc.health.v1.Health/Check", ""), "\x08\x01");
  // ServerReflectionRequest{list_services: ""}.
  EXPECT_THAT(
      CallRaw(channel_, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", std::string("\x3a\x00", 2)),
      HasSubstr("lisafs.control.v1.Control"));
}

TEST_F(ServiceTest, ManySandboxesAtOnce) {
  constexpr int kSandboxes = 8;
  std::vector<std::unique_ptr<Caller>> callers;
  for (int i = 0; i < kSandboxes; ++i) {
    std::string place = directory_ + "/caller" + std::to_string(i);
    ASSERT_EQ(mkdir(place.c_str(), 0755), 0);
    callers.push_back(std::make_unique<Caller>(place));
  }
  std::vector<std::thread> threads;
  for (int i = 0; i < kSandboxes; ++i) {
    threads.emplace_back([&, i] {
      v1::CreateSandboxRequest request;
      request.set_id("s" + std::to_string(i));
      request.set_caller_pid(callers[i]->pid());
      v1::MountSpec* mount = request.add_mounts();
      mount->set_target("/");
      mount->set_source(callers[i]->Path("dir"));
      mount->set_mount_point(callers[i]->Path("at_dir"));
      grpc::Status status = Create(request);
      EXPECT_TRUE(status.ok()) << status.error_message();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(List().size(), static_cast<size_t>(kSandboxes));
  // No descriptor of one sandbox is held by another's processes: each ends with its own mounts.
  callers.erase(callers.begin(), callers.begin() + kSandboxes / 2);
  EXPECT_TRUE(Eventually([&] { return List().size() == kSandboxes / 2; })) << List().size();
  callers.clear();
  EXPECT_TRUE(Eventually([&] { return List().empty(); }));
}

}  // namespace
}  // namespace lisafs
