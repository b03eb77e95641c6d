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

bool TakeSuffix(std::string_view& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) return false;
  text.remove_suffix(suffix.size());
  return true;
}

tl::expected<GoferArguments::Mount, UsageError> ParseServe(std::string_view argument) {
  GoferArguments::Mount mount;
  std::string_view text = argument;
  mount.read_only = TakeSuffix(text, ":ro");
  size_t equals = text.find('=');
  if (equals == text.npos || equals + 1 == text.size()) return Wrong(argument, "--serve takes FD=DIR[:ro]");
  mount.connection = ParseFd(text.substr(0, equals));
  if (mount.connection < 0) return Wrong(argument, "FD is not a descriptor's number");
  mount.directory = text.substr(equals + 1);
  return mount;
}

tl::expected<GoferArguments::Mount, UsageError> ParseMount(std::string_view argument) {
  GoferArguments::Mount mount;
  std::string_view text = argument;
  mount.donate = !TakeSuffix(text, ":nodonate");
  mount.read_only = TakeSuffix(text, ":ro");
  size_t colon = text.find(':');
  if (colon == text.npos) return Wrong(argument, "--mount takes CONN:TREE[:ro][:nodonate]");
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
  std::string ready_fd;
  app.add_option("--serve", serve, "serve the directory or file DIR on the inherited unix stream socket FD")
      ->type_name("FD=DIR[:ro]");
  app.add_option("--mount", mount,
                 "serve the detached tree TREE on the connection CONN; nodonate: give no host descriptors away")
      ->type_name("CONN:TREE[:ro][:nodonate]");
  app.add_option("--counters", counters_fd, "count in this file")->type_name("FD");
  app.add_option("--ready-fd", ready_fd, "go on as a child of the starter; say its pid and \"ready\" here")
      ->type_name("FD");
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
  if (arguments.mounts.empty()) return Wrong("usage", "nothing to serve: --serve or --mount is needed");
  if (arguments.mounts.size() > kMaxMounts) {
    return Wrong("usage", "more than " + std::to_string(kMaxMounts) + " mounts");
  }
  if (!counters_fd.empty() && (arguments.counters_fd = ParseFd(counters_fd)) < 0) {
    return Wrong("--counters", "not a descriptor's number: " + counters_fd);
  }
  if (!ready_fd.empty() && (arguments.ready_fd = ParseFd(ready_fd)) < 0) {
    return Wrong("--ready-fd", "not a descriptor's number: " + ready_fd);
  }
  if (auto checked = CheckDescriptors(arguments); !checked) return tl::unexpected(checked.error());
  return arguments;
}

}  // namespace lisafs
