#include "sandbox/start_waker.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <utility>

#include "base/waking.h"

namespace lisafs {
namespace {

// The numbers that descriptors get in the waker begin here.
constexpr int kFirstDescriptor = STDERR_FILENO + 1;

// The waker's arguments, and what it inherits.
struct WakerCommand {
  std::vector<std::string> arguments;
  std::vector<Fd> descriptors;
  std::string Give(Fd fd) {
    descriptors.push_back(std::move(fd));
    return std::to_string(kFirstDescriptor + descriptors.size() - 1);
  }
};

Fd OpenProcess(pid_t pid) { return Fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))); }

StepResult<pid_t> Spawn(const std::string& program, WakerCommand command) {
  const int first_free = kFirstDescriptor + static_cast<int>(command.descriptors.size());
  for (Fd& fd : command.descriptors) {
    if (fd.get() < first_free) fd = Fd(fcntl(fd.get(), F_DUPFD_CLOEXEC, first_free));
    if (!fd) return FailStepWithErrno("dup");
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  // Whoever reads what the caller says waits until the last one that could say something is gone.
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDWR, 0);
  for (int output : {STDOUT_FILENO, STDERR_FILENO}) posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO, output);
  for (size_t i = 0; i < command.descriptors.size(); ++i) {
    posix_spawn_file_actions_adddup2(&actions, command.descriptors[i].get(), kFirstDescriptor + static_cast<int>(i));
  }
  posix_spawn_file_actions_addchdir_np(&actions, "/");
  std::vector<char*> argv;
  for (std::string& argument : command.arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  char* environment[] = {nullptr};
  pid_t pid = 0;
  const int error = posix_spawn(&pid, program.c_str(), &actions, nullptr, argv.data(), environment);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return FailStep(program, Errno(error));
  return pid;
}

}  // namespace

StepResult<Fd> CloneForWaker(int directory, const std::string& path) {
  Fd tree(open_tree(directory, path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH));
  if (!tree) return FailStep("open_tree " + path, Errno::Last());
  mount_attr attributes = {};
  attributes.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW;
  attributes.attr_clr = MOUNT_ATTR_RDONLY;
  if (mount_setattr(tree.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0) {
    return FailStep("mount_setattr " + path, Errno::Last());
  }
  return tree;
}

StepResult<pid_t> StartWaker(const std::string& program, pid_t plugin, pid_t container, std::vector<Fd> trees) {
  const Fd its_plugin = OpenProcess(plugin);
  if (!its_plugin) return FailStepWithErrno("the plugin");
  WakerCommand command;
  command.arguments = {program};
  for (size_t i = 0; i < trees.size(); ++i) {
    if (!trees[i]) continue;
    const int number = kFirstWakerFd + static_cast<int>(i);
    Fd socket(static_cast<int>(syscall(SYS_pidfd_getfd, its_plugin.get(), number, 0)));
    if (!socket && errno == EBADF) continue;
    if (!socket) return FailStepWithErrno("the plugin's socket");
    const std::string tree = command.Give(std::move(trees[i]));
    command.arguments.push_back("--mount");
    command.arguments.push_back(tree + ":" + command.Give(std::move(socket)));
  }
  if (command.descriptors.empty()) return 0;
  Fd process = OpenProcess(container);
  if (!process) return FailStepWithErrno("the container's first process");
  // Nobody waits for what it says when it is ready.
  Fd nobody(open("/dev/null", O_WRONLY | O_CLOEXEC));
  if (!nobody) return FailStepWithErrno("/dev/null");
  command.arguments.push_back("--container");
  command.arguments.push_back(command.Give(std::move(process)));
  command.arguments.push_back("--ready-fd");
  command.arguments.push_back(command.Give(std::move(nobody)));
  return Spawn(program, std::move(command));
}

void EndWaker(pid_t plugin) {
  const Fd process = OpenProcess(plugin);
  const Fd socket(static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), kFirstOwnWakerFd, 0)));
  if (socket) shutdown(socket.get(), SHUT_WR);
}

}  // namespace lisafs
