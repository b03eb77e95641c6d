#include "sandbox/runsc_gofer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/fd.h"
#include "base/program.h"
#include "base/result.h"
#include "base/status.h"
#include "sandbox/control_client.h"
#include "sandbox/low_level_runtime.h"
#include "sandbox/mount_request.h"
#include "sandbox/oci/config.h"
#include "sandbox/oci/mount_points.h"
#include "sandbox/oci/source.h"
#include "sandbox/runsc_gofer_arguments.h"
#include "sandbox/runsc_paths.h"
#include "sandbox/runtime_arguments.h"
#include "sandbox/runtime_report.h"

namespace lisafs {
namespace {

using control::v1::CreateSandboxRequest;

// This process and the one that started it, runsc, in the numbering of /proc, which is the host's and lisafsd's: runsc
// gave its gofer a pid namespace of its own. 0 if /proc cannot be read.
struct Pids {
  pid_t self = 0;
  pid_t runsc = 0;
};

Pids ReadPids() {
  Pids pids;
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word == "Pid:") status >> pids.self;
    if (word == "PPid:") status >> pids.runsc;
  }
  return pids;
}

// runsc gives its gofer nothing to complain to. Its own stderr is where an engine reads why something failed. (With
// directfs the gofer is in a user namespace from which it cannot be reached: then only the engine's log says it.)
void BorrowStderr(pid_t parent) {
  Fd stderr_of_parent(
      open(absl::StrCat("/proc/", parent, "/fd/2").c_str(), O_WRONLY | O_APPEND | O_NOCTTY | O_CLOEXEC));
  if (stderr_of_parent) dup2(stderr_of_parent.get(), STDERR_FILENO);
}

std::string Link(const std::string& path) {
  char text[PATH_MAX];
  ssize_t length = readlink(path.c_str(), text, sizeof text);
  return std::string(text, length < 0 ? 0 : static_cast<size_t>(length));
}

bool MapsToItself(const char* path) {
  std::ifstream map(path);
  uint64_t inside, outside, count;
  bool any = false;
  while (map >> inside >> outside >> count) {
    if (inside != outside) return false;
    any = true;
  }
  return any;
}

// Whether ids mean here what they mean to runsc and to lisafsd: the user namespace is runsc's own, or, which it makes
// for directfs, a new one that maps every id to itself.
bool HasHostsIds() {
  if (Link("/proc/self/ns/user") == Link(kRunscUserNamespace)) return true;
  return MapsToItself("/proc/self/uid_map") && MapsToItself("/proc/self/gid_map");
}

// lisafs-runtime's arguments, as it left them.
tl::expected<RuntimeArguments, std::string> ReadRuntimeArguments() {
  std::ifstream file(kRunscArguments);
  std::vector<std::string> arguments;
  for (std::string argument; std::getline(file, argument, '\0');) arguments.push_back(argument);
  std::vector<const char*> argv;
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  return ParseRuntimeArguments(argv);
}

absl::StatusOr<OciConfig> ReadConfig(const RunscGoferArguments& arguments) {
  std::string path = absl::StrCat("/proc/self/fd/", arguments.spec_fd);
  absl::StatusOr<OciConfig> config = OciConfig::Read(path, arguments.bundle);
  if (!config.ok())
    return absl::Status(config.status().code(), absl::StrCat("config.json: ", config.status().message()));
  return config;
}

// Options by which the sentry treats a mount on this file system as runsc's own gofer would have it treated.
std::vector<std::string> FileSystemOptions(const std::string& source, bool older) {
  struct statfs system;
  if (statfs(source.c_str(), &system) != 0) return {};
  if (system.f_type == OVERLAYFS_SUPER_MAGIC) return {"overlayfs_stale_read"};
  if (!older && (system.f_type == NFS_SUPER_MAGIC || system.f_type == FUSE_SUPER_MAGIC)) {
    return {"disable_file_handle_sharing"};
  }
  return {};
}

class StandIn {
 public:
  StandIn(const RuntimeArguments& runtime, const RunscGoferArguments& gofer, OciConfig config)
      : runtime_(runtime), gofer_(gofer), config_(std::move(config)) {}

  // The recipe. Gives what becomes readable, as at its end, when the gofer is gone.
  absl::StatusOr<Fd> Run(const Pids& pids) {
    if (absl::Status supported = CheckSupported(); !supported.ok()) return supported;
    if (absl::Status added = AddMounts(); !added.ok()) return added;
    if (absl::Status made = MakeMountPoints(); !made.ok()) return made;
    absl::StatusOr<Fd> lifeline = CreateSandbox(pids);
    if (!lifeline.ok()) return lifeline;
    // They are the gofer's now; held here, too, they would outlive it, and the sentry would wait for answers for ever.
    for (int fd : gofer_.connections) close(fd);
    if (absl::Status told = TellMounts(); !told.ok()) return told;
    return lifeline;
  }

 private:
  bool older() const { return gofer_.mounts.empty(); }

  absl::Status CheckSupported() {
    if (!gofer_.unsupported.empty()) return absl::UnimplementedError(gofer_.unsupported);
    if (!HasHostsIds()) {
      return absl::UnimplementedError("the container's user namespace maps ids, which cannot be had with runsc");
    }
    return absl::OkStatus();
  }

  // Puts the root and the bind mounts that the gofer is to serve into the request.
  absl::Status AddMounts() {
    size_t next = 0;
    auto conf = [&]() -> absl::StatusOr<RunscGoferArguments::Mount> {
      size_t i = next++;
      if (older()) return i == 0 ? gofer_.older_root : gofer_.older_mount;
      if (i >= gofer_.mounts.size()) return absl::InternalError("--gofer-mount-confs: too short for config.json");
      return gofer_.mounts[i];
    };
    if (absl::Status added = AddMount(config_.root(), conf()); !added.ok()) return added;
    if (sources_.empty()) return absl::UnimplementedError("root.path: only files of the host can be served");
    for (size_t i = 0; i < config_.mounts().size(); ++i) {
      if (!config_.mounts()[i].bind) continue;
      size_t before = sources_.size();
      if (absl::Status added = AddMount(config_.mounts()[i], conf()); !added.ok()) return added;
      if (sources_.size() > before) served_.push_back(i);
    }
    if (static_cast<size_t>(request_.mounts_size()) != gofer_.connections.size()) {
      return absl::InternalError("--io-fds: not one for each mount");
    }
    return absl::OkStatus();
  }

  absl::Status AddMount(const OciMount& mount, const absl::StatusOr<RunscGoferArguments::Mount>& conf) {
    if (!conf.ok()) return conf.status();
    if (!conf->served) return absl::OkStatus();
    absl::StatusOr<OciSource> source = InspectSource(mount);
    if (!source.ok()) return source.status();
    control::v1::MountSpec& spec = AddMountSpec(mount, *source, request_);
    if (conf->overlaid) spec.set_read_only(true);
    spec.set_donate_mount_point(gofer_.directfs);
    spec.set_open_host_sockets(gofer_.open_sockets);
    spec.set_create_host_sockets(gofer_.create_sockets && !spec.read_only());
    spec.set_open_host_fifos(gofer_.open_fifos);
    sources_.push_back(*source);
    return absl::OkStatus();
  }

  // Makes the mount points that are missing in the root, and mounts in a copy of it what is to be found below others: a
  // path's symbolic links may lead through an earlier mount.
  absl::Status MakeMountPoints() {
    if (mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) return ErrnoStatus(errno, "mount namespace");
    const std::string& root = config_.root().source;
    if (mount(root.c_str(), kRunscScratch, nullptr, MS_BIND | MS_REC, nullptr) != 0) return ErrnoStatus(errno, root);
    absl::Cleanup unmount = [] { umount2(kRunscScratch, MNT_DETACH); };
    if (mount(nullptr, kRunscScratch, nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return ErrnoStatus(errno, root);

    for (size_t i = 0; i < served_.size(); ++i) {
      const OciMount& bind = config_.mounts()[served_[i]];
      // The root's source comes first.
      auto point = MakeMountPoint(kRunscScratch, {bind.target, sources_[i + 1].directory});
      if (!point.ok()) return point.status();
      std::string place = absl::StrCat("/proc/self/fd/", point->fd.get());
      if (mount(bind.source.c_str(), place.c_str(), nullptr, MS_BIND | MS_REC, nullptr) != 0) {
        return ErrnoStatus(errno, absl::StrCat("mount ", bind.target, ": source ", bind.source));
      }
      resolved_.push_back({served_[i], point->path, FileSystemOptions(bind.source, older())});
    }
    // As the older vintage's gofer does; the newer one's sentry does it itself.
    if (older() && !config_.working_directory().empty()) {
      auto made = MakeMountPoint(kRunscScratch, {config_.working_directory(), true});
      if (!made.ok()) return made.status();
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Fd> CreateSandbox(const Pids& pids) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe");
    Fd lifeline(ends[0]), lent(ends[1]);
    request_.set_id(runtime_.id);
    // In runsc's mount namespace: mounts that came into one of another user namespace are in part locked together.
    request_.set_caller_pid(pids.runsc);
    request_.mutable_client()->set_pid(pids.self);
    for (int fd : gofer_.connections) request_.mutable_client()->add_connection_fds(fd);
    request_.mutable_client()->set_lifeline_fd(lent.get());
    auto created = ControlClient(runtime_.socket).CreateSandbox(request_);
    if (!created.ok()) return created.status();
    return lifeline;
  }

  // Only now, so that a sentry starts with a gofer or not at all.
  absl::Status TellMounts() {
    Fd mounts(gofer_.mounts_fd);
    std::string text = config_.ResolvedMounts(resolved_);
    for (size_t written = 0; written < text.size();) {
      ssize_t count = write(mounts.get(), text.data() + written, text.size() - written);
      if (count < 0) return ErrnoStatus(errno, "--mounts-fd");
      written += static_cast<size_t>(count);
    }
    return absl::OkStatus();
  }

  const RuntimeArguments& runtime_;
  const RunscGoferArguments& gofer_;
  const OciConfig config_;
  CreateSandboxRequest request_;
  std::vector<size_t> served_;      // Which of config_.mounts() are in the request, behind the root.
  std::vector<OciSource> sources_;  // Of the request's mounts.
  std::vector<OciConfig::Resolved> resolved_;
};

// Becomes a process that does nothing but to end with the gofer. It holds nothing of others: an engine may be waiting
// for the end of what it reads from runsc.
Errno AwaitEnd(Fd lifeline, int pin_ring_fd) {
  Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null || dup2(null.get(), STDERR_FILENO) < 0 || chdir("/") != 0) return Errno::Last();
  if (close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) != 0) return Errno::Last();
  // So that the sentry is not the last to hold what is slow to let go of.
  if (pin_ring_fd >= 0) fcntl(pin_ring_fd, F_SETFD, 0);
  int kept = dup(lifeline.get());
  Exec(SiblingProgram(kRunscLoader), {kRunscLoader, "--until-closed", std::to_string(kept)});
  return Errno::Last();
}

}  // namespace

void StandInForRunscGofer(std::span<const char* const> argv) {
  Pids pids = ReadPids();
  BorrowStderr(pids.runsc);
  auto runtime = ReadRuntimeArguments();
  if (!runtime) return PrintError(kRunscArguments, runtime.error());
  std::string what = absl::StrCat(runtime->command, " ", runtime->id);
  auto gofer = ParseRunscGoferArguments(argv);
  if (!gofer) return ReportError(*runtime, what, "runsc's gofer: " + gofer.error());
  absl::StatusOr<OciConfig> config = ReadConfig(*gofer);
  if (!config.ok()) return ReportError(*runtime, what, std::string(config.status().message()));

  absl::StatusOr<Fd> lifeline = StandIn(*runtime, *gofer, *std::move(config)).Run(pids);
  if (!lifeline.ok()) return ReportError(*runtime, what, std::string(lifeline.status().message()));
  Errno error = AwaitEnd(*std::move(lifeline), gofer->pin_ring_fd);
  ReportError(*runtime, what, absl::StrCat(kRunscLoader, ": ", error.ToString()));
}

}  // namespace lisafs
