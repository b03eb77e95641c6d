#include "tests/filesystem/mounted_directory.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>

#include "base/fd.h"
#include "sandbox/detached_tree.h"
#include "sandbox/fuse_mount.h"
#include "sandbox/launcher.h"

namespace lisafs::tests {
namespace {

constexpr std::chrono::seconds kPatience(10);

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

// With LISAFS_TEST_IO_URING, has the kernel offer FUSE over io_uring from now on until this process ends; other mounts
// that are made meanwhile do not ask for it.
bool SwitchOnIoUring() {
  static constexpr char kSwitch[] = "/sys/module/fuse/parameters/enable_uring";
  static const bool on = [] {
    if (getenv("LISAFS_TEST_IO_URING") == nullptr) return false;
    if (ReadFile(kSwitch).value_or("") == "Y\n") return true;
    std::ofstream(kSwitch) << "Y" << std::flush;
    atexit([] { std::ofstream(kSwitch) << "N" << std::flush; });
    return ReadFile(kSwitch).value_or("") == "Y\n";
  }();
  return on;
}

}  // namespace

MountedDirectory::MountedDirectory(const Options& options) {
  MakeDirectory(host_);
  if (options.single_file) {
    WriteFile(host_ + "/file", "content");
    WriteFile(mounted_, "");
  } else {
    MakeDirectory(mounted_);
  }
  SetUp(options);
}

void MountedDirectory::SetUp(const Options& options) {
  io_uring_ = SwitchOnIoUring();  // Before FUSE_INIT is sent.
  const MountAttributes attributes{.read_only = options.read_only};
  auto tree = OpenDetachedTree(options.single_file ? host_ + "/file" : host_, attributes, false);
  ASSERT_TRUE(tree.ok()) << tree.status();
  auto fuse = MakeFuseMount(tree->type, attributes);
  ASSERT_TRUE(fuse.ok()) << fuse.status();
  auto mount_point = OpenMountPoint(mounted_, tree->type);
  ASSERT_TRUE(mount_point.ok()) << mount_point.status();
  ASSERT_TRUE(AttachMount(fuse->mount.get(), mount_point->get()).ok());

  int sockets[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
  Fd server(sockets[0]), client(sockets[1]);

  Command gofer(DataFile("gofer/lisafs-gofer"));
  std::string mount =
      std::to_string(gofer.Give(std::move(server))) + ":" + std::to_string(gofer.Give(std::move(tree->fd)));
  if (options.read_only) mount += ":ro";
  if (options.withhold_descriptors) mount += ":nodonate";
  gofer.Add("--mount");
  gofer.Add(mount);
  gofer_ = Start(std::move(gofer), directory_ / "gofer.log");
  if (!gofer_) return;

  Command plugin(DataFile("plugin/lisafs-plugin"));
  mount = std::to_string(plugin.Give(std::move(fuse->device))) + ":" + std::to_string(plugin.Give(std::move(client)));
  if (options.read_only) mount += ":ro";
  if (io_uring_) mount += ":uring";
  plugin.Add("--mount");
  plugin.Add(mount);
  plugin_ = Start(std::move(plugin), directory_ / "plugin.log");
}

MountedDirectory::~MountedDirectory() {
  umount2(mounted_.c_str(), MNT_DETACH);
  EXPECT_TRUE(BothEnd());
}

bool MountedDirectory::Unmount() { return umount(mounted_.c_str()) == 0; }

bool MountedDirectory::BothEnd() {
  bool well = true;
  for (auto* process : {&plugin_, &gofer_}) {
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
}

size_t CountDescriptors(pid_t pid) { return ListDirectory("/proc/" + std::to_string(pid) + "/fd").size(); }

}  // namespace lisafs::tests
