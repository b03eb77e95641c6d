// The mounts of sandboxes that run: added, removed, and allowed less or more.

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/escape.h"
#include "base/status.h"
#include "control/errors.h"
#include "control/mount_policy.h"
#include "control/registry.h"
#include "lisafs/counters.h"
#include "sandbox/container_mounts.h"
#include "sandbox/foreign_fds.h"
#include "sandbox/fuse_mount.h"
#include "sandbox/id_map.h"
#include "sandbox/id_map_message.h"
#include "sandbox/start_waker.h"
#include "sandbox/user_namespace.h"

namespace lisafs {
namespace {

using control::v1::AddMountRequest;
using control::v1::Event;
using control::v1::Mount;
using control::v1::RemoveMountRequest;
using control::v1::UpdateMountRequest;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

// How long the container's file systems may take to find a target, or to unmount.
constexpr auto kContainerPatience = seconds(10);
// How long processes may take to end by themselves once they are unmounted, and when they were killed.
constexpr auto kEndPatience = milliseconds(1000);
constexpr auto kKillPatience = seconds(10);
constexpr auto kBusyInterval = milliseconds(20);
constexpr uint32_t kDefaultWaitMilliseconds = 10'000;

std::string MountName(const std::string& sandbox, const std::string& target) {
  return absl::StrCat("sandbox ", sandbox, ": mount ", Escape(target));
}

absl::Status NoSuchMount(const std::string& sandbox, const std::string& target) {
  return WithReason(absl::NotFoundError(MountName(sandbox, target) + ": no such mount"), "MOUNT_NOT_FOUND",
                    {{"sandbox", sandbox}, {"target", Escape(target)}});
}

// The mount's position among those that an entry's processes serve, or -1.
int FindTarget(const control::v1::Sandbox& sandbox, const std::string& target) {
  for (int i = 0; i < sandbox.mounts_size(); ++i) {
    if (sandbox.mounts(i).spec().target() == target) return i;
  }
  return -1;
}

absl::StatusOr<ContainerMounts> MountsOf(const SandboxDirectory& directory) {
  auto process = directory.ReadContainer();
  if (!process.ok()) return process.status();
  auto mounts = ContainerMounts::Of(process->pid, process->start_time);
  if (absl::IsNotFound(mounts.status())) return absl::FailedPreconditionError("its container has ended");
  return mounts;
}

}  // namespace

absl::Status Registry::PublishAll(const Entry& entry) {
  auto file = entry.directory.OpenPolicy();
  if (!file.ok()) return file.status();
  for (int i = 0; i < entry.sandbox.mounts_size(); ++i) {
    LISAFS_RETURN_IF_NOT_OK(PublishPolicy(*file, i, entry.sandbox.mounts(i).policy()));
    LISAFS_RETURN_IF_NOT_OK(RemoveAllRecordings(*file, i));
  }
  return absl::OkStatus();
}

absl::Status Registry::CheckMayAdd(const Entry& sandbox, const std::string& target) {
  if (sandbox.sandbox.has_own_client()) {
    return absl::FailedPreconditionError(
        "its runtime is the LISAFS client, which takes no mounts while it runs: gVisor's sentry mounts by itself");
  }
  if (sandbox.deleting) return absl::FailedPreconditionError("the sandbox is being deleted");
  if (!sandbox.running()) return absl::FailedPreconditionError("the sandbox has failed");
  if (sandbox.busy_targets.contains(target)) return absl::AlreadyExistsError("it is being added or removed");
  size_t count = sandbox.sandbox.mounts_size() + sandbox.busy_targets.size();
  bool taken = FindTarget(sandbox.sandbox, target) >= 0;
  for (const auto& [number, mount] : sandbox.added) {
    taken |= mount->added_target == target;
    count += !sandbox.busy_targets.contains(mount->added_target);
  }
  if (taken) return absl::AlreadyExistsError("exists already");
  if (count >= kMaxMounts) {
    return absl::ResourceExhaustedError(absl::StrCat("the sandbox has ", kMaxMounts, " mounts"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Mount> Registry::AddMount(const AddMountRequest& request, absl::FunctionRef<bool()> cancelled) {
  const std::string& target = request.mount().target();
  const std::string name = MountName(request.sandbox_id(), target);
  std::shared_ptr<Entry> sandbox;
  uint32_t number;
  {
    std::lock_guard lock(mutex_);
    auto found = FindEntry(request.sandbox_id());
    if (!found.ok()) return found.status();
    sandbox = *std::move(found);
    LISAFS_RETURN_IF_NOT_OK(Annotate(name, CheckMayAdd(*sandbox, target)));
    sandbox->busy_targets.insert(target);
    number = sandbox->next_number++;
  }
  absl::Cleanup release = [&] { Release(*sandbox, target); };
  auto entry = MakeAdded(*sandbox, number, request, [&] {
    std::lock_guard lock(mutex_);
    return sandbox->deleting || cancelled();
  });
  if (!entry.ok()) {
    spdlog::warn("{}: not added: {}", name, Text(entry.status()));
    return Annotate(name, entry.status());
  }
  View view;
  {
    std::lock_guard lock(mutex_);
    sandbox->added.emplace(number, *entry);
    // Whoever deletes the sandbox could not know of it.
    (*entry)->deleting = sandbox->deleting;
    if (sandbox->deleting) (*entry)->Kill();
    view = ViewOf(*entry);
  }
  spdlog::info("{}: added, gofer {}, plugin {}", name, view.sandbox.gofer_pid(), view.sandbox.plugin_pid());
  events_.Add(Event::TYPE_MOUNT_ADDED, request.sandbox_id(), target, "shows " + Escape(request.mount().source()));
  Mount mount = Describe(std::move(view)).mounts(0);
  mount.set_added(true);
  return mount;
}

absl::StatusOr<std::shared_ptr<Registry::Entry>> Registry::MakeAdded(const Entry& sandbox, uint32_t number,
                                                                     const AddMountRequest& request,
                                                                     absl::FunctionRef<bool()> cancelled) {
  auto container = MountsOf(sandbox.directory);
  if (!container.ok()) return container.status();
  auto directory = sandbox.directory.CreateAdded(number);
  if (!directory.ok()) return directory.status();
  absl::Cleanup remove_directory = [&] { directory->Remove().IgnoreError(); };

  control::v1::CreateSandboxRequest made;
  made.set_id(request.sandbox_id());
  made.set_caller_pid(getpid());
  auto ids = ReadIdMap(container->init()), own_ids = ReadIdMap(getpid());
  if (!ids.ok()) return Annotate("its container", ids.status());
  if (ids->uids.empty() || ids->gids.empty()) return absl::FailedPreconditionError("its container has no ids");
  if (!own_ids.ok()) return own_ids.status();
  if (*ids != *own_ids) *made.mutable_user_namespace() = ToMessage(*ids);
  *made.add_mounts() = request.mount();
  auto entry = Make(made, *directory, cancelled, [&](PreparedSandbox& prepared) -> absl::Status {
    const Process& plugin = *prepared.processes().plugin;
    Fd mount = prepared.TakeMount();
    struct statx stat;
    if (statx(mount.get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &stat) != 0) return ErrnoStatus(errno);
    auto copy = container->Add(std::move(mount),
                               {.path = request.mount().target(),
                                .type = static_cast<mode_t>(stat.stx_mode & S_IFMT),
                                .create = request.create_target(),
                                .uid = FirstId(ids->uids),
                                .gid = FirstId(ids->gids)},
                               steady_clock::now() + kContainerPatience);
    if (!copy.ok()) return Annotate("target", copy.status());
    if (!programs_.waker.empty() && *copy) {
      std::vector<Fd> trees;
      trees.push_back(*std::move(copy));
      auto woken = StartWaker(programs_.waker, plugin.pid(), container->init(), std::move(trees));
      if (woken && *woken != 0) waitpid(*woken, nullptr, 0);
      if (!woken) spdlog::warn("lisafs-waker: {}: {}", woken.error().what, woken.error().error.ToString());
    }
    return absl::OkStatus();
  });
  if (!entry.ok()) return entry.status();
  (*entry)->added_target = request.mount().target();
  std::move(remove_directory).Cancel();
  return entry;
}

void Registry::Release(Entry& sandbox, const std::string& target) {
  {
    std::lock_guard lock(mutex_);
    sandbox.busy_targets.erase(target);
    changed_.notify_all();
  }
  WakeWatcher();
}

absl::StatusOr<uint32_t> Registry::FindAdded(const Entry& sandbox, const std::string& target) {
  if (sandbox.busy_targets.contains(target)) return absl::AbortedError("it is being added or removed");
  if (FindTarget(sandbox.sandbox, target) >= 0) {
    return absl::FailedPreconditionError("the container was made with it, and it goes with the container");
  }
  for (const auto& [number, mount] : sandbox.added) {
    if (mount->added_target == target) return number;
  }
  return NoSuchMount(sandbox.sandbox.id(), target);
}

absl::Status Registry::RemoveMount(const RemoveMountRequest& request, absl::FunctionRef<bool()> cancelled) {
  const std::string name = MountName(request.sandbox_id(), request.target());
  std::shared_ptr<Entry> sandbox, mount;
  uint32_t number;
  {
    std::lock_guard lock(mutex_);
    auto found = FindEntry(request.sandbox_id());
    if (!found.ok()) return found.status();
    sandbox = *std::move(found);
    auto added = FindAdded(*sandbox, request.target());
    if (absl::IsNotFound(added.status())) return added.status();
    if (!added.ok()) return Annotate(name, added.status());
    number = *added;
    mount = sandbox->added.at(number);
    sandbox->busy_targets.insert(request.target());
    // It is forgotten here and not by the watching thread.
    mount->deleting = true;
  }
  absl::Cleanup release = [&] { Release(*sandbox, request.target()); };
  const bool force = request.when_busy() == RemoveMountRequest::WHEN_BUSY_FORCE;
  // From then on the next lisafsd removes it, too: once its processes are killed it cannot be taken over any more.
  auto mark = [&] {
    absl::Status marked = mount->directory.MarkRemoved();
    if (!marked.ok()) spdlog::warn("{}: {}", name, Text(marked));
  };
  if (force) mark();
  absl::Status unmounted = Unmount(*sandbox, *mount, request, cancelled);
  // Its processes are what a mount that cannot be reached needs as well.
  if (!unmounted.ok() && !(force && absl::IsDeadlineExceeded(unmounted))) {
    if (force) mount->directory.UnmarkRemoved().IgnoreError();
    std::lock_guard lock(mutex_);
    mount->deleting = sandbox->deleting;
    return Annotate(name, unmounted);
  }
  if (!force) mark();
  {
    std::lock_guard lock(mutex_);
    if (mount->plugin) EndWaker(mount->plugin->pid());
  }
  absl::Status dropped = Drop(*sandbox, number, force ? milliseconds(0) : kEndPatience);
  if (!dropped.ok()) return Annotate(name, dropped);
  spdlog::info("{}: removed", name);
  events_.Add(Event::TYPE_MOUNT_REMOVED, request.sandbox_id(), request.target(), "removed");
  return absl::OkStatus();
}

absl::Status Registry::Unmount(const Entry& sandbox, const Entry& mount, const RemoveMountRequest& request,
                               absl::FunctionRef<bool()> cancelled) const {
  auto container = MountsOf(sandbox.directory);
  // Its mounts are gone with it.
  if (absl::IsFailedPrecondition(container.status())) return absl::OkStatus();
  if (!container.ok()) return container.status();
  const std::string& file_system = mount.sandbox.mounts(0).file_system();
  const bool force = request.when_busy() == RemoveMountRequest::WHEN_BUSY_FORCE;
  const uint32_t wait = request.wait_milliseconds() != 0 ? request.wait_milliseconds() : kDefaultWaitMilliseconds;
  const auto deadline = steady_clock::now() + milliseconds(wait);
  while (true) {
    absl::Status removed = container->Remove(file_system, force, steady_clock::now() + kContainerPatience);
    if (!absl::IsFailedPrecondition(removed) || request.when_busy() != RemoveMountRequest::WHEN_BUSY_WAIT) {
      return removed;
    }
    if (steady_clock::now() >= deadline) return absl::DeadlineExceededError("it is still in use");
    if (cancelled()) return absl::CancelledError("the caller gave up");
    {
      std::lock_guard lock(mutex_);
      if (sandbox.deleting) return absl::FailedPreconditionError("the sandbox is being deleted");
    }
    std::this_thread::sleep_for(kBusyInterval);
  }
}

void Registry::GoOnRemoving(const Entry& sandbox, const Entry& mount) const {
  RemoveMountRequest request;
  request.set_when_busy(RemoveMountRequest::WHEN_BUSY_FORCE);
  absl::Status unmounted = Unmount(sandbox, mount, request, [] { return false; });
  if (!unmounted.ok()) spdlog::warn("{}: {}", sandbox.Name(), Text(unmounted));
  mount.Kill();
}

absl::Status Registry::Drop(Entry& sandbox, uint32_t number, milliseconds patience) {
  std::unique_lock lock(mutex_);
  std::shared_ptr<Entry> mount = sandbox.added.at(number);
  auto gone = [&] { return mount->gone(); };
  if (!changed_.wait_for(lock, patience, gone)) {
    mount->Kill();
    if (!changed_.wait_for(lock, kKillPatience, gone)) {
      mount->deleting = sandbox.deleting;
      return absl::DeadlineExceededError("a process does not go although it was killed");
    }
  }
  sandbox.added.erase(number);
  return mount->directory.Remove();
}

absl::StatusOr<Registry::ServedMount> Registry::FindMount(const std::string& id, const std::string& target) const {
  auto sandbox = FindEntry(id);
  if (!sandbox.ok()) return sandbox.status();
  for (const auto& [number, added] : (*sandbox)->added) {
    if (added->added_target == target) return ServedMount{added, 0};
  }
  const int index = FindTarget((*sandbox)->sandbox, target);
  if (index < 0) return NoSuchMount(id, target);
  return ServedMount{*sandbox, index};
}

absl::StatusOr<std::unique_ptr<AccessRecorder>> Registry::RecordAccess(const std::string& id,
                                                                       const std::string& target) const {
  const std::string name = MountName(id, target);
  std::lock_guard lock(mutex_);
  auto found = FindMount(id, target);
  if (!found.ok()) return found.status();
  const auto& [entry, index] = *found;
  auto policy = entry->directory.OpenPolicy();
  if (!policy.ok()) return Annotate(name, policy.status());
  auto counters = entry->directory.OpenCounters();
  if (!counters.ok()) return Annotate(name, counters.status());
  auto recorder = AccessRecorder::Start(*std::move(policy), *std::move(counters), static_cast<size_t>(index));
  if (!recorder.ok()) return Annotate(name, recorder.status());
  return recorder;
}

absl::StatusOr<pid_t> Registry::GoferOf(const std::string& id, const std::string& target) const {
  std::lock_guard lock(mutex_);
  auto found = FindMount(id, target);
  if (!found.ok()) return found.status();
  if (!found->entry->gofer) return absl::FailedPreconditionError(MountName(id, target) + ": its gofer is gone");
  return found->entry->gofer->pid();
}

absl::StatusOr<Mount> Registry::UpdateMount(const UpdateMountRequest& request) {
  const std::string name = MountName(request.sandbox_id(), request.target());
  std::lock_guard lock(mutex_);
  auto found = FindMount(request.sandbox_id(), request.target());
  if (!found.ok()) return found.status();
  const auto& [entry, index] = *found;
  if (!entry->running()) return absl::FailedPreconditionError(name + ": its gofer or plugin has failed");
  Mount& mount = *entry->sandbox.mutable_mounts(index);
  auto policy = UpdatedPolicy(mount, request);
  if (!policy.ok()) return Annotate(name, policy.status());
  auto file = entry->directory.OpenPolicy();
  if (!file.ok()) return Annotate(name, file.status());

  // On disk first: what its gofer heeds is never unknown to the next lisafsd, which publishes it again.
  mount.mutable_policy()->Swap(&*policy);
  absl::Status status = entry->Save();
  if (status.ok()) status = PublishPolicy(*file, index, mount.policy());
  if (!status.ok()) {
    mount.mutable_policy()->Swap(&*policy);
    return Annotate(name, status);
  }
  if (mount.policy().revoked() && entry->plugin) {
    // What the kernel has cached is not to let anybody in.
    const int number = PluginDevice(index);
    auto devices = DuplicateForeignFds(entry->plugin->pid(), {&number, 1});
    absl::Status forgotten = devices.ok() ? ForgetRootAttributes(devices->front()) : devices.status();
    if (!forgotten.ok()) spdlog::warn("{}: what the kernel has cached stays: {}", name, Text(forgotten));
  }
  const std::string allows = mount.policy().ShortDebugString();
  spdlog::info("{}: policy changed to {{{}}}", name, allows);
  events_.Add(Event::TYPE_POLICY_CHANGED, request.sandbox_id(), request.target(), "now {" + allows + "}");
  Mount described = Describe(ViewOf(entry)).mounts(index);
  described.set_added(!entry->added_target.empty());
  return described;
}

}  // namespace lisafs
