#ifndef LISAFS_SANDBOX_RUNTIME_HOOK_H_
#define LISAFS_SANDBOX_RUNTIME_HOOK_H_

#include <sys/types.h>

#include <string>
#include <tl/expected.hpp>
#include <vector>

// The createRuntime hook: the low-level runtime runs it, outside of the container, when the container has its mounts
// and cgroups and none of its processes has started. The wrapper writes it into config.json, the container's state
// comes on stdin. It
//  - tells lisafsd which process the container is, in a file of its state directory, so that mounts can be added to it;
//  - starts the process that wakes those who watch files in the container (start_waker.h);
//  - unmounts the file systems where the low-level runtime found them, so that only the container holds them: one that
//  stays while
//    the container runs would keep them, and with them the plugin, after the container's end.

namespace lisafs {

// The first argument of lisafs-runtime when it is run as the hook; no low-level runtime has a command of this name.
inline constexpr char kHookCommand[] = "lisafs-hand-over";

// The hook's command line: `program` (a lisafs-runtime's path) and its arguments. `mounts` is the directory below which
// the file systems are mounted, each under its name in `names`, which are in the order of the plugin's;
// `container_file` the file that lisafsd wants the container's process written to (empty for none); `waker`
// lisafs-waker's path. The error is a reason: there is no process `plugin`.
tl::expected<std::vector<std::string>, std::string> HookCommandLine(const std::string& program, pid_t plugin,
                                                                    const std::string& mounts,
                                                                    const std::string& container_file,
                                                                    const std::string& waker,
                                                                    const std::vector<std::string>& names);

// Does what HookCommandLine asked for; `arguments` are those behind kHookCommand, `state` is what came on stdin. A
// plugin that is gone is no failure: the container will notice by itself.
tl::expected<void, std::string> RunHook(const std::vector<std::string>& arguments, const std::string& state);

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_RUNTIME_HOOK_H_
