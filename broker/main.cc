// lisafs-broker: makes the one privileged call of FUSE passthrough for a gofer. docs/architecture.md has its command
// line, docs/security.md says why it is a process of its own.

#include <linux/capability.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <string>
#include <string_view>
#include <vector>

#include "base/command_line.h"
#include "base/fd.h"
#include "base/inherited.h"
#include "base/program.h"
#include "base/result.h"
#include "broker/broker.h"
#include "confine/confine.h"
#include "seccomp/broker_policy.h"

namespace lisafs {
namespace {

struct Arguments {
  std::vector<BrokerDevice> devices;
  Fd gofer;
  Fd lifeline;
  Fd ready;
  bool name_violations = false;  // OnViolation::kNameAndKill.
};

BrokerDevice ParseDevice(std::string_view text) {
  const std::string argument = "--device " + std::string(text);
  uint32_t mount = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), mount);
  if (error != std::errc() || end == text.data() + text.size() || *end != '=') {
    DieOfUsage(argument, "expected MOUNT=FUSE");
  }
  return {.mount = mount, .device = TakeInheritedOrExit(text.substr(end + 1 - text.data()), argument)};
}

Arguments ParseArguments(int argc, char** argv) {
  CLI::App app("Registers host files with a sandbox's FUSE file systems for its lisafs-gofer. Started by lisafsd.",
               "lisafs-broker");
  std::vector<std::string> devices;
  std::string gofer, lifeline, ready;
  app.add_option("--device", devices, "MOUNT=FUSE: the /dev/fuse descriptor of the gofer's mount of that number")
      ->required();
  app.add_option("--gofer", gofer, "The SEQPACKET socket that the gofer asks on")->type_name("FD")->required();
  app.add_option("--lifeline", lifeline, "A pipe whose other end the plugin holds")->type_name("FD")->required();
  bool name_violations = false;
  app.add_flag("--name-violations", name_violations,
               "Say which system call it was if the process is killed for one that its policy does not allow");
  app.add_option("--ready-fd", ready, "Descriptor to write the process's pid and \"ready\" to")->type_name("FD");
  app.set_version_flag("--version", "lisafs-broker " + std::string(kVersion));
  ParseCommandLineOrExit(app, argc, argv);
  Arguments arguments{.gofer = TakeInheritedOrExit(gofer, "--gofer"),
                      .lifeline = TakeInheritedOrExit(lifeline, "--lifeline"),
                      .name_violations = name_violations};
  if (!ready.empty()) arguments.ready = TakeInheritedOrExit(ready, "--ready-fd");
  for (const std::string& device : devices) arguments.devices.push_back(ParseDevice(device));
  return arguments;
}

void Confine(const Arguments& arguments) {
  std::vector<int> keep = {arguments.gofer.get(), arguments.lifeline.get()};
  for (const BrokerDevice& device : arguments.devices) keep.push_back(device.device.get());
  if (arguments.ready) keep.push_back(arguments.ready.get());

  OrDie(CloseOtherDescriptors(keep));
  OrDie(EnterNamespaces(arguments.ready.get()));
  OrDie(EmptyRoot());
  // What the kernel asks of whoever registers a backing file.
  OrDie(DropPrivileges({.capabilities = {CAP_SYS_ADMIN}}));
  OrDie(BrokerPolicy().Install(arguments.name_violations ? OnViolation::kNameAndKill : OnViolation::kKill));
}

int Main(int argc, char** argv) {
  SetProgramName("lisafs-broker");
  Arguments arguments = ParseArguments(argc, argv);
  signal(SIGPIPE, SIG_IGN);
  Confine(arguments);
  OrDie(SayReady(std::move(arguments.ready)));
  ServeBroker(arguments.gofer, arguments.lifeline, arguments.devices);
  return kExitSuccess;
}

}  // namespace
}  // namespace lisafs

int main(int argc, char** argv) { return lisafs::Main(argc, argv); }
