#include "sandbox/runsc_gofer_arguments.h"

#include <charconv>
#include <optional>
#include <string_view>

namespace lisafs {
namespace {

using Mount = RunscGoferArguments::Mount;

std::optional<int> ReadFd(std::string_view text) {
  int fd = -1;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), fd);
  if (error != std::errc() || end != text.data() + text.size() || fd < 0) return std::nullopt;
  return fd;
}

// Calls `take` with each part of a list until it gives false; whether it never did.
template <typename Take>
bool ForEachPart(std::string_view list, Take take) {
  for (;;) {
    size_t comma = list.find(',');
    if (!take(list.substr(0, comma))) return false;
    if (comma == std::string_view::npos) return true;
    list.remove_prefix(comma + 1);
  }
}

// "LOWER:UPPER" or "LOWER:UPPER:size=N".
std::optional<Mount> ReadMountConf(std::string_view text) {
  size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view upper = text.substr(colon + 1);
  return Mount{.served = text.substr(0, colon) == "lisafs", .overlaid = upper.substr(0, upper.find(':')) != "none"};
}

class Parser {
 public:
  tl::expected<RunscGoferArguments, std::string> Parse(std::span<const char* const> argv) {
    for (size_t i = 1; i < argv.size(); ++i) {
      std::string_view argument = argv[i];
      if (!argument.starts_with("-")) {
        // The command; what follows its flags, the container's id, is known from elsewhere.
        if (!command_seen_ && argument != "gofer") return Wrong(argument, "is not the gofer's command");
        command_seen_ = true;
        continue;
      }
      argument.remove_prefix(argument.starts_with("--") ? 2 : 1);
      size_t equals = argument.find('=');
      std::string_view name = argument.substr(0, equals), value;
      if (equals != std::string_view::npos) {
        value = argument.substr(equals + 1);
      } else if (name == "bundle" && i + 1 < argv.size()) {
        value = argv[++i];
      }
      if (!(command_seen_ ? GoferFlag(name, value) : GlobalFlag(name, value)))
        return Wrong(argv[i], "is not understood");
    }
    // Unless told otherwise, which is what the newer vintage does.
    out_.directfs = directfs_.value_or(!out_.mounts.empty());
    if (out_.bundle.empty()) return Wrong("--bundle", "is missing");
    if (out_.spec_fd < 0) return Wrong("--spec-fd", "is missing");
    if (out_.mounts_fd < 0) return Wrong("--mounts-fd", "is missing");
    return std::move(out_);
  }

 private:
  static tl::unexpected<std::string> Wrong(std::string_view what, std::string_view why) {
    return tl::unexpected(std::string(what) + ": " + std::string(why));
  }

  bool GlobalFlag(std::string_view name, std::string_view value) {
    if (name == "directfs") directfs_ = value != "false";
    // Before there were mount confs:
    if (name == "overlay") out_.older_root.overlaid = out_.older_mount.overlaid = value == "true";
    if (name == "overlay2") {
      out_.older_mount.overlaid = value.starts_with("all:");
      out_.older_root.overlaid = out_.older_mount.overlaid || value.starts_with("root:");
    }
    if (name == "host-uds") {
      out_.open_sockets |= value == "open" || value == "all";
      out_.create_sockets |= value == "create" || value == "all";
    }
    if (name == "fsgofer-host-uds") out_.open_sockets |= value == "true";
    if (name == "host-fifo") out_.open_fifos = value == "open";
    return true;
  }

  bool GoferFlag(std::string_view name, std::string_view value) {
    if (name == "bundle") out_.bundle = value;
    if (name == "spec-fd") return Take(value, out_.spec_fd);
    if (name == "mounts-fd") return Take(value, out_.mounts_fd);
    if (name == "pin-ring-fd") return value == "-1" || Take(value, out_.pin_ring_fd);
    if (name == "io-fds") {
      return ForEachPart(value, [&](std::string_view part) { return Take(part, out_.connections.emplace_back()); });
    }
    if (name == "gofer-mount-confs") {
      return ForEachPart(value, [&](std::string_view part) {
        auto mount = ReadMountConf(part);
        if (mount) out_.mounts.push_back(*mount);
        return mount.has_value();
      });
    }
    if (name == "dev-io-fd" && value != "-1") out_.unsupported = "devices of the host cannot be used";
    if (name == "sync-userns-fd" && value != "-1") out_.unsupported = "runsc must be run by root";
    return true;
  }

  static bool Take(std::string_view value, int& fd) {
    auto read = ReadFd(value);
    if (read) fd = *read;
    return read.has_value();
  }

  RunscGoferArguments out_;
  bool command_seen_ = false;
  std::optional<bool> directfs_;
};

}  // namespace

tl::expected<RunscGoferArguments, std::string> ParseRunscGoferArguments(std::span<const char* const> argv) {
  return Parser().Parse(argv);
}

}  // namespace lisafs
