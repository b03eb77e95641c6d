#ifndef LISAFS_CONTROL_REGISTRY_H_
#define LISAFS_CONTROL_REGISTRY_H_

#include <poll.h>

#include <chrono>
#include <condition_variable>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/fd.h"
#include "control/access_recorder.h"
#include "control/events.h"
#include "control/prepared_sandbox.h"
#include "control/state_directory.h"
#include "control/statistics.h"
#include "proto/lisafs/control/v1/control.pb.h"
#include "sandbox/process.h"
#include "sandbox/program_log.h"

namespace lisafs {

// The sandboxes of this host. It makes them, watches their processes on a thread of its own and forgets those that end;
// what it knows is in the state directory too, where the next lisafsd finds it. Any thread may call it.
class Registry {
 public:
  // Adopts the sandboxes in `state` that live, and removes what is left of others. What happens to them goes to
  // `events`, which must outlive the registry.
  static absl::StatusOr<std::unique_ptr<Registry>> Open(StateDirectory state, SandboxPrograms programs, Events& events);

  // Leaves the sandboxes running.
  ~Registry();

  // These do what the calls of the same name in control.proto say; requests are valid. `cancelled` is asked again and
  // again.
  absl::StatusOr<control::v1::Sandbox> Create(const control::v1::CreateSandboxRequest& request,
                                              absl::FunctionRef<bool()> cancelled);
  // DEADLINE_EXCEEDED: a process does not go although it was killed.
  absl::Status Delete(const std::string& id);
  absl::StatusOr<control::v1::Mount> AddMount(const control::v1::AddMountRequest& request,
                                              absl::FunctionRef<bool()> cancelled);
  // CANCELLED: while it waited, and then nothing has changed.
  absl::Status RemoveMount(const control::v1::RemoveMountRequest& request, absl::FunctionRef<bool()> cancelled);
  absl::StatusOr<control::v1::Mount> UpdateMount(const control::v1::UpdateMountRequest& request);
  // Records from now on what a mount is asked for.
  absl::StatusOr<std::unique_ptr<AccessRecorder>> RecordAccess(const std::string& id, const std::string& target) const;
  // The process that serves the mount. FAILED_PRECONDITION: it is gone.
  absl::StatusOr<pid_t> GoferOf(const std::string& id, const std::string& target) const;
  absl::StatusOr<control::v1::Sandbox> Get(const std::string& id) const;
  std::vector<control::v1::Sandbox> List() const;
  // In their order: those behind `after`, at most `limit`.
  std::vector<std::string> Ids(const std::string& after, size_t limit) const;

  // True; does not return while the registry is stuck.
  bool Answers() const;

  // Where whoever makes the sandbox's container says which process it is.
  std::string ContainerFile(const std::string& id) const { return state_.Get(id).ContainerFile(); }

  // Of one sandbox, or of all if `id` is empty: then a sandbox whose counters cannot be read is left out.
  absl::StatusOr<std::vector<control::v1::MountStatistics>> Statistics(const std::string& id) const;

 private:
  // A sandbox, or a mount that was added to one: it has processes of its own, as a sandbox with that mount alone has.
  struct Entry {
    SandboxDirectory directory;
    std::string request_id;
    std::optional<CountersReader> counters;  // None: they could not be read when the sandbox was adopted.
    std::optional<ClaimsReader> claims;      // None if it has no plugin, too.
    // Under the lock:
    control::v1::Sandbox sandbox;  // Without what the counters say.
    std::optional<Process> gofer;  // Until they are known to have ended.
    std::optional<Process> plugin;
    std::optional<Process> broker;
    std::vector<ProgramLog> logs;  // Of all, until all have ended; none if they could not be opened.
    bool deleting = false;
    std::string added_target;  // Of an added mount.
    // Of a sandbox: its added mounts by number, and the targets of those that are being added or removed right now.
    std::map<uint32_t, std::shared_ptr<Entry>> added;
    std::set<std::string> busy_targets;
    uint32_t next_number = 1;
    // Since when only one of the two lives.
    std::optional<std::chrono::steady_clock::time_point> alone_since;
    // Ends when the processes are in their cgroup; not valid of those that were adopted.
    std::future<void> limited;

    bool gone() const { return !gofer && !plugin && !broker; }
    // With all that was added to it, and nothing is being done to it.
    bool all_gone() const;
    // "sandbox web", "sandbox web: mount /data".
    std::string Name() const;
    void Kill() const;
    bool running() const { return sandbox.state() == control::v1::Sandbox::STATE_RUNNING; }
    // To be looked at again although nothing happens.
    bool alone() const { return alone_since.has_value() && running(); }
    // Writes it to the state directory.
    absl::Status Save() const;
    // Waits until its cgroup is made, and with it those who are to be in it, so that it can be removed.
    void AwaitLimits() const;
  };
  // A sandbox as it was at one moment, with the entry for what does not change.
  struct View {
    control::v1::Sandbox sandbox;
    std::shared_ptr<const Entry> entry;
    std::vector<View> added;
  };
  // How a sandbox's file systems get to where they belong.
  using Place = absl::FunctionRef<absl::Status(PreparedSandbox& prepared)>;

  Registry(StateDirectory state, SandboxPrograms programs, Events& events, Fd wake_up);

  void Adopt(const std::string& id);
  // What the directory tells, with those processes that live.
  static absl::StatusOr<std::shared_ptr<Entry>> Read(const SandboxDirectory& directory, const std::string& id);
  void ReadAdded(Entry& sandbox);
  // Opens what a running one needs.
  static void Resume(Entry& entry);
  // Has the mounts' policies heeded: an earlier lisafsd may not have come to it.
  static absl::Status PublishAll(const Entry& entry);
  absl::StatusOr<std::shared_ptr<Entry>> Make(const control::v1::CreateSandboxRequest& request,
                                              const SandboxDirectory& directory, absl::FunctionRef<bool()> cancelled,
                                              Place place);
  // Puts the processes of a sandbox, or of an added mount, into the sandbox's cgroup. That the host does not allow it
  // is in the log.
  void Limit(const Entry& sandbox) const;
  // Moving a process, the kernel may wait for 10 ms and more, but not again for those that are moved soon after. So a
  // thread of its own begins with the gofer's first process, whether or not that is there for long enough,
  std::future<void> StartLimiting(const std::string& id, pid_t gofer) const;
  // and goes on with those that last.
  void GoOnLimiting(Entry& sandbox, std::future<void> begun) const;
  // Removes what is left of a sandbox whose processes have ended.
  absl::Status Clear(const std::string& id, const SandboxDirectory& directory) const;
  // Under the lock. NOT_FOUND: no sandbox has the id.
  absl::StatusOr<std::shared_ptr<Entry>> FindEntry(const std::string& id) const;
  static View ViewOf(const std::shared_ptr<Entry>& entry);

  // Who serves a mount, and its index there. Under the lock.
  struct ServedMount {
    std::shared_ptr<Entry> entry;
    int index;
  };
  // NOT_FOUND: no sandbox has the id, or no mount of it the target.
  absl::StatusOr<ServedMount> FindMount(const std::string& id, const std::string& target) const;
  // Under the lock: whether a mount may be added to the sandbox now.
  static absl::Status CheckMayAdd(const Entry& sandbox, const std::string& target);
  // The number of an added mount; an error if there is none of that target, or it may not be removed now. Under the
  // lock.
  static absl::StatusOr<uint32_t> FindAdded(const Entry& sandbox, const std::string& target);
  absl::StatusOr<std::shared_ptr<Entry>> MakeAdded(const Entry& sandbox, uint32_t number,
                                                   const control::v1::AddMountRequest& request,
                                                   absl::FunctionRef<bool()> cancelled);
  absl::Status Unmount(const Entry& sandbox, const Entry& mount, const control::v1::RemoveMountRequest& request,
                       absl::FunctionRef<bool()> cancelled) const;
  // What an earlier lisafsd has begun.
  void GoOnRemoving(const Entry& sandbox, const Entry& mount) const;
  // Ends a mount's processes and forgets it.
  absl::Status Drop(Entry& sandbox, uint32_t number, std::chrono::milliseconds patience);
  // Nobody adds or removes the target any more.
  void Release(Entry& sandbox, const std::string& target);

  absl::StatusOr<View> Find(const std::string& id) const;
  std::vector<View> FindAll() const;
  static control::v1::Sandbox Describe(View view);
  // absl's string_view is not the standard's, and fmt knows only that.
  static std::string Text(const absl::Status& status) { return std::string(status.message()); }
  static absl::Status AppendStatistics(const View& view, std::vector<control::v1::MountStatistics>& all);

  // The watching thread.
  void Watch();
  void WakeWatcher();
  // What there is to wait for.
  static void AppendWatched(const Entry& entry, std::vector<pollfd>& watched);
  // Forgets the added mounts that ended by themselves. Under the lock.
  void ExamineAdded(Entry& sandbox);
  // Keeps what processes said and takes note of those that ended; true if all ended by themselves. Under the lock.
  bool Examine(Entry& entry);
  // A process that was waited for; under the lock.
  void NoteEnd(Entry& entry, const std::string& program, const ProcessEnd& end);
  void Fail(Entry& entry, const std::string& failure);

  const StateDirectory state_;
  const SandboxPrograms programs_;
  Events& events_;
  const Fd wake_up_;  // An eventfd.

  mutable std::mutex mutex_;
  std::condition_variable changed_;  // A process of some sandbox ended.
  std::map<std::string, std::shared_ptr<Entry>> entries_;
  std::set<std::string> being_made_;
  bool stopping_ = false;

  std::thread watcher_;
};

}  // namespace lisafs

#endif  // LISAFS_CONTROL_REGISTRY_H_
