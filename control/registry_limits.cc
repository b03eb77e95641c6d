// The cgroups of sandboxes, which are kept in step with what is in the state directory.

#include <spdlog/spdlog.h>

#include <vector>

#include "control/registry.h"
#include "sandbox/limited_cgroup.h"

namespace lisafs {

void Registry::Limit(const Entry& sandbox) const {
  if (!programs_.cgroup.enabled) return;
  std::vector<pid_t> pids;
  auto append = [&](const Entry& entry) {
    for (pid_t pid : {entry.sandbox.gofer_pid(), entry.sandbox.broker_pid()}) {
      if (pid != 0) pids.push_back(pid);
    }
  };
  append(sandbox);
  for (const auto& [number, mount] : sandbox.added) append(*mount);
  absl::Status entered = EnterLimitedCgroup(programs_.cgroup, sandbox.sandbox.id(), pids);
  if (!entered.ok()) {
    spdlog::warn("sandbox {}: its gofer is not limited as it should be: {}", sandbox.sandbox.id(), Text(entered));
  }
}

absl::Status Registry::Clear(const std::string& id, const SandboxDirectory& directory) const {
  if (programs_.cgroup.enabled) {
    absl::Status removed = RemoveLimitedCgroup(programs_.cgroup, id);
    if (!removed.ok()) spdlog::warn("sandbox {}: its cgroup is left: {}", id, Text(removed));
  }
  return directory.Remove();
}

}  // namespace lisafs
