#include "sandbox/low_level_runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/fd.h"
#include "base/result.h"

namespace lisafs {
namespace {

constexpr char kOwnExecutable[] = "/proc/self/exe";
// A shell's status for a program that cannot be executed.
constexpr int kCannotRun = 127;
// A container's state is some hundred bytes; its annotations may be more.
constexpr size_t kMaxState = 16 << 20;
constexpr char kUsualDirectories[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

bool IsExecutableFile(const std::string& path, struct stat* file) {
  return stat(path.c_str(), file) == 0 && S_ISREG(file->st_mode) && access(path.c_str(), X_OK) == 0;
}

bool IsSameFile(const struct stat& file, const std::string& path) {
  struct stat other;
  return stat(path.c_str(), &other) == 0 && other.st_dev == file.st_dev && other.st_ino == file.st_ino;
}

bool IsOurs(const struct stat& file) {
  return IsSameFile(file, kOwnExecutable) || IsSameFile(file, SiblingProgram("lisafs-runtime"));
}

// What execv wants.
std::vector<char*> Pointers(const std::vector<std::string>& arguments) {
  std::vector<char*> pointers;
  for (const std::string& argument : arguments) pointers.push_back(const_cast<char*>(argument.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// Starts a program that dies with this one. Its output goes to `output` and what it says on stderr nowhere, unless
// `output` is -1. Gives its process id, or -1. The process may have threads: the child allocates nothing.
pid_t Start(const std::string& path, const std::vector<std::string>& arguments, int output) {
  std::vector<char*> pointers = Pointers(arguments);
  pid_t parent = getpid();
  pid_t child = fork();
  if (child != 0) return child;
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) _exit(kCannotRun);
  if (output >= 0) {
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null < 0 || dup2(output, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0) _exit(kCannotRun);
  }
  execv(path.c_str(), pointers.data());
  _exit(kCannotRun);
}

tl::expected<int, std::string> Wait(pid_t child) {
  if (child < 0) return tl::unexpected(Errno::Last().ToString());
  int status;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return tl::unexpected(Errno::Last().ToString());
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

tl::expected<std::string, std::string> FindLowLevelRuntime(const std::string& name) {
  struct stat file;
  if (name.find('/') != std::string::npos) {
    if (!IsExecutableFile(name, &file)) return tl::unexpected<std::string>("is not an executable file");
    if (IsOurs(file)) return tl::unexpected<std::string>("is lisafs-runtime itself");
    return name;
  }
  const char* path = getenv("PATH");
  std::string directories = std::string(path == nullptr ? "" : path) + ":" + kUsualDirectories;
  for (size_t begin = 0; begin <= directories.size();) {
    size_t end = std::min(directories.find(':', begin), directories.size());
    std::string candidate = directories.substr(begin, end - begin) + "/" + name;
    if (end > begin && IsExecutableFile(candidate, &file) && !IsOurs(file)) return candidate;
    begin = end + 1;
  }
  return tl::unexpected<std::string>("not found in PATH");
}

bool IsRunsc(std::string_view runtime) { return runtime.substr(runtime.rfind('/') + 1).starts_with("runsc"); }

std::string SiblingProgram(std::string_view name) {
  char path[PATH_MAX];
  ssize_t length = readlink(kOwnExecutable, path, sizeof path);
  std::string_view own(path, length < 0 ? 0 : static_cast<size_t>(length));
  return std::string(own.substr(0, own.rfind('/') + 1)).append(name);
}

void Exec(const std::string& path, const std::vector<std::string>& arguments) {
  execv(path.c_str(), Pointers(arguments).data());
}

tl::expected<int, std::string> RunProgram(const std::string& path, const std::vector<std::string>& arguments) {
  return Wait(Start(path, arguments, -1));
}

std::optional<ContainerState> ReadContainerState(const std::string& runtime, std::vector<std::string> argv,
                                                 const std::string& id) {
  argv.insert(argv.end(), {"state", id});
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return std::nullopt;
  Fd read_end(ends[0]), write_end(ends[1]);
  pid_t child = Start(runtime, argv, write_end.get());
  write_end.reset();
  std::string output;
  char buffer[4096];
  for (ssize_t length; (length = read(read_end.get(), buffer, sizeof buffer)) > 0 && output.size() < kMaxState;) {
    output.append(buffer, static_cast<size_t>(length));
  }
  read_end.reset();
  auto status = Wait(child);
  if (!status || *status != 0) return std::nullopt;
  nlohmann::json state = nlohmann::json::parse(output, nullptr, /*allow_exceptions=*/false);
  if (!state.is_object() || !state.contains("status") || !state["status"].is_string()) return std::nullopt;
  ContainerState out = {.status = state["status"].get<std::string>()};
  if (state.contains("pid") && state["pid"].is_number_integer()) out.pid = state["pid"].get<pid_t>();
  return out;
}

}  // namespace lisafs
