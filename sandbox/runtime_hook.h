#ifndef LISAFS_SANDBOX_RUNTIME_HOOK_H_
#define LISAFS_SANDBOX_RUNTIME_HOOK_H_

#include <sys/types.h>

#include <string>
#include <tl/expected.hpp>
#include <vector>

// The createRuntime hook that puts a sandbox's plugin into the container's cgroups, so that what it uses is counted and
// limited as the container's. The wrapper writes it into config.json, the low-level runtime runs it with the
// container's state on stdin.

namespace lisafs {

// The first argument of lisafs-runtime when it is run as the hook; no low-level runtime has a command of this name.
inline constexpr char kHookCommand[] = "lisafs-move-plugin";

// The hook's command line: `program` (a lisafs-runtime's path) and its arguments. The error is a reason: there is no
// such process.
tl::expected<std::vector<std::string>, std::string> HookCommandLine(const std::string& program, pid_t plugin);

// Does what HookCommandLine asked for; `arguments` are those behind kHookCommand, `state` is what came on stdin. It is
// a success if the plugin is gone, which the container will notice by itself.
tl::expected<void, std::string> RunHook(const std::vector<std::string>& arguments, const std::string& state);

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_RUNTIME_HOOK_H_
