#include "tests/containers/host.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <utility>

namespace lisafs::tests {
namespace {

using Json = nlohmann::json;
using std::chrono::seconds;

constexpr const char* kPrograms[] = {
    "broker/lisafs-broker", "control/lisafsctl",    "control/lisafsd",        "gofer/lisafs-gofer",
    "plugin/lisafs-plugin", "sandbox/lisafs-runsc", "sandbox/lisafs-runtime", "sandbox/lisafs-runtime-sandbox",
    "waker/lisafs-waker",
};

// The project's programs look for each other beside themselves, and Bazel leaves each in its room.
class ProgramDirectory {
 public:
  static const std::string& Get() {
    static const ProgramDirectory programs;
    return programs.dir_.path();
  }

 private:
  ProgramDirectory() {
    for (const char* program : kPrograms) {
      std::error_code error;
      std::filesystem::path source = DataFile(program);
      std::filesystem::copy_file(source, dir_ / source.filename().string(), error);
      EXPECT_FALSE(error) << source << ": " << error.message();
    }
  }
  TempDir dir_;
};

template <typename T>
std::string Lines(const std::vector<T>& items) {
  std::ostringstream text;
  for (const T& item : items) text << "\n  " << item;
  return text.str();
}

// Cgroups, in any hierarchy, whose name begins so.
std::vector<std::string> Cgroups(const std::string& prefix) {
  std::vector<std::string> found;
  std::error_code error;
  auto skip = std::filesystem::directory_options::skip_permission_denied;
  for (std::filesystem::recursive_directory_iterator entry("/sys/fs/cgroup", skip, error), end; entry != end;
       entry.increment(error)) {
    if (entry->path().filename().string().starts_with(prefix)) found.push_back(entry->path());
  }
  return found;
}

}  // namespace

std::optional<std::string> Host::PlainRuntime() {
  const char* runtime = getenv("LISAFS_TEST_RUNTIME");
  if (runtime == nullptr || *runtime == '\0') return std::nullopt;
  return runtime;
}

std::string Host::Program(std::string_view name) { return ProgramDirectory::Get() + "/" + std::string(name); }

void Host::SetUp() {
  if (geteuid() != 0) GTEST_SKIP() << "needs root: it runs containers";
  MakeDirectory(state_dir(), 0700);
  mounts_before_ = MountInfo();
  if (!PlainRuntime()) StartDaemon();
}

void Host::TearDown() {
  if (IsSkipped()) return;
  if (daemon_) {
    Json left;
    EXPECT_TRUE(Eventually(kPatience, [&] { return (left = Sandboxes()).empty(); })) << left.dump(2);
    daemon_->Signal(SIGTERM);
    Ran ended = daemon_->Wait();
    EXPECT_EQ(ended.status, 0) << "lisafsd: " << ended;
    if (HasFailure()) std::cerr << "lisafsd's log:\n" << ended.err;
  }
  for (const auto& entry : std::filesystem::directory_iterator(state_dir())) {
    EXPECT_FALSE(entry.is_directory()) << "left in the state directory: " << entry.path();
  }

  std::vector<Descendant> processes;
  EXPECT_TRUE(Eventually(kPatience, [&] { return (processes = Descendants()).empty(); }))
      << "left running:" << Lines(processes);
  for (const Descendant& process : processes) kill(process.pid, SIGKILL);

  std::vector<std::string> left;
  for (const std::string& mount : MountInfo()) {
    // A root under an overlay is the test's own doing.
    if (std::find(mounts_before_.begin(), mounts_before_.end(), mount) != mounts_before_.end()) continue;
    if (mount.find("fuse") != std::string::npos || mount.find("/run/lisafs") != std::string::npos)
      left.push_back(mount);
  }
  EXPECT_TRUE(left.empty()) << "left mounted:" << Lines(left);

  std::vector<std::string> cgroups;
  EXPECT_TRUE(Eventually(kPatience, [&] { return (cgroups = Cgroups(Id(""))).empty(); }))
      << "cgroups left:" << Lines(cgroups);
}

void Host::StartDaemon(const std::vector<std::string>& flags) {
  ASSERT_FALSE(daemon_);
  std::vector<std::string> command = {Program("lisafsd"), "--socket", socket(), "--state-dir", state_dir()};
  command.insert(command.end(), flags.begin(), flags.end());
  daemon_.emplace(command, RunOptions{});
  ASSERT_TRUE(Eventually(kPatience, [&] { return Control({"sandboxes"}).ok(); })) << daemon_->err();
}

void Host::KillDaemon() {
  ASSERT_TRUE(daemon_);
  daemon_->Signal(SIGKILL);
  EXPECT_EQ(daemon_->Wait().status, 128 + SIGKILL);
  daemon_.reset();
}

std::vector<pid_t> Host::Daemons() {
  std::vector<pid_t> found;
  for (const Descendant& descendant : Descendants()) {
    if (descendant.name == "lisafsd") found.push_back(descendant.pid);
  }
  return found;
}

void Host::StopDaemons() {
  for (pid_t pid : Daemons()) kill(pid, SIGTERM);
  EXPECT_TRUE(Eventually(kPatience, [] { return Daemons().empty(); }));
}

std::string Host::Id(std::string_view name) const {
  return "lisafs-test-" + std::to_string(getpid()) + "-" + std::string(name);
}

Bundle Host::BusyboxBundle(std::string_view name) const {
  Bundle bundle(Path(name));
  MakeBusyboxRoot(bundle.rootfs());
  return bundle;
}

Bundle Host::DebianBundle(std::string_view name) const {
  Bundle bundle(Path(name));
  std::string upper = bundle.path() + "/upper", work = bundle.path() + "/work";
  MakeDirectory(upper);
  MakeDirectory(work);
  std::string options = "lowerdir=" + DebianRoot() + ",upperdir=" + upper + ",workdir=" + work;
  EXPECT_EQ(mount("overlay", bundle.rootfs().c_str(), "overlay", 0, options.c_str()), 0)
      << options << ": " << strerror(errno);
  return bundle;
}

std::vector<std::string> Host::RuntimeCommand(const std::vector<std::string>& arguments) const {
  std::vector<std::string> argv;
  if (auto plain = PlainRuntime()) {
    argv = {*plain};
  } else {
    argv = {Program("lisafs-runtime"), "--lisafsd", socket()};
  }
  argv.insert(argv.end(), {"--root", Path("runc")});
  argv.insert(argv.end(), runtime_flags_.begin(), runtime_flags_.end());
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return argv;
}

Ran Host::Runtime(const std::vector<std::string>& arguments, const RunOptions& options) const {
  return RunProgram(RuntimeCommand(arguments), options);
}

Ran Host::RunContainer(const Bundle& bundle, const std::string& id, const RunOptions& options) const {
  bundle.Write();
  return Runtime({"run", "--bundle", bundle.path(), id}, options);
}

Ran Host::Control(const std::vector<std::string>& arguments) const {
  std::vector<std::string> argv = {Program("lisafsctl"), "--socket", socket()};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return RunProgram(argv);
}

Json Host::Sandboxes() const {
  Ran ran = Control({"--json", "sandboxes"});
  EXPECT_TRUE(ran.ok()) << ran;
  Json parsed = Json::parse(ran.out, nullptr, /*allow_exceptions=*/false);
  EXPECT_TRUE(parsed.is_object()) << ran.out;
  return parsed.is_object() ? parsed.value("sandboxes", Json::array()) : Json::array();
}

Json Host::Sandbox(const std::string& id) const {
  for (const Json& sandbox : Sandboxes()) {
    if (sandbox.value("id", "") == id) return sandbox;
  }
  return nullptr;
}

Container::Container(const Host& host, const Bundle& bundle, std::string id)
    : host_(host), id_(std::move(id)), process_([&] {
        bundle.Write();
        std::string pid_file = bundle.path() + "/pid";
        return Process(host.RuntimeCommand({"run", "--detach", "--bundle", bundle.path(), "--pid-file", pid_file, id_}),
                       {});
      }()) {
  Ran ran = process_.Wait();
  EXPECT_TRUE(ran.ok()) << "start of " << id_ << ": " << ran;
  if (ran.ok()) pid_ = std::stoi(ReadFile(bundle.path() + "/pid").value_or("-1"));
}

Container::~Container() {
  if (!deleted_) {
    Ran ran = host_.Runtime({"delete", "--force", id_});
    EXPECT_TRUE(ran.ok()) << "delete --force " << id_ << ": " << ran;
  }
}

Ran Container::Exec(const std::string& script, const RunOptions& options) const {
  return ExecCommand({"/bin/sh", "-c", script}, options);
}

Ran Container::ExecCommand(const std::vector<std::string>& command, const RunOptions& options) const {
  std::vector<std::string> arguments = {"exec", id_};
  arguments.insert(arguments.end(), command.begin(), command.end());
  return host_.Runtime(arguments, options);
}

std::string Container::Status() const {
  Ran ran = host_.Runtime({"state", id_});
  Json state = Json::parse(ran.out, nullptr, /*allow_exceptions=*/false);
  return state.is_object() ? state.value("status", "") : "";
}

Ran Container::Delete() {
  Ran ran = host_.Runtime({"delete", "--force", id_});
  deleted_ = ran.ok();
  return ran;
}

std::string DebianRoot() {
  Ran ran =
      RunProgram({"bash", DataFile("tests/containers/make_debian_root.sh")}, {.timeout = std::chrono::minutes(10)});
  EXPECT_TRUE(ran.ok()) << ran;
  return ran.out.substr(0, ran.out.find('\n'));
}

}  // namespace lisafs::tests
