#include "tests/filesystem/mounted_directory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>

#include "base/fd.h"
#include "sandbox/detached_tree.h"
#include "sandbox/fuse_mount.h"
#include "sandbox/launcher.h"

namespace lisafs::tests {
namespace {

std::optional<Process> Start(Command command, const std::string& log_path) {
  auto log = ProgramLog::Create(log_path);
  if (!log.ok()) {
    ADD_FAILURE() << log.status();
    return std::nullopt;
  }
  auto launch = Launch::Spawn(std::move(command), *log);
  if (!launch.ok()) {
    ADD_FAILURE() << launch.status();
    return std::nullopt;
  }
  auto ready = launch->AwaitReady(std::chrono::steady_clock::now() + kPatience, [] { return false; });
  if (!ready.ok()) {
    ADD_FAILURE() << ready.status();
    return std::nullopt;
  }
  return std::move(*ready);
}

// With LISAFS_TEST_IO_URING, has the kernel offer FUSE over io_uring until this process ends; other mounts that are
// made meanwhile do not ask for it. Several tests may be at it at once: the last one puts the switch back.
class IoUringSwitch {
 public:
  IoUringSwitch() : lock_(open("/run/lock/lisafs-test-io-uring", O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    if (flock(lock_.get(), LOCK_EX | LOCK_NB) == 0) {
      const std::string before = ReadFile(kSwitch).value_or("N");
      EXPECT_EQ(pwrite(lock_.get(), before.data(), 1, 0), 1);
    }
    flock(lock_.get(), LOCK_SH);
    std::ofstream(kSwitch) << "Y" << std::flush;
  }
  ~IoUringSwitch() {
    char before = 'N';
    if (flock(lock_.get(), LOCK_EX | LOCK_NB) == 0 && pread(lock_.get(), &before, 1, 0) == 1) {
      std::ofstream(kSwitch) << before << std::flush;
    }
  }
  bool on() const { return ReadFile(kSwitch).value_or("") == "Y\n"; }

 private:
  static constexpr char kSwitch[] = "/sys/module/fuse/parameters/enable_uring";
  const Fd lock_;
};

// A file that holds a new `Page`, which the programs map as well.
template <typename Page>
Fd MakePage(const char* name, Page*& page) {
  Fd file(memfd_create(name, MFD_CLOEXEC));
  EXPECT_EQ(ftruncate(file.get(), sizeof(Page)), 0);
  void* mapped = mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  EXPECT_NE(mapped, MAP_FAILED);
  page = static_cast<Page*>(mapped);
  return file;
}

bool SwitchOnIoUring() {
  if (getenv("LISAFS_TEST_IO_URING") == nullptr) return false;
  static const IoUringSwitch io_uring;
  return io_uring.on();
}

}  // namespace

MountedDirectory::MountedDirectory(const Options& options)
    : host_(options.host.empty() ? directory_ / "host" : options.host) {
  if (options.host.empty()) MakeDirectory(host_);
  MountOverlays(options.overlays);
  if (options.single_file) {
    WriteFile(host_ + "/file", "content");
    WriteFile(mounted_, "");
  } else {
    MakeDirectory(mounted_);
  }
  SetUp(options);
}

// Each upon what was there, so that host_ is the topmost.
void MountedDirectory::MountOverlays(int count) {
  for (int i = 0; i < count; ++i) {
    const std::string layer = directory_ / ("layer" + std::to_string(i));
    for (const char* part : {"", "/lower", "/upper", "/work"}) MakeDirectory(layer + part);
    const std::string lower = i == 0 ? layer + "/lower" : host_;
    const std::string options = "lowerdir=" + lower + ",upperdir=" + layer + "/upper,workdir=" + layer + "/work";
    WriteFile(layer + "/lower/lower", "lower");
    ASSERT_EQ(mount("overlay", host_.c_str(), "overlay", 0, options.c_str()), 0) << strerror(errno);
    ++overlays_;
  }
}

void MountedDirectory::SetUp(const Options& options) {
  io_uring_ = SwitchOnIoUring();  // Before FUSE_INIT is sent.
  const MountAttributes attributes{.read_only = options.read_only};
  auto tree = OpenDetachedTree(options.single_file ? host_ + "/file" : host_, attributes, options.recursive);
  ASSERT_TRUE(tree.ok()) << tree.status();
  auto fuse = MakeFuseMount(tree->type, attributes);
  ASSERT_TRUE(fuse.ok()) << fuse.status();
  auto mount_point = OpenMountPoint(mounted_, tree->type);
  ASSERT_TRUE(mount_point.ok()) << mount_point.status();
  ASSERT_TRUE(AttachMount(fuse->mount.get(), mount_point->get()).ok());

  int sockets[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
  Fd server(sockets[0]), client(sockets[1]);

  Fd counters = MakePage("counters", counters_);
  counters_->magic = kCountersMagic;
  counters_->version = kCountersVersion;
  Fd policy = MakePage("policy", policy_);
  policy_->magic = kLivePolicyMagic;
  policy_->version = kLivePolicyVersion;
  Fd plugin_policy(fcntl(policy.get(), F_DUPFD_CLOEXEC, 0));

  Fd broker_end, lifeline_end;
  if (options.passthrough) {
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
    Fd gofer_end(sockets[1]);
    broker_end = Fd(sockets[0]);
    ASSERT_EQ(pipe2(sockets, O_CLOEXEC), 0);
    Fd pipe_end(sockets[0]);
    lifeline_end = Fd(sockets[1]);
    Command broker(DataFile("broker/lisafs-broker"));
    broker.Add("--device=0=" + std::to_string(broker.Give(Fd(fcntl(fuse->device.get(), F_DUPFD_CLOEXEC, 0)))));
    broker.Add("--gofer=" + std::to_string(broker.Give(std::move(gofer_end))));
    broker.Add("--lifeline=" + std::to_string(broker.Give(std::move(pipe_end))));
    broker_ = Start(std::move(broker), directory_ / "broker.log");
    if (!broker_) return;
  }

  Command gofer(DataFile("gofer/lisafs-gofer"));
  std::string mount =
      std::to_string(gofer.Give(std::move(server))) + ":" + std::to_string(gofer.Give(std::move(tree->fd)));
  if (options.read_only) mount += ":ro";
  if (options.withhold_descriptors) mount += ":nodonate";
  if (options.watch) mount += ":watch";
  if (options.passthrough) {
    mount += ":passthrough";
    gofer.Add("--broker=" + std::to_string(gofer.Give(std::move(broker_end))));
  }
  gofer.Add("--counters=" + std::to_string(gofer.Give(std::move(counters))));
  gofer.Add("--policy=" + std::to_string(gofer.Give(std::move(policy))));
  gofer.Add("--mount");
  gofer.Add(mount);
  gofer_ = Start(std::move(gofer), directory_ / "gofer.log");
  if (!gofer_) return;

  Command plugin(DataFile("plugin/lisafs-plugin"));
  mount = std::to_string(plugin.Give(std::move(fuse->device))) + ":" + std::to_string(plugin.Give(std::move(client)));
  if (options.read_only) mount += ":ro";
  if (options.exclusive) mount += ":exclusive";
  if (options.passthrough) {
    mount += ":passthrough=" + std::to_string(options.passthrough_from);
    plugin.Add("--lifeline=" + std::to_string(plugin.Give(std::move(lifeline_end))));
  }
  if (io_uring_) mount += ":uring";
  plugin.Add("--policy=" + std::to_string(plugin.Give(std::move(plugin_policy))));
  plugin.Add("--mount");
  plugin.Add(mount);
  plugin_ = Start(std::move(plugin), directory_ / "plugin.log");
}

MountedDirectory::~MountedDirectory() {
  umount2(mounted_.c_str(), MNT_DETACH);
  EXPECT_TRUE(BothEnd());
  while (overlays_-- > 0) EXPECT_EQ(umount2(host_.c_str(), MNT_DETACH), 0);
  if (counters_ != nullptr) munmap(counters_, sizeof(CountersPage));
  if (policy_ != nullptr) munmap(policy_, sizeof(LivePolicyPage));
}

void MountedDirectory::Restrict(uint32_t restrictions) {
  LivePolicy& policy = policy_->mounts[0];
  policy.restrictions = restrictions;
  ++policy.changes;
  WakeOnPolicyChange(policy);
}

bool MountedDirectory::Unmount() { return umount(mounted_.c_str()) == 0; }

bool MountedDirectory::BothEnd() {
  bool well = true;
  for (auto* process : {&plugin_, &gofer_, &broker_}) {
    if (!*process) continue;
    auto end = (*process)->Wait(kPatience);
    well = well && end.has_value() && !end->failed();
    if (!end) {
      (*process)->Kill();
      (*process)->Wait(kPatience);
    }
    process->reset();
  }
  if (!well) ADD_FAILURE() << ReadFile(directory_ / "log").value_or("no log");
  return well;
}

void MountedDirectory::KillGofer() {
  gofer_->Kill();
  EXPECT_TRUE(gofer_->Wait(kPatience));
  gofer_.reset();
}

void MountedDirectory::KillPlugin() {
  plugin_->Kill();
  EXPECT_TRUE(plugin_->Wait(kPatience));
  plugin_.reset();
  if (broker_) {
    EXPECT_TRUE(broker_->Wait(kPatience));
    broker_.reset();
  }
  if (!io_uring_) return;
  // The kernel puts rings away after their process, and only then the device that they hold.
  EXPECT_TRUE(Eventually(kPatience, [&] {
    struct stat stat;
    return ::stat((mounted_ + "/none-of-this-name").c_str(), &stat) != 0 && errno == ENOTCONN;
  }));
}

void MountedDirectory::KillBroker() {
  broker_->Kill();
  EXPECT_TRUE(broker_->Wait(kPatience));
  broker_.reset();
}

void MountedDirectory::AwaitQuiet() const {
  auto sleeps = [](const std::optional<Process>& process) {
    if (!process) return true;
    const std::string tasks = "/proc/" + std::to_string(process->pid()) + "/task/";
    return std::ranges::all_of(ListDirectory(tasks), [&](const std::string& task) {
      // "PID (NAME) STATE …", where NAME may hold anything.
      const std::string stat = ReadFile(tasks + task + "/stat").value_or("");
      const size_t name_end = stat.rfind(')');
      return name_end == stat.npos || stat.compare(name_end, 4, ") S ") == 0;
    });
  };
  // One of them may be looked at while the other one has its turn.
  Eventually(std::chrono::seconds(2), [&] {
    for (int i = 0; i < 2; ++i) {
      if (!sleeps(plugin_) || !sleeps(gofer_)) return false;
      usleep(2000);
    }
    return true;
  });
}

uint64_t MountedDirectory::Calls(Mid message) const {
  // The gofer counts a request once it has answered.
  AwaitQuiet();
  return Counted(message);
}

uint64_t MountedDirectory::Requests() const {
  AwaitQuiet();
  uint64_t calls = 0;
  for (Mid mid : kAllMids) {
    if (mid != Mid::kClose) calls += Counted(mid);
  }
  return calls;
}

uint64_t MountedDirectory::Counted(Mid message) const {
  uint64_t calls = 0;
  for (const LaneSummary& lane : counters_->mounts[0].summary.lanes) calls += lane.calls[MessageIndex(message)].Get();
  return calls;
}

size_t CountDescriptors(pid_t pid) { return ListDirectory("/proc/" + std::to_string(pid) + "/fd").size(); }

}  // namespace lisafs::tests
