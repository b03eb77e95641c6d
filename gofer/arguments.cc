#include "gofer/arguments.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <string_view>

#include "base/inherited.h"
#include "base/program.h"
#include "lisafs/counters.h"

namespace lisafs {
namespace {

tl::unexpected<UsageError> Wrong(std::string_view what, std::string why) {
  return tl::unexpected<UsageError>(UsageError{std::string(what), std::move(why)});
}

tl::expected<void, UsageError> TakeFd(std::string_view number, std::string_view argument, int& fd) {
  auto taken = TakeInherited(number);
  if (!taken) return Wrong(argument, taken.error());
  fd = taken->release();
  return {};
}

// UID:GID.
bool ParseOwner(std::string_view text, GoferArguments& arguments) {
  const char* end = text.data() + text.size();
  auto [colon, wrong_uid] = std::from_chars(text.data(), end, arguments.file_uid);
  if (wrong_uid != std::errc() || colon == end || *colon != ':') return false;
  auto [rest, wrong_gid] = std::from_chars(colon + 1, end, arguments.file_gid);
  return wrong_gid == std::errc() && rest == end;
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
      {"alone", &GoferArguments::Mount::alone, true},
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
  if (auto taken = TakeFd(text.substr(0, equals), argument, mount.connection); !taken)
    return tl::unexpected(taken.error());
  mount.directory = text.substr(equals + 1);
  return mount;
}

tl::expected<GoferArguments::Mount, UsageError> ParseMount(std::string_view argument) {
  GoferArguments::Mount mount;
  std::string_view text = argument;
  TakeOptions(text, mount);
  size_t colon = text.find(':');
  if (colon == text.npos) return Wrong(argument, "--mount takes " + std::string(kMountForm));
  if (auto taken = TakeFd(text.substr(0, colon), argument, mount.connection); !taken)
    return tl::unexpected(taken.error());
  if (auto taken = TakeFd(text.substr(colon + 1), argument, mount.tree); !taken) return tl::unexpected(taken.error());
  return mount;
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
  std::string user_namespace_fd;
  std::string files_as;
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
  app.add_option("--user-namespace", user_namespace_fd, "have capabilities in this user namespace alone")
      ->type_name("FD");
  app.add_option("--files-as", files_as, "make files as this user and group before they get their owner")
      ->type_name("UID:GID");
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
      "  alone       with watch: no other DIR shows the same files, so that nobody is told what the client writes\n"
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

  if (!serve.empty() && !mount.empty()) return Wrong("usage", "--serve and --mount exclude each other");
  if (serve.size() + mount.size() > kMaxMounts) {
    return Wrong("usage", "more than " + std::to_string(kMaxMounts) + " mounts");
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
  for (const auto& mount : arguments.mounts) {
    if (mount.read_only && mount.uds_create) return Wrong("usage", "ro and uds-create exclude each other");
  }
  if (arguments.mounts.empty()) return Wrong("usage", "nothing to serve: --serve or --mount is needed");
  for (const auto& mount : arguments.mounts) {
    if (mount.passthrough && broker_fd.empty()) return Wrong("usage", "a mount with passthrough needs --broker");
  }
  if (!files_as.empty() && !ParseOwner(files_as, arguments)) return Wrong(files_as, "--files-as takes UID:GID");
  const struct {
    const char* option;
    const std::string& number;
    int& fd;
  } kFds[] = {{"--counters", counters_fd, arguments.counters_fd},
              {"--policy", policy_fd, arguments.policy_fd},
              {"--broker", broker_fd, arguments.broker_fd},
              {"--lifeline-fd", lifeline_fd, arguments.lifeline_fd},
              {"--user-namespace", user_namespace_fd, arguments.user_namespace_fd},
              {"--ready-fd", ready_fd, arguments.ready_fd}};
  for (const auto& each : kFds) {
    if (each.number.empty()) continue;
    if (auto taken = TakeFd(each.number, each.option, each.fd); !taken) return tl::unexpected(taken.error());
  }
  return arguments;
}

}  // namespace lisafs
