#include "control/registry.h"

#include <google/protobuf/util/time_util.h>
#include <poll.h>
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
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

// How long a process that was killed may take to be gone.
constexpr auto kKillPatience = seconds(10);
// How long one of a sandbox's processes may live after the other has ended as it should.
constexpr auto kAlonePatience = seconds(5);

// absl's string_view is not the standard's, and fmt knows only that.
std::string Text(const absl::Status& status) { return std::string(status.message()); }

absl::Status NoSuchSandbox(const std::string& id) {
  return WithReason(absl::NotFoundError(absl::StrCat("sandbox ", Escape(id), ": no such sandbox")), "SANDBOX_NOT_FOUND",
                    {{"sandbox", Escape(id)}});
}

}  // namespace

absl::Status Registry::Entry::Save() const {
  state::v1::SandboxState state;
  *state.mutable_sandbox() = sandbox;
  state.set_gofer_start_time(gofer ? gofer->start_time() : 0);
  state.set_plugin_start_time(plugin ? plugin->start_time() : 0);
  state.set_broker_start_time(broker ? broker->start_time() : 0);
  return directory.WriteState(std::move(state));
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

absl::Status Registry::PublishAll(const Entry& entry) {
  auto file = entry.directory.OpenPolicy();
  if (!file.ok()) return file.status();
  for (int i = 0; i < entry.sandbox.mounts_size(); ++i) {
    LISAFS_RETURN_IF_NOT_OK(PublishPolicy(*file, i, entry.sandbox.mounts(i).policy()));
  }
  return absl::OkStatus();
}

void Registry::Adopt(const std::string& id) {
  SandboxDirectory directory = state_.Get(id);
  auto state = directory.ReadState();
  absl::Status status = state.status();
  if (status.ok() && state->sandbox().id() != id) status = absl::DataLossError("sandbox.json: another sandbox's");
  if (status.ok()) {
    auto entry = std::make_shared<Entry>(Entry{.directory = directory, .sandbox = state->sandbox()});
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
    if (!entry->gone()) {
      auto file = directory.OpenCounters();
      auto counters = file.ok() ? CountersReader::Open(*std::move(file)) : file.status();
      if (counters.ok()) {
        entry->counters.emplace(*std::move(counters));
      } else {
        spdlog::warn("sandbox {}: {}", id, Text(counters.status()));
      }
      if (absl::Status published = PublishAll(*entry); !published.ok()) {
        spdlog::warn("sandbox {}: {}", id, Text(published));
      }
      auto logs = directory.OpenLogs();
      if (logs.ok()) {
        entry->logs = *std::move(logs);
      } else {
        spdlog::warn("sandbox {}: {}", id, Text(logs.status()));
      }
      spdlog::info("sandbox {}: found running", id);
      entries_.emplace(id, std::move(entry));
      return;
    }
    status = absl::NotFoundError("its processes have ended");
  }
  spdlog::info("state of {} is removed: {}", Escape(id), Text(status));
  if (absl::Status removed = directory.Remove(); !removed.ok()) spdlog::warn("{}", Text(removed));
}

absl::StatusOr<Sandbox> Registry::Create(const CreateSandboxRequest& request, absl::FunctionRef<bool()> cancelled) {
  const std::string& id = request.id();
  {
    std::lock_guard lock(mutex_);
    if (entries_.contains(id) || !being_made_.insert(id).second) {
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
  absl::Cleanup remove_directory = [&] { directory->Remove().IgnoreError(); };
  auto entry = Make(request, *directory, cancelled);
  if (!entry.ok()) {
    spdlog::warn("sandbox {}: not created: {}", id, Text(entry.status()));
    return entry.status();
  }

  std::move(remove_directory).Cancel();
  Sandbox sandbox = (*entry)->sandbox;
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
                                                                absl::FunctionRef<bool()> cancelled) {
  auto prepared = PreparedSandbox::Prepare(request, programs_, directory, cancelled);
  if (!prepared.ok()) return prepared.status();
  auto file = directory.OpenCounters();
  if (!file.ok()) return file.status();
  auto counters = CountersReader::Open(*std::move(file));
  if (!counters.ok()) return counters.status();
  auto logs = directory.OpenLogs();
  if (!logs.ok()) return logs.status();

  auto entry = std::make_shared<Entry>(Entry{.directory = directory, .counters = *std::move(counters)});
  entry->logs = *std::move(logs);
  entry->sandbox.set_id(request.id());
  entry->sandbox.set_state(Sandbox::STATE_RUNNING);
  const SandboxProcesses& processes = prepared->processes();
  entry->sandbox.set_gofer_pid(processes.gofer.pid());
  entry->sandbox.set_has_own_client(request.has_client());
  if (processes.plugin) entry->sandbox.set_plugin_pid(processes.plugin->pid());
  if (processes.broker) entry->sandbox.set_broker_pid(processes.broker->pid());
  *entry->sandbox.mutable_create_time() = google::protobuf::util::TimeUtil::GetCurrentTime();
  for (const control::v1::MountSpec& spec : request.mounts()) {
    control::v1::Mount& mount = *entry->sandbox.add_mounts();
    *mount.mutable_spec() = spec;
    *mount.mutable_policy() = InitialPolicy(spec);
  }

  // On disk before it is mounted: what is mounted is never unknown to the next lisafsd.
  state::v1::SandboxState state;
  *state.mutable_sandbox() = entry->sandbox;
  state.set_gofer_start_time(processes.gofer.start_time());
  if (processes.plugin) state.set_plugin_start_time(processes.plugin->start_time());
  if (processes.broker) state.set_broker_start_time(processes.broker->start_time());
  LISAFS_RETURN_IF_NOT_OK(directory.WriteState(std::move(state)));
  if (cancelled()) return absl::CancelledError("the caller gave up");
  LISAFS_RETURN_IF_NOT_OK(prepared->Mount());

  SandboxProcesses released = prepared->Release();
  entry->gofer = std::move(released.gofer);
  entry->plugin = std::move(released.plugin);
  entry->broker = std::move(released.broker);
  return entry;
}

absl::Status Registry::Delete(const std::string& id) {
  std::unique_lock lock(mutex_);
  auto found = entries_.find(id);
  if (found == entries_.end()) return NoSuchSandbox(id);
  std::shared_ptr<Entry> entry = found->second;
  entry->deleting = true;
  // The gofer last: then what waits for it learns that the file system is gone, which takes both who hold its device,
  // and not that a request failed.
  if (entry->broker) entry->broker->Kill();
  if (entry->plugin) entry->plugin->Kill();
  if (entry->gofer) entry->gofer->Kill();
  if (!changed_.wait_for(lock, kKillPatience, [&] { return entry->gone(); })) {
    entry->deleting = false;
    return absl::DeadlineExceededError(absl::StrCat("sandbox ", id, ": ",
                                                    entry->gofer    ? "gofer"
                                                    : entry->plugin ? "plugin"
                                                                    : "broker",
                                                    " does not go although it was killed"));
  }
  // Another call may have been here first.
  found = entries_.find(id);
  if (found == entries_.end() || found->second != entry) return absl::OkStatus();
  entries_.erase(found);
  spdlog::info("sandbox {}: deleted", id);
  events_.Add(Event::TYPE_SANDBOX_ENDED, id, "", "deleted");
  return entry->directory.Remove();
}

bool Registry::Answers() const {
  std::lock_guard lock(mutex_);
  return true;
}

absl::StatusOr<control::v1::Mount> Registry::UpdateMount(const control::v1::UpdateMountRequest& request) {
  const std::string name = absl::StrCat("sandbox ", request.sandbox_id(), ": mount ", Escape(request.target()));
  std::lock_guard lock(mutex_);
  auto found = entries_.find(request.sandbox_id());
  if (found == entries_.end()) return NoSuchSandbox(request.sandbox_id());
  Entry& entry = *found->second;
  auto* mounts = entry.sandbox.mutable_mounts();
  auto mount = std::find_if(mounts->begin(), mounts->end(),
                            [&](const control::v1::Mount& mount) { return mount.spec().target() == request.target(); });
  if (mount == mounts->end()) return absl::NotFoundError(name + ": no such mount");
  if (!entry.running()) return absl::FailedPreconditionError(name + ": the sandbox has failed");
  auto policy = UpdatedPolicy(*mount, request);
  if (!policy.ok()) return Annotate(name, policy.status());
  auto file = entry.directory.OpenPolicy();
  if (!file.ok()) return Annotate(name, file.status());

  // On disk first: what its gofer heeds is never unknown to the next lisafsd, which publishes it again.
  mount->mutable_policy()->Swap(&*policy);
  absl::Status status = entry.Save();
  if (status.ok()) status = PublishPolicy(*file, mount - mounts->begin(), mount->policy());
  if (!status.ok()) {
    mount->mutable_policy()->Swap(&*policy);
    return Annotate(name, status);
  }
  spdlog::info("{}: now {{{}}}", name, mount->policy().ShortDebugString());
  return *mount;
}

absl::StatusOr<Registry::View> Registry::Find(const std::string& id) const {
  std::lock_guard lock(mutex_);
  auto found = entries_.find(id);
  if (found == entries_.end()) return NoSuchSandbox(id);
  return View{found->second->sandbox, found->second};
}

std::vector<Registry::View> Registry::FindAll() const {
  std::lock_guard lock(mutex_);
  std::vector<View> views;
  for (const auto& [id, entry] : entries_) views.push_back({entry->sandbox, entry});
  return views;
}

// What the gofer holds stays zero where it cannot be read: the rest is worth knowing all the same.
Sandbox Registry::Describe(View view) {
  for (int i = 0; view.entry->counters && i < view.sandbox.mounts_size(); ++i) {
    view.entry->counters->ReadHeld(i, *view.sandbox.mutable_mounts(i)).IgnoreError();
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
  }
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

void Registry::WakeWatcher() { eventfd_write(wake_up_.get(), 1); }

void Registry::Watch() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    std::vector<pollfd> watched = {{.fd = wake_up_.get(), .events = POLLIN, .revents = 0}};
    bool somebody_alone = false;
    for (const auto& [id, entry] : entries_) {
      // Only this thread lets go of processes that ended and of their logs, so these stay open while it waits.
      if (entry->gofer) watched.push_back({.fd = entry->gofer->pidfd(), .events = POLLIN, .revents = 0});
      if (entry->plugin) watched.push_back({.fd = entry->plugin->pidfd(), .events = POLLIN, .revents = 0});
      if (entry->broker) watched.push_back({.fd = entry->broker->pidfd(), .events = POLLIN, .revents = 0});
      for (const ProgramLog& log : entry->logs) watched.push_back({.fd = log.fd(), .events = POLLIN, .revents = 0});
      somebody_alone |= entry->alone_since.has_value() && entry->running();
    }
    lock.unlock();
    poll(watched.data(), watched.size(), somebody_alone ? 1000 : -1);
    eventfd_t count;
    eventfd_read(wake_up_.get(), &count);
    lock.lock();
    for (auto entry = entries_.begin(); entry != entries_.end();) {
      if (!Examine(*entry->second)) {
        ++entry;
        continue;
      }
      spdlog::info("sandbox {}: ended", entry->first);
      events_.Add(Event::TYPE_SANDBOX_ENDED, entry->first, "", "ended with its mounts");
      if (absl::Status removed = entry->second->directory.Remove(); !removed.ok()) spdlog::warn("{}", Text(removed));
      entry = entries_.erase(entry);
    }
    changed_.notify_all();
  }
}

bool Registry::Examine(Entry& entry) {
  if (entry.gofer) {
    if (auto end = entry.gofer->Wait(milliseconds(0))) {
      entry.gofer.reset();
      entry.sandbox.set_gofer_pid(0);
      NoteEnd(entry, "gofer", *end);
    }
  }
  if (entry.plugin) {
    if (auto end = entry.plugin->Wait(milliseconds(0))) {
      entry.plugin.reset();
      entry.sandbox.set_plugin_pid(0);
      NoteEnd(entry, "plugin", *end);
    }
  }
  if (entry.broker) {
    if (auto end = entry.broker->Wait(milliseconds(0))) {
      entry.broker.reset();
      entry.sandbox.set_broker_pid(0);
      if (end->failed() && entry.running() && !entry.deleting) {
        // The sandbox goes on without.
        const std::string what = absl::StrCat("broker ", end->ToString(), ": no more files are passed through");
        spdlog::warn("sandbox {}: {}", entry.sandbox.id(), what);
        events_.Add(Event::TYPE_PROCESS_DIED, entry.sandbox.id(), "", what);
      }
    }
  }
  for (ProgramLog& log : entry.logs) log.Collect();
  if (entry.gone()) {
    entry.logs.clear();
    return entry.running() && !entry.deleting;
  }
  // The broker sees that they are gone, and goes.
  if (!entry.gofer && !entry.plugin) return false;

  if (entry.sandbox.has_own_client() || (entry.gofer && entry.plugin)) return false;
  auto now = steady_clock::now();
  if (!entry.alone_since) entry.alone_since = now;
  if (now - *entry.alone_since >= kAlonePatience && entry.running() && !entry.deleting) {
    Fail(entry, entry.gofer ? "plugin ended before the gofer" : "gofer ended before the plugin");
  }
  return false;
}

void Registry::NoteEnd(Entry& entry, const std::string& program, const ProcessEnd& end) {
  if (!end.failed() || entry.deleting) return;
  const std::string what = absl::StrCat(program, " ", end.ToString());
  events_.Add(Event::TYPE_PROCESS_DIED, entry.sandbox.id(), "", what);
  if (entry.running()) Fail(entry, what);
}

void Registry::Fail(Entry& entry, const std::string& failure) {
  spdlog::warn("sandbox {}: failed: {}", entry.sandbox.id(), failure);
  entry.sandbox.set_state(Sandbox::STATE_FAILED);
  entry.sandbox.set_failure(failure);
  events_.Add(Event::TYPE_SANDBOX_FAILED, entry.sandbox.id(), "", failure);
  if (absl::Status saved = entry.Save(); !saved.ok()) spdlog::error("sandbox {}: {}", entry.sandbox.id(), Text(saved));
}

}  // namespace lisafs
