#include "tests/support/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "tests/support/files.h"

extern char** environ;

namespace lisafs::tests {
namespace {

// The only caller of wait() in the process. Statuses of the processes that the test started are kept until asked for;
// those of orphans are dropped.
class Reaper {
 public:
  static Reaper& Get() {
    static Reaper* reaper = new Reaper;  // Never destroyed: its thread has no end.
    return *reaper;
  }

  // `start` starts a process and gives its pid or -1. Its end is not missed, however soon it comes.
  template <typename F>
  pid_t Start(F&& start) {
    std::lock_guard lock(mutex_);
    pid_t pid = start();
    if (pid > 0) ended_.emplace(pid, std::nullopt);
    return pid;
  }

  // The wait status, after which the pid is nobody's.
  std::optional<int> WaitFor(pid_t pid, std::chrono::milliseconds timeout) {
    std::unique_lock lock(mutex_);
    auto entry = ended_.find(pid);
    if (entry == ended_.end()) return std::nullopt;
    if (!changed_.wait_for(lock, timeout, [&] { return entry->second.has_value(); })) return std::nullopt;
    int status = *entry->second;
    ended_.erase(entry);
    return status;
  }

  // Signals it, or with `group` everything in its process group, unless it has ended and been reaped.
  void Signal(pid_t pid, int signal, bool group) {
    std::lock_guard lock(mutex_);
    auto entry = ended_.find(pid);
    if (entry == ended_.end() || entry->second.has_value()) return;
    kill(group ? -pid : pid, signal);
  }

 private:
  Reaper() {
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    std::thread([this] { Reap(); }).detach();
  }

  [[noreturn]] void Reap() {
    while (true) {
      int status = 0;
      pid_t pid = waitpid(-1, &status, 0);
      if (pid < 0) {  // No child at the moment.
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        continue;
      }
      std::lock_guard lock(mutex_);
      if (auto entry = ended_.find(pid); entry != ended_.end()) entry->second = status;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<pid_t, std::optional<int>> ended_;
};

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& string : strings) pointers.push_back(string.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::string ReadAll(int fd) {
  std::string text;
  char buffer[65536];
  ssize_t got;
  while ((got = pread(fd, buffer, sizeof buffer, static_cast<off_t>(text.size()))) > 0) text.append(buffer, got);
  return text;
}

}  // namespace

std::ostream& operator<<(std::ostream& stream, const Ran& ran) {
  return stream << "status " << ran.status << (ran.timed_out ? " (timed out)" : "") << "\nstdout: " << ran.out
                << "\nstderr: " << ran.err;
}

Process::Process(const std::vector<std::string>& argv, const RunOptions& options)
    : out_(memfd_create("stdout", MFD_CLOEXEC)), err_(memfd_create("stderr", MFD_CLOEXEC)) {
  Fd input(memfd_create("stdin", MFD_CLOEXEC));
  if (write(input.get(), options.input.data(), options.input.size()) < 0) start_error_ = strerror(errno);
  lseek(input.get(), 0, SEEK_SET);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input.get(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out_.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err_.get(), STDERR_FILENO);
  if (!options.directory.empty()) posix_spawn_file_actions_addchdir_np(&actions, options.directory.c_str());
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);

  std::vector<std::string> arguments = argv;
  std::vector<std::string> environment = options.environment;
  for (char** variable = environ; *variable != nullptr; variable++) environment.emplace_back(*variable);

  pid_ = Reaper::Get().Start([&]() -> pid_t {
    pid_t pid = -1;
    int error = posix_spawnp(&pid, arguments[0].c_str(), &actions, &attributes, Pointers(arguments).data(),
                             Pointers(environment).data());
    if (error == 0) return pid;
    start_error_ = arguments[0] + ": " + strerror(error);
    return -1;
  });
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      out_(std::move(other.out_)),
      err_(std::move(other.err_)),
      start_error_(std::move(other.start_error_)) {}

Process::~Process() {
  if (pid_ > 0) Wait(std::chrono::milliseconds(0));
}

std::string Process::out() const { return ReadAll(out_.get()); }
std::string Process::err() const { return start_error_ + ReadAll(err_.get()); }

void Process::Signal(int signal) {
  if (pid_ > 0) Reaper::Get().Signal(pid_, signal, /*group=*/false);
}

Ran Process::Wait(std::chrono::milliseconds timeout) {
  Ran ran;
  ran.status = 127;
  if (pid_ > 0) {
    std::optional<int> status = Reaper::Get().WaitFor(pid_, timeout);
    if (!status) {
      ran.timed_out = true;
      Reaper::Get().Signal(pid_, SIGKILL, /*group=*/true);
      status = Reaper::Get().WaitFor(pid_, std::chrono::seconds(10));
    }
    if (status) ran.status = WIFEXITED(*status) ? WEXITSTATUS(*status) : 128 + WTERMSIG(*status);
    pid_ = -1;
  }
  ran.out = out();
  ran.err = err();
  return ran;
}

Ran RunProgram(const std::vector<std::string>& argv, const RunOptions& options) {
  return Process(argv, options).Wait(options.timeout);
}

std::ostream& operator<<(std::ostream& stream, const Descendant& descendant) {
  return stream << descendant.pid << " (" << descendant.name << ") " << descendant.command_line;
}

std::vector<Descendant> Descendants() {
  struct Task {
    pid_t parent;
    std::string name;
  };
  std::map<pid_t, Task> tasks;  // All that live.
  for (const std::string& entry : ListDirectory("/proc")) {
    pid_t pid = static_cast<pid_t>(strtol(entry.c_str(), nullptr, 10));
    if (pid <= 0) continue;
    // "PID (NAME) STATE PPID …", where NAME may hold anything.
    std::string stat = ReadFile("/proc/" + entry + "/stat").value_or("");
    size_t open = stat.find('('), close = stat.rfind(')');
    if (close == std::string::npos || close + 4 > stat.size()) continue;
    char state = stat[close + 2];
    if (state == 'Z' || state == 'X') continue;
    tasks[pid] = {static_cast<pid_t>(strtol(&stat[close + 4], nullptr, 10)), stat.substr(open + 1, close - open - 1)};
  }
  std::vector<Descendant> found;
  for (const auto& [pid, task] : tasks) {
    pid_t ancestor = task.parent;
    while (ancestor != getpid() && tasks.contains(ancestor)) ancestor = tasks[ancestor].parent;
    if (ancestor != getpid()) continue;
    std::string command_line = ReadFile("/proc/" + std::to_string(pid) + "/cmdline").value_or("");
    for (char& c : command_line) c = c == '\0' ? ' ' : c;
    found.push_back({pid, task.name, command_line});
  }
  return found;
}

}  // namespace lisafs::tests
