#include "gofer/arguments.h"

#include <fcntl.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <set>
#include <string_view>

#include "base/program.h"
#include "lisafs/counters.h"

namespace lisafs {
namespace {

tl::unexpected<UsageError> Wrong(std::string_view what, std::string why) {
  return tl::unexpected<UsageError>(UsageError{std::string(what), std::move(why)});
}

// -1 if `text` is not a number that a descriptor can have.
int ParseFd(std::string_view text) {
  int fd = -1;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), fd);
  return error == std::errc() && end == text.data() + text.size() && fd >= 0 ? fd : -1;
}

constexpr std::string_view kServeForm = "FD=DIR[:OPTION...]";
constexpr std::string_view kMountForm = "CONN:TREE[:OPTION...]";

// Sets the option; false if there is none of that name.
bool SetOption(std::string_view option, GoferArguments::Mount& mount) {
  static constexpr struct {
    std::string_view name;
    bool GoferArguments::Mount::*member;
    bool value;
  } kOptions[] = {
      {"ro", &GoferArguments::Mount::read_only, true},
      {"nodonate", &GoferArguments::Mount::donate, false},
      {"uds-open", &GoferArguments::Mount::uds_open, true},
      {"uds-create", &GoferArguments::Mount::uds_create, true},
      {"fifo", &GoferArguments::Mount::fifo, true},
      {"passthrough", &GoferArguments::Mount::passthrough, true},
      {"watch", &GoferArguments::Mount::watch, true},
      {"mountpoint", &GoferArguments::Mount::donate_mount_point, true},
  };
  for (const auto& known : kOptions) {
    if (option != known.name) continue;
    mount.*known.member = known.value;
    return true;
  }
  return false;
}

// Takes the options from the end of `text`: whatever is none belongs to what precedes them.
void TakeOptions(std::string_view& text, GoferArguments::Mount& mount) {
  for (size_t colon; (colon = text.rfind(':')) != text.npos && SetOption(text.substr(colon + 1), mount);) {
    text = text.substr(0, colon);
  }
}

tl::expected<GoferArguments::Mount, UsageError> ParseServe(std::string_view argument) {
  GoferArguments::Mount mount;
  std::string_view text = argument;
  TakeOptions(text, mount);
  size_t equals = text.find('=');
  if (equals == text.npos || equals + 1 == text.size()) {
    return Wrong(argument, "--serve takes " + std::string(kServeForm));
  }
  mount.connection = ParseFd(text.substr(0, equals));
  if (mount.connection < 0) return Wrong(argument, "FD is not a descriptor's number");
  mount.directory = text.substr(equals + 1);
  return mount;
}

tl::expected<GoferArguments::Mount, UsageError> ParseMount(std::string_view argument) {
  GoferArguments::Mount mount;
  std::string_view text = argument;
  TakeOptions(text, mount);
  size_t colon = text.find(':');
  if (colon == text.npos) return Wrong(argument, "--mount takes " + std::string(kMountForm));
  mount.connection = ParseFd(text.substr(0, colon));
  mount.tree = ParseFd(text.substr(colon + 1));
  if (mount.connection < 0 || mount.tree < 0) return Wrong(argument, "CONN and TREE are descriptors' numbers");
  return mount;
}

// Every descriptor is open, and named once.
tl::expected<void, UsageError> CheckDescriptors(const GoferArguments& arguments) {
  std::set<int> seen;
  auto check = [&](const char* what, int fd) -> tl::expected<void, UsageError> {
    if (fd < 0) return {};
    if (fcntl(fd, F_GETFD) < 0) return Wrong(what, "descriptor " + std::to_string(fd) + " is not open");
    if (!seen.insert(fd).second) return Wrong(what, "descriptor " + std::to_string(fd) + " is named twice");
    return {};
  };
  for (const auto& mount : arguments.mounts) {
    const char* option = mount.tree < 0 ? "--serve" : "--mount";
    if (auto checked = check(option, mount.connection); !checked) return checked;
    if (auto checked = check(option, mount.tree); !checked) return checked;
  }
  if (auto checked = check("--counters", arguments.counters_fd); !checked) return checked;
  if (auto checked = check("--policy", arguments.policy_fd); !checked) return checked;
  if (auto checked = check("--broker", arguments.broker_fd); !checked) return checked;
  if (auto checked = check("--lifeline-fd", arguments.lifeline_fd); !checked) return checked;
  return check("--ready-fd", arguments.ready_fd);
}

}  // namespace

tl::expected<GoferArguments, UsageError> ParseGoferArguments(int argc, const char* const* argv) {
  CLI::App app(
      "Serves host files over LISAFS to sandboxes that are not trusted, from namespaces, an empty root and a seccomp\n"
      "filter of its own. Needs root. Ends when all connections have.",
      "lisafs-gofer");
  GoferArguments arguments;
  std::vector<std::string> serve;
  std::vector<std::string> mount;
  std::string counters_fd;
  std::string policy_fd;
  std::string broker_fd;
  std::string ready_fd;
  std::string lifeline_fd;
  app.add_option("--serve", serve, "serve the directory or file DIR on the inherited unix stream socket FD")
      ->type_name(std::string(kServeForm));
  app.add_option("--mount", mount, "serve the detached tree TREE on the connection CONN")
      ->type_name(std::string(kMountForm));
  app.add_option("--counters", counters_fd, "count in this file")->type_name("FD");
  app.add_option("--policy", policy_fd, "look in this file what each mount allows at the moment")->type_name("FD");
  app.add_option("--broker", broker_fd, "the broker's socket, for mounts with passthrough")->type_name("FD");
  app.add_option("--ready-fd", ready_fd, "go on as a child of the starter; say its pid and \"ready\" here")
      ->type_name("FD");
  app.add_option("--lifeline-fd", lifeline_fd, "keep this open, untouched, until the end")->type_name("FD");
  app.add_flag("--name-violations", arguments.name_violations,
               "say which system call it was if the process is killed for one that its policy does not allow");
  app.footer(
      "A mount's OPTIONs:\n"
      "  ro          refuse every change\n"
      "  nodonate    give no host descriptors of regular files away\n"
      "  uds-open    let the client connect to the unix sockets in it, as any user\n"
      "  uds-create  let the client serve unix sockets in it\n"
      "  fifo        let the client open the FIFOs in it\n"
      "  passthrough have the broker register opened files with the client's FUSE file system\n"
      "  watch       tell the client what others change in it\n"
      "  mountpoint  give the host descriptors of its root and of its directories away");
  app.set_version_flag("--version", "lisafs-gofer " + std::string(kVersion));
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return GoferArguments{.only_print = app.help()};
  } catch (const CLI::CallForVersion& version) {
    return GoferArguments{.only_print = std::string(version.what()) + "\n"};
  } catch (const CLI::ParseError& error) {
    return Wrong("usage", error.what());
  }

  for (const std::string& argument : serve) {
    auto parsed = ParseServe(argument);
    if (!parsed) return tl::unexpected(parsed.error());
    arguments.mounts.push_back(std::move(*parsed));
  }
  for (const std::string& argument : mount) {
    auto parsed = ParseMount(argument);
    if (!parsed) return tl::unexpected(parsed.error());
    arguments.mounts.push_back(std::move(*parsed));
  }
  if (!serve.empty() && !mount.empty()) return Wrong("usage", "--serve and --mount exclude each other");
  for (const auto& mount : arguments.mounts) {
    if (mount.read_only && mount.uds_create) return Wrong("usage", "ro and uds-create exclude each other");
  }
  if (arguments.mounts.empty()) return Wrong("usage", "nothing to serve: --serve or --mount is needed");
  if (arguments.mounts.size() > kMaxMounts) {
    return Wrong("usage", "more than " + std::to_string(kMaxMounts) + " mounts");
  }
  if (!counters_fd.empty() && (arguments.counters_fd = ParseFd(counters_fd)) < 0) {
    return Wrong("--counters", "not a descriptor's number: " + counters_fd);
  }
  if (!broker_fd.empty() && (arguments.broker_fd = ParseFd(broker_fd)) < 0) {
    return Wrong("--broker", "not a descriptor's number: " + broker_fd);
  }
  if (!policy_fd.empty() && (arguments.policy_fd = ParseFd(policy_fd)) < 0) {
    return Wrong("--policy", "not a descriptor's number: " + policy_fd);
  }
  for (const auto& mount : arguments.mounts) {
    if (mount.passthrough && broker_fd.empty()) return Wrong("usage", "a mount with passthrough needs --broker");
  }
  if (!ready_fd.empty() && (arguments.ready_fd = ParseFd(ready_fd)) < 0) {
    return Wrong("--ready-fd", "not a descriptor's number: " + ready_fd);
  }
  if (!lifeline_fd.empty() && (arguments.lifeline_fd = ParseFd(lifeline_fd)) < 0) {
    return Wrong("--lifeline-fd", "not a descriptor's number: " + lifeline_fd);
  }
  if (auto checked = CheckDescriptors(arguments); !checked) return tl::unexpected(checked.error());
  return arguments;
}

}  // namespace lisafs
