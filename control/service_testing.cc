#include "control/service_testing.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "base/fd.h"

namespace lisafs {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using testing::IsEmpty;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

bool Eventually(const std::function<bool()>& holds, milliseconds patience) {
  for (auto end = steady_clock::now() + patience; steady_clock::now() < end;) {
    if (holds()) return true;
    std::this_thread::sleep_for(milliseconds(10));
  }
  return false;
}

int FreePort() {
  // Below those that the kernel gives to whoever asks for any, so that nobody else is given it meanwhile.
  std::random_device random;
  while (true) {
    const auto port = static_cast<uint16_t>(10'000 + random() % 20'000);
    Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return port;
  }
}

bool Lives(pid_t pid) {
  std::string stat = ReadFile("/proc/" + std::to_string(pid) + "/stat");
  size_t name_end = stat.rfind(')');
  return name_end != std::string::npos && stat.compare(name_end, 4, ") Z ") != 0;
}

v1::Sandbox Lasting(v1::Sandbox sandbox) {
  for (v1::Mount& mount : *sandbox.mutable_mounts()) {
    mount.clear_control_fds();
    mount.clear_open_fds();
    mount.clear_channels();
  }
  return sandbox;
}

Caller::Caller(std::string directory) : directory_(std::move(directory)) {
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

void Caller::End() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

int Caller::FuseMounts() const {
  std::string mounts = ReadFile("/proc/" + std::to_string(pid_) + "/mountinfo");
  int count = 0;
  for (size_t at = 0; (at = mounts.find(" - fuse.lisafs ", at)) != std::string::npos; ++at) ++count;
  return count;
}

void ServiceTest::SetUp() {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to mount";
  // Sandboxes whose lisafsd is gone become children of this process, so that they do not stay as zombies.
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  char name[] = "/tmp/lisafsd-test.XXXXXX";
  directory_ = mkdtemp(name);
  ASSERT_EQ(mkdir((directory_ + "/caller").c_str(), 0755), 0);
  caller_ = std::make_unique<Caller>(directory_ + "/caller");
  Configure("");
  StartDaemon();
}

void ServiceTest::TearDown() {
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

std::string ServiceTest::Program(const std::string& role) {
  std::string path = directory_ + "/" + role;
  const char* real = role == "gofer"    ? getenv("GOFER")
                     : role == "plugin" ? getenv("PLUGIN")
                     : role == "broker" ? getenv("BROKER")
                                        : nullptr;
  std::filesystem::path target = std::filesystem::absolute(real != nullptr ? real : "sandbox/stand_in");
  if (!std::filesystem::exists(path)) std::filesystem::create_symlink(target, path);
  return path;
}

int ServiceTest::MetricsPort() {
  const std::string log = Log(), before = "metrics on http://127.0.0.1:";
  const size_t at = log.find(before);
  return at == std::string::npos ? 0 : std::stoi(log.substr(at + before.size()));
}

pid_t ServiceTest::SpawnDaemon(const std::string& gofer, const std::string& plugin, const std::string& broker) {
  std::filesystem::remove(directory_ + "/log");
  std::vector<std::string> arguments = {std::filesystem::absolute("control/lisafsd"),
                                        "--socket=" + Socket(),
                                        "--state-dir=" + StateDir(),
                                        "--gofer=" + Program(gofer),
                                        "--plugin=" + Program(plugin),
                                        "--broker=" + Program(broker),
                                        "--config=" + directory_ + "/lisafsd.toml"};
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

void ServiceTest::StartDaemon(const std::string& gofer, const std::string& plugin, const std::string& broker) {
  daemon_ = SpawnDaemon(gofer, plugin, broker);
  // A client that comes too early waits a second before it tries again.
  ASSERT_TRUE(Eventually([&] { return Log().find("listening") != std::string::npos; })) << Log();
  channel_ = grpc::CreateChannel("unix:" + Socket(), grpc::InsecureChannelCredentials());
  ASSERT_TRUE(channel_->WaitForConnected(std::chrono::system_clock::now() + seconds(60))) << Log();
  stub_ = v1::Control::NewStub(channel_);
}

void ServiceTest::Configure(const std::string& toml) {
  // Other tests on this machine have sandboxes of the same names, and cgroups are the machine's.
  std::ofstream(directory_ + "/lisafsd.toml") << toml << "\n[cgroup]\nenabled = false\n";
}

int ServiceTest::StopDaemon(int signal) {
  // lisafsd waits a while for clients that are connected.
  stub_ = nullptr;
  channel_ = nullptr;
  kill(daemon_, signal);
  int status;
  waitpid(daemon_, &status, 0);
  daemon_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

v1::CreateSandboxRequest ServiceTest::Request(const std::string& id) {
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

void ServiceTest::RenewCaller() {
  caller_ = nullptr;
  caller_ = std::make_unique<Caller>(directory_ + "/caller");
}

grpc::Status ServiceTest::Create(const v1::CreateSandboxRequest& request, v1::Sandbox* sandbox) {
  grpc::ClientContext context;
  v1::CreateSandboxResponse response;
  grpc::Status status = stub_->CreateSandbox(&context, request, &response);
  if (sandbox != nullptr) *sandbox = response.sandbox();
  return status;
}

grpc::Status ServiceTest::Get(const std::string& id, v1::Sandbox* sandbox) {
  grpc::ClientContext context;
  v1::GetSandboxRequest request;
  request.set_id(id);
  v1::GetSandboxResponse response;
  grpc::Status status = stub_->GetSandbox(&context, request, &response);
  *sandbox = response.sandbox();
  return status;
}

grpc::Status ServiceTest::Delete(const std::string& id) {
  grpc::ClientContext context;
  v1::DeleteSandboxRequest request;
  request.set_id(id);
  v1::DeleteSandboxResponse response;
  return stub_->DeleteSandbox(&context, request, &response);
}

grpc::Status ServiceTest::Update(const v1::UpdateMountRequest& request, v1::Mount* mount) {
  grpc::ClientContext context;
  v1::UpdateMountResponse response;
  grpc::Status status = stub_->UpdateMount(&context, request, &response);
  if (mount != nullptr) *mount = response.mount();
  return status;
}

std::vector<v1::Sandbox> ServiceTest::List() {
  grpc::ClientContext context;
  v1::ListSandboxesResponse response;
  EXPECT_TRUE(stub_->ListSandboxes(&context, {}, &response).ok());
  return {response.sandboxes().begin(), response.sandboxes().end()};
}

std::vector<std::string> ServiceTest::StateIds() {
  std::vector<std::string> ids;
  for (const auto& entry : std::filesystem::directory_iterator(StateDir())) ids.push_back(entry.path().filename());
  return ids;
}

std::string ServiceTest::AwaitFailure(const std::string& id) {
  v1::Sandbox sandbox;
  EXPECT_TRUE(Eventually([&] { return Get(id, &sandbox).ok() && sandbox.state() == v1::Sandbox::STATE_FAILED; }));
  return sandbox.failure();
}

void ServiceTest::ExpectNothingLeft() {
  EXPECT_THAT(List(), IsEmpty());
  EXPECT_THAT(StateIds(), IsEmpty());
  EXPECT_EQ(caller_->FuseMounts(), 0);
  // lisafsd has no children.
  std::string task = "/proc/" + std::to_string(daemon_) + "/task";
  for (const auto& thread : std::filesystem::directory_iterator(task)) {
    EXPECT_EQ(ReadFile(thread.path() / "children"), "");
  }
}

}  // namespace lisafs
