// The cgroups of sandboxes, which are kept in step with what is in the state directory.

#include <spdlog/spdlog.h>

#include <string>
#include <utility>
#include <vector>

#include "control/registry.h"
#include "sandbox/limited_cgroup.h"

namespace lisafs {

namespace {

void AppendPids(const control::v1::Sandbox& sandbox, std::vector<pid_t>& pids) {
  for (pid_t pid : {sandbox.gofer_pid(), sandbox.plugin_pid(), sandbox.broker_pid()}) {
    if (pid != 0) pids.push_back(pid);
  }
}

void Enter(const CgroupLimits& limits, const std::string& id, const std::vector<pid_t>& pids) {
  absl::Status entered = EnterLimitedCgroup(limits, id, pids);
  if (!entered.ok()) {
    spdlog::warn("sandbox {}: it is not limited as it should be: {}", id, std::string(entered.message()));
  }
}

}  // namespace

void Registry::Limit(const Entry& sandbox) const {
  if (!programs_.cgroup.enabled) return;
  std::vector<pid_t> pids;
  AppendPids(sandbox.sandbox, pids);
  for (const auto& [number, mount] : sandbox.added) AppendPids(mount->sandbox, pids);
  Enter(programs_.cgroup, sandbox.sandbox.id(), pids);
}

std::future<void> Registry::StartLimiting(const std::string& id, pid_t gofer) const {
  if (!programs_.cgroup.enabled) return {};
  return std::async(std::launch::async, [limits = programs_.cgroup, id, gofer] {
    EnterLimitedCgroup(limits, id, {&gofer, 1}).IgnoreError();
  });
}

void Registry::GoOnLimiting(Entry& sandbox, std::future<void> begun) const {
  if (!programs_.cgroup.enabled) return;
  std::vector<pid_t> pids;
  AppendPids(sandbox.sandbox, pids);
  sandbox.limited = std::async(std::launch::async, [limits = programs_.cgroup, id = sandbox.sandbox.id(),
                                                    pids = std::move(pids), begun = std::move(begun)] {
    begun.wait();
    Enter(limits, id, pids);
  });
}

void Registry::Entry::AwaitLimits() const {
  if (limited.valid()) limited.wait();
  for (const auto& [number, mount] : added) mount->AwaitLimits();
}

absl::Status Registry::Clear(const std::string& id, const SandboxDirectory& directory) const {
  if (programs_.cgroup.enabled) {
    absl::Status removed = RemoveLimitedCgroup(programs_.cgroup, id);
    if (!removed.ok()) spdlog::warn("sandbox {}: its cgroup is left: {}", id, Text(removed));
  }
  return directory.Remove();
}

}  // namespace lisafs
