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

#include "base/result.h"

namespace lisafs {
namespace {

constexpr char kOwnExecutable[] = "/proc/self/exe";
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

// What execv wants; made before a fork, since a forked child should not allocate.
std::vector<char*> Pointers(const std::vector<std::string>& arguments) {
  std::vector<char*> pointers;
  for (const std::string& argument : arguments) pointers.push_back(const_cast<char*>(argument.c_str()));
  pointers.push_back(nullptr);
  return pointers;
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

std::string SiblingProgram(std::string_view name) {
  char path[PATH_MAX];
  ssize_t length = readlink(kOwnExecutable, path, sizeof path);
  std::string_view own(path, length < 0 ? 0 : static_cast<size_t>(length));
  return std::string(own.substr(0, own.rfind('/') + 1)).append(name);
}

void Exec(const std::string& path, const std::vector<std::string>& arguments) {
  execv(path.c_str(), Pointers(arguments).data());
}

tl::expected<int, std::string> RunProgram(const std::string& path, const std::vector<std::string>& arguments,
                                          Output output) {
  std::vector<char*> pointers = Pointers(arguments);
  pid_t parent = getpid();
  pid_t child = fork();
  if (child < 0) return tl::unexpected(Errno::Last().ToString());
  if (child == 0) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) _exit(127);
    if (output == Output::kDiscard) {
      int null = open("/dev/null", O_RDWR | O_CLOEXEC);
      if (null < 0 || dup2(null, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0) _exit(127);
    }
    execv(path.c_str(), pointers.data());
    _exit(127);
  }
  int status;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return tl::unexpected(Errno::Last().ToString());
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace lisafs
