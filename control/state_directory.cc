#include "control/state_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <google/protobuf/util/json_util.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "control/validation.h"
#include "lisafs/counters.h"
#include "lisafs/live_policy.h"
#include "lisafs/plugin_claims.h"
#include "sandbox/trusted_directory.h"

namespace lisafs {
namespace {

constexpr uint32_t kStateVersion = 2;
constexpr char kAddedPrefix[] = "/mount-";
constexpr char kMarkOfRemoval[] = "/removed";
// No state is nearly as long: 64 mounts with three paths each are below 800 KB.
constexpr size_t kMaxStateBytes = 8 << 20;

std::string BootId() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  file >> id;
  return id;
}

absl::Status CheckState(const state::v1::SandboxState& state) {
  const control::v1::Sandbox& sandbox = state.sandbox();
  LISAFS_RETURN_IF_NOT_OK(ValidateSandboxId(sandbox.id()));
  if (sandbox.state() != control::v1::Sandbox::STATE_RUNNING && sandbox.state() != control::v1::Sandbox::STATE_FAILED) {
    return absl::DataLossError("state: neither running nor failed");
  }
  if (sandbox.gofer_pid() < 0 || sandbox.plugin_pid() < 0 || sandbox.broker_pid() < 0)
    return absl::DataLossError("process id: negative");
  if (sandbox.mounts().empty() || static_cast<size_t>(sandbox.mounts_size()) > kMaxMounts) {
    return absl::DataLossError("mounts: none or too many");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Fd> SandboxDirectory::CreateCounters() const {
  Fd file(open((path_ + "/counters").c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  // The page is far too large for the stack, and all but its first fields is zero.
  const struct {
    uint64_t magic = kCountersMagic;
    uint32_t version = kCountersVersion;
    uint32_t padding = 0;
  } header;
  static_assert(sizeof header <= offsetof(CountersPage, mounts));
  if (!file || ftruncate(file.get(), sizeof(CountersPage)) != 0 ||
      pwrite(file.get(), &header, sizeof header, 0) != sizeof header) {
    return ErrnoStatus(errno, path_ + "/counters");
  }
  return file;
}

absl::StatusOr<Fd> SandboxDirectory::OpenCounters() const {
  Fd file(open((path_ + "/counters").c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC));
  if (!file) return ErrnoStatus(errno, path_ + "/counters");
  return file;
}

// Written and not only made large: the plugin would die of a page that there is no space for.
absl::StatusOr<Fd> SandboxDirectory::CreateClaims() const {
  const std::string path = path_ + "/claims";
  Fd file(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  const PluginClaimsPage page;
  if (!file || pwrite(file.get(), &page, sizeof page, 0) != sizeof page) return ErrnoStatus(errno, path);
  return file;
}

absl::StatusOr<Fd> SandboxDirectory::OpenClaims() const {
  Fd file(open((path_ + "/claims").c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!file) return ErrnoStatus(errno, path_ + "/claims");
  return file;
}

absl::StatusOr<Fd> SandboxDirectory::CreatePolicy() const {
  const std::string path = path_ + "/policy";
  Fd file(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  const LivePolicyPage page;
  if (!file || pwrite(file.get(), &page, sizeof page, 0) != sizeof page) return ErrnoStatus(errno, path);
  return file;
}

absl::StatusOr<Fd> SandboxDirectory::OpenPolicy() const {
  const std::string path = path_ + "/policy";
  Fd file(open(path.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC));
  if (!file) return ErrnoStatus(errno, path);
  return file;
}

absl::StatusOr<Fd> SandboxDirectory::OpenPolicyForProgram() const {
  const std::string path = path_ + "/policy";
  Fd file(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!file) return ErrnoStatus(errno, path);
  return file;
}

absl::StatusOr<std::vector<ProgramLog>> SandboxDirectory::OpenLogs() const {
  std::vector<ProgramLog> logs;
  for (const char* name : {"/gofer.log", "/plugin.log", "/broker.log"}) {
    auto log = ProgramLog::Open(path_ + name);
    if (!log.ok()) return log.status();
    logs.push_back(*std::move(log));
  }
  return logs;
}

absl::Status SandboxDirectory::WriteState(state::v1::SandboxState state) const {
  state.set_version(kStateVersion);
  state.set_boot_id(BootId());
  std::string json;
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  if (!google::protobuf::util::MessageToJsonString(state, &json, options).ok()) {
    return absl::InternalError("state cannot be written as JSON");
  }
  std::string path = path_ + "/sandbox.json", temporary = path + ".new";
  std::ofstream file(temporary, std::ios::trunc);
  file << json;
  file.close();
  if (!file || rename(temporary.c_str(), path.c_str()) != 0) return ErrnoStatus(errno, path);
  return absl::OkStatus();
}

absl::StatusOr<state::v1::SandboxState> SandboxDirectory::ReadState() const {
  std::string path = path_ + "/sandbox.json";
  std::ifstream file(path);
  if (!file) return ErrnoStatus(errno, path);
  std::string json(kMaxStateBytes, 0);
  file.read(json.data(), static_cast<std::streamsize>(json.size()));
  json.resize(file.gcount());

  // A later version's fields would be errors before its version could be looked at.
  state::v1::SandboxState state;
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  auto parsed = google::protobuf::util::JsonStringToMessage(json, &state, options);
  if (!parsed.ok()) return absl::DataLossError(absl::StrCat(path, ": ", std::string(parsed.message())));
  if (state.version() != kStateVersion) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": version ", state.version(), " is not understood"));
  }
  if (state.boot_id() != BootId()) {
    return absl::FailedPreconditionError(path + ": from before the machine's last start");
  }
  if (absl::Status status = CheckState(state); !status.ok()) {
    return absl::DataLossError(absl::StrCat(path, ": ", status.message()));
  }
  return state;
}

absl::StatusOr<SandboxDirectory::ContainerProcess> SandboxDirectory::ReadContainer() const {
  std::ifstream file(ContainerFile());
  if (!file) return absl::FailedPreconditionError("its container is not there yet, or was not made by lisafs-runtime");
  ContainerProcess process;
  if (!(file >> process.pid >> process.start_time) || process.pid <= 0) {
    return absl::DataLossError(ContainerFile() + ": no process");
  }
  return process;
}

SandboxDirectory SandboxDirectory::Added(uint32_t number) const {
  return SandboxDirectory(absl::StrCat(path_, kAddedPrefix, number));
}

absl::StatusOr<SandboxDirectory> SandboxDirectory::CreateAdded(uint32_t number) const {
  SandboxDirectory added = Added(number);
  if (mkdir(added.path_.c_str(), 0700) != 0) return ErrnoStatus(errno, added.path_);
  return added;
}

std::vector<uint32_t> SandboxDirectory::AddedNumbers() const {
  std::vector<uint32_t> numbers;
  std::error_code error;
  const std::string prefix = kAddedPrefix + 1;
  for (std::filesystem::directory_iterator entries(path_, error), end; !error && entries != end;
       entries.increment(error)) {
    const std::string name = entries->path().filename();
    uint32_t number;
    if (name.starts_with(prefix) && absl::SimpleAtoi(name.substr(prefix.size()), &number)) numbers.push_back(number);
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

absl::Status SandboxDirectory::MarkRemoved() const {
  if (!Fd(open((path_ + kMarkOfRemoval).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600))) {
    return ErrnoStatus(errno, path_ + kMarkOfRemoval);
  }
  return absl::OkStatus();
}

absl::Status SandboxDirectory::UnmarkRemoved() const {
  if (unlink((path_ + kMarkOfRemoval).c_str()) != 0) return ErrnoStatus(errno, path_ + kMarkOfRemoval);
  return absl::OkStatus();
}

bool SandboxDirectory::IsMarkedRemoved() const { return access((path_ + kMarkOfRemoval).c_str(), F_OK) == 0; }

// What says that it goes is the last to go.
absl::Status SandboxDirectory::Remove() const {
  for (uint32_t number : AddedNumbers()) LISAFS_RETURN_IF_NOT_OK(Added(number).Remove());
  // By name, so that a state directory that is something else by mistake loses nothing.
  for (const char* name :
       {"sandbox.json", "sandbox.json.new", "counters", "claims", "policy", "container", "container.new", "gofer.log",
        "gofer.log.fifo", "plugin.log", "plugin.log.fifo", "broker.log", "broker.log.fifo", kMarkOfRemoval + 1}) {
    if (unlink((path_ + "/" + name).c_str()) != 0 && errno != ENOENT) return ErrnoStatus(errno, path_ + "/" + name);
  }
  if (rmdir(path_.c_str()) != 0) return ErrnoStatus(errno, path_);
  return absl::OkStatus();
}

absl::StatusOr<StateDirectory> StateDirectory::Open(const std::string& path) {
  std::error_code error;
  if (std::filesystem::path parent = std::filesystem::path(path).parent_path(); !parent.empty()) {
    std::filesystem::create_directories(parent, error);
    if (error) return ErrnoStatus(error.value(), parent);
  }
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return ErrnoStatus(errno, path);
  LISAFS_RETURN_IF_NOT_OK(CheckTrustedDirectory(path));
  Fd lock(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock) return ErrnoStatus(errno, path);
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return absl::FailedPreconditionError(path + ": another lisafsd uses it");
    return ErrnoStatus(errno, path);
  }
  return StateDirectory(path, std::move(lock));
}

absl::StatusOr<std::vector<std::string>> StateDirectory::Ids() const {
  std::error_code error;
  std::vector<std::string> ids;
  std::filesystem::directory_iterator entries(path_, error), end;
  for (; !error && entries != end; entries.increment(error)) {
    if (entries->is_directory()) ids.push_back(entries->path().filename());
  }
  if (error) return ErrnoStatus(error.value(), path_);
  std::sort(ids.begin(), ids.end());
  return ids;
}

absl::StatusOr<SandboxDirectory> StateDirectory::Create(const std::string& id) const {
  std::string path = path_ + "/" + id;
  if (mkdir(path.c_str(), 0700) != 0) return ErrnoStatus(errno, path);
  return SandboxDirectory(path);
}

}  // namespace lisafs
