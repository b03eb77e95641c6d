// lisafs-waker: shows those who watch files in a container (inotify) what others change in them. docs/architecture.md
// has its command line, docs/security.md says why it is a process of its own.

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/command_line.h"
#include "base/fd.h"
#include "base/inherited.h"
#include "base/program.h"
#include "base/result.h"
#include "confine/cgroups.h"
#include "confine/confine.h"
#include "seccomp/waker_policy.h"
#include "waker/waker.h"

namespace lisafs {
namespace {

struct Arguments {
  std::vector<WokenMount> mounts;
  Fd container;
  Fd ready;
  bool name_violations = false;  // OnViolation::kNameAndKill.
};

WokenMount ParseMount(std::string_view text) {
  const std::string argument = "--mount " + std::string(text);
  const size_t colon = text.find(':');
  if (colon == text.npos) DieOfUsage(argument, "expected TREE:SOCKET");
  return {.tree = TakeInheritedOrExit(text.substr(0, colon), argument),
          .root = Fd(),
          .socket = TakeInheritedOrExit(text.substr(colon + 1), argument)};
}

Arguments ParseArguments(int argc, char** argv) {
  CLI::App app("Wakes those who watch files in a container when others change them. Started with the container.",
               "lisafs-waker");
  std::vector<std::string> mounts;
  std::string container, ready;
  bool name_violations = false;
  app.add_option("--mount", mounts, "TREE:SOCKET: a detached mount, and the socket to the plugin that serves it")
      ->required();
  app.add_option("--container", container, "A pidfd of the container's first process")->type_name("FD")->required();
  app.add_option("--ready-fd", ready, "Descriptor to write the process's pid and \"ready\" to")
      ->type_name("FD")
      ->required();
  app.add_flag("--name-violations", name_violations,
               "Say which system call it was if the process is killed for one that its policy does not allow");
  app.set_version_flag("--version", "lisafs-waker " + std::string(kVersion));
  ParseCommandLineOrExit(app, argc, argv);
  Arguments arguments{.mounts = {},
                      .container = TakeInheritedOrExit(container, "--container"),
                      .ready = TakeInheritedOrExit(ready, "--ready-fd"),
                      .name_violations = name_violations};
  for (const std::string& mount : mounts) arguments.mounts.push_back(ParseMount(mount));
  return arguments;
}

// It lives as long as the container, and who starts it does not: it is nobody's child.
void LeaveParent() {
  const pid_t child = fork();
  if (child < 0) DieErrno("fork");
  if (child > 0) _exit(kExitSuccess);
}

// Attributes are asked for of open files alone.
void OpenRoots(std::vector<WokenMount>& mounts) {
  for (WokenMount& mount : mounts) {
    struct stat stat;
    if (fstat(mount.tree.get(), &stat) != 0 || (!S_ISDIR(stat.st_mode) && !S_ISREG(stat.st_mode))) continue;
    const std::string path = "/proc/self/fd/" + std::to_string(mount.tree.get());
    mount.root.reset(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  }
}

// Gives /proc/self/fd.
Fd Confine(const Arguments& arguments) {
  std::vector<int> keep = {arguments.container.get(), arguments.ready.get()};
  std::vector<FileAccess> trees;
  for (const WokenMount& mount : arguments.mounts) {
    keep.insert(keep.end(), {mount.tree.get(), mount.socket.get()});
    if (mount.root) keep.push_back(mount.root.get());
    trees.push_back({.tree = mount.tree.get()});
  }
  OrDie(CloseOtherDescriptors(keep));
  OrDie(EnterNamespaces(arguments.ready.get()));
  Fd own_fds = OrDie(OpenProcSelfFd());
  OrDie(EmptyRoot());
  // The kernel checks permissions in the container's file systems, whoever the files belong to.
  OrDie(DropPrivileges({.capabilities = {CAP_DAC_OVERRIDE, CAP_FOWNER}}));
  OrDie(RestrictFileAccess(trees));
  OrDie(WakerPolicy({.proc_self_fd = own_fds.get(), .ready_fd = arguments.ready.get()})
            .Install(arguments.name_violations ? OnViolation::kNameAndKill : OnViolation::kKill));
  return own_fds;
}

int Main(int argc, char** argv) {
  SetProgramName("lisafs-waker");
  Arguments arguments = ParseArguments(argc, argv);
  LeaveParent();
  // In a container's cgroups it would keep them a moment longer than the container: runtimes do not wait long to remove
  // them.
  LeaveCgroups(0);
  OpenRoots(arguments.mounts);
  const Fd own_fds = Confine(arguments);
  // Who started it knows enough by the number, and need not wait for this.
  (void)SayReady(std::move(arguments.ready));
  ServeWaker(arguments.container, own_fds, std::move(arguments.mounts));
  return kExitSuccess;
}

}  // namespace
}  // namespace lisafs

int main(int argc, char** argv) { return lisafs::Main(argc, argv); }
