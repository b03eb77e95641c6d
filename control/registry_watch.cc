// The thread that watches the sandboxes' processes.

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>

#include "absl/strings/str_cat.h"
#include "control/registry.h"

namespace lisafs {
namespace {

using control::v1::Event;
using control::v1::Sandbox;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

// How long one of a sandbox's processes may live after the other has ended as it should.
constexpr auto kAlonePatience = seconds(5);

}  // namespace

void Registry::WakeWatcher() { eventfd_write(wake_up_.get(), 1); }

void Registry::Watch() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    std::vector<pollfd> watched = {{.fd = wake_up_.get(), .events = POLLIN, .revents = 0}};
    bool somebody_alone = false;
    for (const auto& [id, entry] : entries_) {
      AppendWatched(*entry, watched);
      somebody_alone |= entry->alone();
      for (const auto& [number, mount] : entry->added) {
        AppendWatched(*mount, watched);
        somebody_alone |= mount->alone();
      }
    }
    lock.unlock();
    poll(watched.data(), watched.size(), somebody_alone ? 1000 : -1);
    eventfd_t count;
    eventfd_read(wake_up_.get(), &count);
    lock.lock();
    for (auto entry = entries_.begin(); entry != entries_.end();) {
      ExamineAdded(*entry->second);
      if (!Examine(*entry->second) || !entry->second->all_gone()) {
        ++entry;
        continue;
      }
      spdlog::info("sandbox {}: ended", entry->first);
      events_.Add(Event::TYPE_SANDBOX_ENDED, entry->first, "", "ended with its mounts");
      entry->second->AwaitLimits();
      absl::Status cleared = Clear(entry->first, entry->second->directory);
      if (!cleared.ok()) spdlog::warn("{}", Text(cleared));
      entry = entries_.erase(entry);
    }
    changed_.notify_all();
  }
}

void Registry::AppendWatched(const Entry& entry, std::vector<pollfd>& watched) {
  // Only the watching thread lets go of processes that ended and of their logs, so these stay open while it waits.
  for (const std::optional<Process>* process : {&entry.gofer, &entry.plugin, &entry.broker}) {
    if (*process) watched.push_back({.fd = (*process)->pidfd(), .events = POLLIN, .revents = 0});
  }
  for (const ProgramLog& log : entry.logs) watched.push_back({.fd = log.fd(), .events = POLLIN, .revents = 0});
}

void Registry::ExamineAdded(Entry& sandbox) {
  for (auto mount = sandbox.added.begin(); mount != sandbox.added.end();) {
    const Entry& entry = *mount->second;
    if (!Examine(*mount->second)) {
      ++mount;
      continue;
    }
    spdlog::info("{}: ended", entry.Name());
    events_.Add(Event::TYPE_MOUNT_REMOVED, sandbox.sandbox.id(), entry.added_target, "unmounted");
    if (absl::Status removed = entry.directory.Remove(); !removed.ok()) spdlog::warn("{}", Text(removed));
    mount = sandbox.added.erase(mount);
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
        spdlog::warn("{}: {}", entry.Name(), what);
        events_.Add(Event::TYPE_PROCESS_DIED, entry.sandbox.id(), entry.added_target, what);
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
  events_.Add(Event::TYPE_PROCESS_DIED, entry.sandbox.id(), entry.added_target, what);
  if (entry.running()) Fail(entry, what);
}

void Registry::Fail(Entry& entry, const std::string& failure) {
  spdlog::warn("{}: failed: {}", entry.Name(), failure);
  entry.sandbox.set_state(Sandbox::STATE_FAILED);
  entry.sandbox.set_failure(failure);
  if (entry.added_target.empty()) events_.Add(Event::TYPE_SANDBOX_FAILED, entry.sandbox.id(), "", failure);
  if (absl::Status saved = entry.Save(); !saved.ok()) spdlog::error("{}: {}", entry.Name(), Text(saved));
}

}  // namespace lisafs
