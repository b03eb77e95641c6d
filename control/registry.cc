#include "control/registry.h"

#include <google/protobuf/util/time_util.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/escape.h"
#include "base/status.h"
#include "control/errors.h"
#include "control/mount_policy.h"
#include "control/validation.h"

namespace lisafs {
namespace {

using control::v1::CreateSandboxRequest;
using control::v1::Event;
using control::v1::MountStatistics;
using control::v1::Sandbox;
using std::chrono::seconds;

// How long a process that was killed may take to be gone.
constexpr auto kKillPatience = seconds(10);
absl::Status NoSuchSandbox(const std::string& id) {
  return WithReason(absl::NotFoundError(absl::StrCat("sandbox ", Escape(id), ": no such sandbox")), "SANDBOX_NOT_FOUND",
                    {{"sandbox", Escape(id)}});
}

}  // namespace

absl::Status Registry::Entry::Save() const {
  state::v1::SandboxState state;
  *state.mutable_sandbox() = sandbox;
  state.set_request_id(request_id);
  state.set_gofer_start_time(gofer ? gofer->start_time() : 0);
  state.set_plugin_start_time(plugin ? plugin->start_time() : 0);
  state.set_broker_start_time(broker ? broker->start_time() : 0);
  return directory.WriteState(std::move(state));
}

bool Registry::Entry::all_gone() const {
  return gone() && busy_targets.empty() &&
         std::all_of(added.begin(), added.end(), [](const auto& each) { return each.second->gone(); });
}

std::string Registry::Entry::Name() const {
  const std::string name = "sandbox " + sandbox.id();
  return added_target.empty() ? name : name + ": mount " + Escape(added_target);
}

void Registry::Entry::Kill() const {
  // The gofer last: then what waits for it learns that the file system is gone, which takes both who hold its device,
  // and not that a request failed.
  if (broker) broker->Kill();
  if (plugin) plugin->Kill();
  if (gofer) gofer->Kill();
}

Registry::Registry(StateDirectory state, SandboxPrograms programs, Events& events, Fd wake_up)
    : state_(std::move(state)), programs_(std::move(programs)), events_(events), wake_up_(std::move(wake_up)) {}

absl::StatusOr<std::unique_ptr<Registry>> Registry::Open(StateDirectory state, SandboxPrograms programs,
                                                         Events& events) {
  Fd wake_up(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_up) return ErrnoStatus(errno, "eventfd");
  auto ids = state.Ids();
  if (!ids.ok()) return ids.status();
  std::unique_ptr<Registry> registry(new Registry(std::move(state), std::move(programs), events, std::move(wake_up)));
  for (const std::string& id : *ids) registry->Adopt(id);
  registry->watcher_ = std::thread([registry = registry.get()] { registry->Watch(); });
  return registry;
}

Registry::~Registry() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  WakeWatcher();
  if (watcher_.joinable()) watcher_.join();
}

absl::StatusOr<std::shared_ptr<Registry::Entry>> Registry::Read(const SandboxDirectory& directory,
                                                                const std::string& id) {
  auto state = directory.ReadState();
  if (!state.ok()) return state.status();
  if (state->sandbox().id() != id) return absl::DataLossError("sandbox.json: another sandbox's");
  auto entry = std::make_shared<Entry>(
      Entry{.directory = directory, .request_id = state->request_id(), .sandbox = state->sandbox()});
  auto adopt = [](int32_t pid, uint64_t start_time) -> std::optional<Process> {
    if (pid == 0) return std::nullopt;
    auto process = Process::Adopt(pid, start_time);
    return process.ok() ? std::optional(*std::move(process)) : std::nullopt;
  };
  entry->gofer = adopt(entry->sandbox.gofer_pid(), state->gofer_start_time());
  entry->plugin = adopt(entry->sandbox.plugin_pid(), state->plugin_start_time());
  entry->broker = adopt(entry->sandbox.broker_pid(), state->broker_start_time());
  if (!entry->gofer) entry->sandbox.set_gofer_pid(0);
  if (!entry->plugin) entry->sandbox.set_plugin_pid(0);
  if (!entry->broker) entry->sandbox.set_broker_pid(0);
  return entry;
}

void Registry::Resume(Entry& entry) {
  auto warn = [&](const absl::Status& status) { spdlog::warn("{}: {}", entry.Name(), Text(status)); };
  auto file = entry.directory.OpenCounters();
  auto counters = file.ok() ? CountersReader::Open(*std::move(file)) : file.status();
  if (counters.ok()) {
    entry.counters.emplace(*std::move(counters));
  } else {
    warn(counters.status());
  }
  if (auto claims = entry.directory.OpenClaims(); claims.ok()) entry.claims.emplace(*std::move(claims));
  if (absl::Status published = PublishAll(entry); !published.ok()) warn(published);
  auto logs = entry.directory.OpenLogs();
  if (logs.ok()) {
    entry.logs = *std::move(logs);
  } else {
    warn(logs.status());
  }
}

void Registry::ReadAdded(Entry& sandbox) {
  for (uint32_t number : sandbox.directory.AddedNumbers()) {
    sandbox.next_number = number + 1;
    SandboxDirectory directory = sandbox.directory.Added(number);
    auto mount = Read(directory, sandbox.sandbox.id());
    if (mount.ok() && directory.IsMarkedRemoved()) {
      GoOnRemoving(sandbox, **mount);
      mount = absl::NotFoundError("it was being removed");
    }
    if (mount.ok() && (*mount)->gone()) mount = absl::NotFoundError("its processes have ended");
    if (!mount.ok()) {
      spdlog::info("state of {}, added mount {}, is removed: {}", sandbox.Name(), number, Text(mount.status()));
      events_.Add(Event::TYPE_MOUNT_REMOVED, sandbox.sandbox.id(), "",
                  absl::StrCat("number ", number, ", not taken over: ", Text(mount.status())));
      if (absl::Status removed = directory.Remove(); !removed.ok()) spdlog::warn("{}", Text(removed));
      continue;
    }
    (*mount)->added_target = (*mount)->sandbox.mounts(0).spec().target();
    Resume(**mount);
    sandbox.added.emplace(number, *std::move(mount));
  }
}

void Registry::Adopt(const std::string& id) {
  SandboxDirectory directory = state_.Get(id);
  auto entry = Read(directory, id);
  if (entry.ok()) ReadAdded(**entry);
  if (entry.ok() && (*entry)->all_gone()) entry = absl::NotFoundError("its processes have ended");
  if (entry.ok()) {
    Resume(**entry);
    // The limits may be others now.
    Limit(**entry);
    spdlog::info("sandbox {}: found running with {} added mounts", id, (*entry)->added.size());
    entries_.emplace(id, *std::move(entry));
    return;
  }
  spdlog::warn("state of {} is removed: {}", Escape(id), Text(entry.status()));
  events_.Add(Event::TYPE_SANDBOX_ENDED, Escape(id), "", "not taken over: " + Text(entry.status()));
  if (absl::Status cleared = Clear(id, directory); !cleared.ok()) spdlog::warn("{}", Text(cleared));
}

absl::StatusOr<Sandbox> Registry::Create(const CreateSandboxRequest& request, absl::FunctionRef<bool()> cancelled) {
  const std::string& id = request.id();
  {
    std::unique_lock lock(mutex_);
    auto found = entries_.find(id);
    if (found != entries_.end() && !request.request_id().empty() && found->second->request_id == request.request_id()) {
      View view = ViewOf(found->second);
      lock.unlock();
      return Describe(std::move(view));
    }
    if (found != entries_.end() || !being_made_.insert(id).second) {
      return WithReason(absl::AlreadyExistsError(absl::StrCat("sandbox ", id, ": exists already")), "SANDBOX_EXISTS",
                        {{"sandbox", id}});
    }
  }
  absl::Cleanup not_being_made = [&] {
    std::lock_guard lock(mutex_);
    being_made_.erase(id);
  };
  auto directory = state_.Create(id);
  if (!directory.ok()) return directory.status();
  absl::Cleanup clear = [&] { Clear(id, *directory).IgnoreError(); };
  auto entry = Make(request, *directory, cancelled, [](PreparedSandbox& prepared) { return prepared.Mount(); });
  if (!entry.ok()) {
    spdlog::warn("sandbox {}: not created: {}", id, Text(entry.status()));
    return entry.status();
  }

  std::move(clear).Cancel();
  Sandbox sandbox = Describe(ViewOf(*entry));
  spdlog::info("sandbox {}: created with {} mounts, gofer {}, plugin {}", id, sandbox.mounts_size(),
               sandbox.gofer_pid(), sandbox.has_own_client() ? "none" : std::to_string(sandbox.plugin_pid()));
  {
    std::lock_guard lock(mutex_);
    entries_.emplace(id, *std::move(entry));
  }
  events_.Add(Event::TYPE_SANDBOX_CREATED, id, "", absl::StrCat("created with ", sandbox.mounts_size(), " mounts"));
  WakeWatcher();
  return sandbox;
}

absl::StatusOr<std::shared_ptr<Registry::Entry>> Registry::Make(const CreateSandboxRequest& request,
                                                                const SandboxDirectory& directory,
                                                                absl::FunctionRef<bool()> cancelled, Place place) {
  std::future<void> limiting;
  auto prepared = PreparedSandbox::Prepare(request, programs_, directory, cancelled,
                                           [&](pid_t gofer) { limiting = StartLimiting(request.id(), gofer); });
  if (!prepared.ok()) return prepared.status();
  auto file = directory.OpenCounters();
  if (!file.ok()) return file.status();
  auto counters = CountersReader::Open(*std::move(file));
  if (!counters.ok()) return counters.status();
  auto logs = directory.OpenLogs();
  if (!logs.ok()) return logs.status();

  auto entry = std::make_shared<Entry>(
      Entry{.directory = directory, .request_id = request.request_id(), .counters = *std::move(counters)});
  if (auto claims = directory.OpenClaims(); claims.ok()) entry->claims.emplace(*std::move(claims));
  entry->logs = *std::move(logs);
  entry->sandbox.set_id(request.id());
  entry->sandbox.set_state(Sandbox::STATE_RUNNING);
  const SandboxProcesses& processes = prepared->processes();
  entry->sandbox.set_gofer_pid(processes.gofer.pid());
  entry->sandbox.set_has_own_client(request.has_client());
  if (processes.plugin) entry->sandbox.set_plugin_pid(processes.plugin->pid());
  if (processes.broker) entry->sandbox.set_broker_pid(processes.broker->pid());
  GoOnLimiting(*entry, std::move(limiting));
  *entry->sandbox.mutable_create_time() = google::protobuf::util::TimeUtil::GetCurrentTime();
  for (const control::v1::MountSpec& spec : request.mounts()) {
    control::v1::Mount& mount = *entry->sandbox.add_mounts();
    *mount.mutable_spec() = spec;
    *mount.mutable_policy() = InitialPolicy(spec);
    mount.set_hears_changes(HearsChanges(request));
    const int index = entry->sandbox.mounts_size() - 1;
    if (!request.has_client()) mount.set_file_system(prepared->file_systems()[index]);
  }

  // On disk before it is mounted: what is mounted is never unknown to the next lisafsd.
  state::v1::SandboxState state;
  *state.mutable_sandbox() = entry->sandbox;
  state.set_request_id(entry->request_id);
  state.set_gofer_start_time(processes.gofer.start_time());
  if (processes.plugin) state.set_plugin_start_time(processes.plugin->start_time());
  if (processes.broker) state.set_broker_start_time(processes.broker->start_time());
  LISAFS_RETURN_IF_NOT_OK(directory.WriteState(std::move(state)));
  if (cancelled()) return absl::CancelledError("the caller gave up");
  LISAFS_RETURN_IF_NOT_OK(place(*prepared));

  SandboxProcesses released = prepared->Release();
  entry->gofer = std::move(released.gofer);
  entry->plugin = std::move(released.plugin);
  entry->broker = std::move(released.broker);
  return entry;
}

absl::Status Registry::Delete(const std::string& id) {
  std::unique_lock lock(mutex_);
  auto looked_up = FindEntry(id);
  if (!looked_up.ok()) return looked_up.status();
  std::shared_ptr<Entry> entry = *std::move(looked_up);
  entry->deleting = true;
  for (const auto& [number, mount] : entry->added) {
    mount->deleting = true;
    mount->Kill();
  }
  entry->Kill();
  if (!changed_.wait_for(lock, kKillPatience, [&] { return entry->all_gone(); })) {
    entry->deleting = false;
    return absl::DeadlineExceededError(absl::StrCat("sandbox ", id, ": a process does not go although it was killed: ",
                                                    entry->gofer    ? "gofer"
                                                    : entry->plugin ? "plugin"
                                                    : entry->broker ? "broker"
                                                                    : "an added mount's"));
  }
  // Another call may have been here first.
  auto found = entries_.find(id);
  if (found == entries_.end() || found->second != entry) return absl::OkStatus();
  entries_.erase(found);
  spdlog::info("sandbox {}: deleted", id);
  events_.Add(Event::TYPE_SANDBOX_ENDED, id, "", "deleted");
  entry->AwaitLimits();
  return Clear(id, entry->directory);
}

bool Registry::Answers() const {
  std::lock_guard lock(mutex_);
  return true;
}

absl::StatusOr<std::shared_ptr<Registry::Entry>> Registry::FindEntry(const std::string& id) const {
  auto found = entries_.find(id);
  if (found == entries_.end()) return NoSuchSandbox(id);
  return found->second;
}

Registry::View Registry::ViewOf(const std::shared_ptr<Entry>& entry) {
  View view = {.sandbox = entry->sandbox, .entry = entry, .added = {}};
  for (const auto& [number, mount] : entry->added) view.added.push_back(ViewOf(mount));
  return view;
}

absl::StatusOr<Registry::View> Registry::Find(const std::string& id) const {
  std::lock_guard lock(mutex_);
  auto entry = FindEntry(id);
  if (!entry.ok()) return entry.status();
  return ViewOf(*entry);
}

std::vector<Registry::View> Registry::FindAll() const {
  std::lock_guard lock(mutex_);
  std::vector<View> views;
  for (const auto& [id, entry] : entries_) views.push_back(ViewOf(entry));
  return views;
}

// What the gofer holds stays zero where it cannot be read: the rest is worth knowing all the same.
Sandbox Registry::Describe(View view) {
  for (int i = 0; view.entry->counters && i < view.sandbox.mounts_size(); ++i) {
    view.entry->counters->ReadHeld(i, *view.sandbox.mutable_mounts(i)).IgnoreError();
  }
  for (control::v1::Mount& mount : *view.sandbox.mutable_mounts()) {
    mount.set_gofer_pid(view.sandbox.gofer_pid());
    mount.set_plugin_pid(view.sandbox.plugin_pid());
    mount.set_broker_pid(view.sandbox.broker_pid());
  }
  for (View& added : view.added) {
    Sandbox described = Describe(std::move(added));
    control::v1::Mount& mount = *view.sandbox.add_mounts();
    mount.Swap(described.mutable_mounts(0));
    mount.set_added(true);
    mount.set_failure(described.failure());
  }
  return std::move(view.sandbox);
}

absl::StatusOr<Sandbox> Registry::Get(const std::string& id) const {
  auto view = Find(id);
  if (!view.ok()) return view.status();
  return Describe(*std::move(view));
}

std::vector<Sandbox> Registry::List() const {
  std::vector<Sandbox> sandboxes;
  for (View& view : FindAll()) sandboxes.push_back(Describe(std::move(view)));
  return sandboxes;
}

std::vector<std::string> Registry::Ids(const std::string& after, size_t limit) const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> ids;
  for (auto entry = entries_.upper_bound(after); entry != entries_.end() && ids.size() < limit; ++entry) {
    ids.push_back(entry->first);
  }
  return ids;
}

absl::Status Registry::AppendStatistics(const View& view, std::vector<MountStatistics>& all) {
  if (!view.entry->counters) return absl::DataLossError("counters: cannot be read");
  std::vector<MountStatistics> mounts;
  for (int i = 0; i < view.sandbox.mounts_size(); ++i) {
    const control::v1::MountSpec& spec = view.sandbox.mounts(i).spec();
    MountStatistics& mount = mounts.emplace_back();
    mount.set_sandbox_id(view.sandbox.id());
    mount.set_target(spec.target());
    // Without descriptors nothing is passed through either.
    mount.set_data_hidden(!spec.withhold_descriptors() || spec.donate_mount_point());
    LISAFS_RETURN_IF_NOT_OK(view.entry->counters->ReadMessages(i, mount));
    if (view.entry->claims) view.entry->claims->Read(i, mount);
  }
  for (const View& added : view.added) LISAFS_RETURN_IF_NOT_OK(AppendStatistics(added, mounts));
  std::move(mounts.begin(), mounts.end(), std::back_inserter(all));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<MountStatistics>> Registry::Statistics(const std::string& id) const {
  std::vector<MountStatistics> all;
  if (!id.empty()) {
    auto view = Find(id);
    if (!view.ok()) return view.status();
    if (absl::Status status = AppendStatistics(*view, all); !status.ok()) {
      return Annotate(absl::StrCat("sandbox ", id), status);
    }
    return all;
  }
  for (const View& view : FindAll()) {
    if (absl::Status status = AppendStatistics(view, all); !status.ok()) {
      spdlog::warn("sandbox {}: {}", view.sandbox.id(), Text(status));
    }
  }
  return all;
}

}  // namespace lisafs
