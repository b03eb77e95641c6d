#ifndef LISAFS_SANDBOX_LOW_LEVEL_RUNTIME_H_
#define LISAFS_SANDBOX_LOW_LEVEL_RUNTIME_H_

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

// Finding and running the programs that lisafs-runtime hands over to: runc, crun or runsc, and those that stand beside
// it.

namespace lisafs {

// The path of the low-level runtime: `name` itself if it has a slash, otherwise the first executable of that name in
// PATH, or in the system's usual directories when an engine gave no PATH that has it. Never this program itself,
// whatever it is called. The error is a reason.
tl::expected<std::string, std::string> FindLowLevelRuntime(const std::string& name);

// Whether a low-level runtime, a name or a path, is gVisor's: its name begins with "runsc".
bool IsRunsc(std::string_view runtime);

// The path of the program `name` in the directory of this one.
std::string SiblingProgram(std::string_view name);

// Becomes the program at `path`. Returns only if that fails, with errno set.
void Exec(const std::string& path, const std::vector<std::string>& arguments);

// Runs the program at `path`, which dies with this one, and waits. Gives its exit status, 128 and the signal if it was
// killed, or the reason it could not be started.
tl::expected<int, std::string> RunProgram(const std::string& path, const std::vector<std::string>& arguments);

// What a container is to the low-level runtime.
struct ContainerState {
  std::string status;  // "created", "running", "paused", "stopped"
  pid_t pid = 0;       // 0 once it has stopped.
};
// Asks the low-level runtime at `runtime`, with its name and its global flags in `argv`, for the state of container
// `id`. Nothing if it does not know it.
std::optional<ContainerState> ReadContainerState(const std::string& runtime, std::vector<std::string> argv,
                                                 const std::string& id);

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_LOW_LEVEL_RUNTIME_H_
