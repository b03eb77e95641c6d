#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstddef>
#include <latch>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/command_line.h"
#include "base/fd.h"
#include "base/inherited.h"
#include "base/program.h"
#include "base/result.h"
#include "base/shared_page.h"
#include "confine/confine.h"
#include "lisafs/client.h"
#include "lisafs/live_policy.h"
#include "lisafs/plugin_claims.h"
#include "plugin/fuse_device.h"
#include "plugin/fuse_ring.h"
#include "plugin/mount.h"
#include "plugin/turn.h"
#include "plugin/waker_link.h"
#include "seccomp/plugin_policy.h"

namespace lisafs {
namespace {

// A request goes to the server and back in a few microseconds if both watch for it, and in fifty if one has to be
// woken.
constexpr SpinPolicy kSpin{.microseconds = 20, .before_sleep = GiveTurnAway};

// The workers of a mount, and some.
constexpr int kOwnThreads = 16;
constexpr int kThreadsPerMount = 32;

struct MountArgument {
  Fd fuse;
  Fd connection;
  MountOptions options;
  bool io_uring = false;
  std::vector<FuseQueue> queues = {};  // If it is to use io_uring, and can.
  WakerSocket waker = {};              // If others change the files, or may come to.
};

struct Arguments {
  std::vector<MountArgument> mounts;
  Fd lifeline;
  Fd ready;
  bool name_violations = false;  // OnViolation::kNameAndKill.
};

constexpr std::string_view kPassthroughFrom = "passthrough=";

MountArgument ParseMount(std::string_view text) {
  const std::string argument = "--mount " + std::string(text);
  size_t colon = text.find(':');
  if (colon == text.npos) DieOfUsage(argument, "expected FUSE:CONN[:OPTION...]");
  std::string_view connection = text.substr(colon + 1);
  MountOptions options;
  bool io_uring = false;
  for (size_t last; (last = connection.rfind(':')) != connection.npos; connection = connection.substr(0, last)) {
    std::string_view option = connection.substr(last + 1);
    if (option == "ro") {
      options.read_only = true;
    } else if (option == "exclusive") {
      options.exclusive = true;
    } else if (option.starts_with(kPassthroughFrom)) {
      const std::string_view bytes = option.substr(kPassthroughFrom.size());
      uint64_t from;
      auto [end, error] = std::from_chars(bytes.data(), bytes.data() + bytes.size(), from);
      if (error != std::errc() || end != bytes.data() + bytes.size()) {
        DieOfUsage(argument, "\"" + std::string(bytes) + "\" is not a number of bytes");
      }
      options.passthrough_from = from;
    } else if (option == "uring") {
      io_uring = true;
    } else {
      DieOfUsage(argument, "\"" + std::string(option) + "\" is not an option");
    }
  }
  return {.fuse = TakeInheritedOrExit(text.substr(0, colon), argument),
          .connection = TakeInheritedOrExit(connection, argument),
          .options = options,
          .io_uring = io_uring};
}

void UsePolicy(const Fd& file, Arguments& arguments) {
  const LivePolicyPage* page = OrDie(MapLivePolicy(file));
  if (arguments.mounts.size() > kMaxMounts) DieOfUsage("--policy", "too many mounts");
  for (size_t i = 0; i < arguments.mounts.size(); ++i) arguments.mounts[i].options.policy = &page->mounts[i];
}

// What the mounts count in the file; it is mapped, and closed.
void UseClaims(const Fd& file, Arguments& arguments) {
  if (arguments.mounts.size() > kMaxMounts) DieOfUsage("--claims", "too many mounts");
  auto page = MapSharedPage<PluginClaimsPage>(file);
  if (!page) Die("--claims", page.error().ToString());
  for (size_t i = 0; i < arguments.mounts.size(); ++i) arguments.mounts[i].options.claims = &(*page)->mounts[i];
}

Arguments ParseArguments(int argc, char** argv) {
  CLI::App app("Serves FUSE file systems of a sandbox from its lisafs-gofer. Started by lisafsd.", "lisafs-plugin");
  std::vector<std::string> mounts;
  std::string policy;
  std::string claims;
  std::string lifeline;
  std::string ready;
  bool name_violations = false;
  app.add_option(
         "--mount", mounts,
         "FUSE:CONN[:ro][:exclusive][:passthrough=BYTES][:uring]: a /dev/fuse descriptor whose file system has been "
         "made, and "
         "the connection that serves it")
      ->required();
  app.add_option("--policy", policy, "Descriptor of the file that says what each mount allows at the moment")
      ->type_name("FD");
  app.add_option("--claims", claims, "Descriptor of the file to count the kernel's requests in")->type_name("FD");
  app.add_option("--lifeline", lifeline, "Descriptor to hold, so that others see when this process is gone")
      ->type_name("FD");
  app.add_option("--ready-fd", ready, "Descriptor to write the process's pid and \"ready\" to")->type_name("FD");
  app.add_flag("--name-violations", name_violations,
               "Say which system call it was if the process is killed for one that its policy does not allow");
  app.set_version_flag("--version", "lisafs-plugin " + std::string(kVersion));
  ParseCommandLineOrExit(app, argc, argv);
  Arguments arguments;
  arguments.name_violations = name_violations;
  for (const std::string& mount : mounts) arguments.mounts.push_back(ParseMount(mount));
  if (!policy.empty()) UsePolicy(TakeInheritedOrExit(policy, "--policy"), arguments);
  if (!claims.empty()) UseClaims(TakeInheritedOrExit(claims, "--claims"), arguments);
  if (!lifeline.empty()) arguments.lifeline = TakeInheritedOrExit(lifeline, "--lifeline");
  if (!ready.empty()) arguments.ready = TakeInheritedOrExit(ready, "--ready-fd");
  return arguments;
}

int MaxThreads(const Arguments& arguments) {
  int threads = kOwnThreads;
  for (const MountArgument& mount : arguments.mounts) {
    threads += kThreadsPerMount + (mount.io_uring ? static_cast<int>(FuseRingsOfMount()) : 0);
  }
  return threads;
}

// Whether there are any. A mount without them is served by reading the device.
bool MakeQueues(Arguments& arguments) {
  bool any = false;
  for (MountArgument& mount : arguments.mounts) {
    if (!mount.io_uring) continue;
    if (auto queues = MakeFuseQueues(mount.fuse.get())) {
      mount.queues = std::move(*queues);
      any = true;
    } else {
      PrintError("FUSE over io_uring", queues.error().ToString());
    }
  }
  return any;
}

// For all mounts if there is one whose files others change: only then is the gofer made to hear of changes at all, and
// others may become shared as well.
void MakeWakerSockets(Arguments& arguments) {
  std::vector<MountArgument>& mounts = arguments.mounts;
  const bool any_shared = std::any_of(mounts.begin(), mounts.end(), [](const MountArgument& mount) {
    return !mount.options.exclusive || (mount.options.policy->Restrictions() & kShared);
  });
  if (!any_shared) return;
  for (size_t i = 0; i < mounts.size(); ++i) mounts[i].waker = OrDie(MakeWakerSocket(i));
}

// From here on the process can do nothing but what it holds descriptors for.
void Confine(Arguments& arguments) {
  std::vector<int> keep;
  for (const MountArgument& mount : arguments.mounts) {
    keep.push_back(mount.fuse.get());
    keep.push_back(mount.connection.get());
  }
  if (arguments.lifeline) keep.push_back(arguments.lifeline.get());
  if (arguments.ready) keep.push_back(arguments.ready.get());

  OrDie(CloseOtherDescriptors(keep));
  MakeWakerSockets(arguments);
  OrDie(EnterNamespaces(arguments.ready.get(), MaxThreads(arguments)));
  const bool io_uring = MakeQueues(arguments);
  OrDie(EmptyRoot());
  OrDie(DropPrivileges({}));
  OrDie(RestrictFileAccess({}));
  OrDie(PluginPolicy(io_uring).Install(arguments.name_violations ? OnViolation::kNameAndKill : OnViolation::kKill));
}

// Leaves the mount as it is when its file system is gone.
void Serve(MountArgument argument, std::optional<Mount>& mount) {
  auto client = Client::Connect(std::move(argument.connection), {.max_channels = 4, .spin = kSpin});
  if (!client) Die("connect to the gofer", client.error().ToString());
  mount.emplace(std::make_unique<FuseDevice>(std::move(argument.fuse)), std::move(*client), argument.options,
                std::move(argument.queues), std::move(argument.waker));
  mount->Serve();
}

int Main(int argc, char** argv) {
  SetProgramName("lisafs-plugin");
  Arguments arguments = ParseArguments(argc, argv);
  Confine(arguments);
  OrDie(SayReady(std::move(arguments.ready)));

  std::vector<std::optional<Mount>> mounts(arguments.mounts.size());
  std::latch served(static_cast<std::ptrdiff_t>(mounts.size()));
  for (size_t i = 0; i < mounts.size(); ++i) {
    std::thread([&, i] {
      Serve(std::move(arguments.mounts[i]), mounts[i]);
      served.count_down();
      mounts[i].reset();
    }).detach();
  }
  // What they hold goes with the process, and sooner.
  served.wait();
  _exit(kExitSuccess);
}

}  // namespace
}  // namespace lisafs

int main(int argc, char** argv) { return lisafs::Main(argc, argv); }
