#include "control/config.h"

#include <grp.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/escape.h"
#include "base/status.h"

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

namespace lisafs {
namespace {

using absl::InvalidArgumentError;

// Takes a value over.
using Setter = std::function<absl::Status(const toml::node&, Config&)>;

absl::StatusOr<std::string> String(const toml::node& node) {
  auto value = node.value_exact<std::string>();
  if (!value) return InvalidArgumentError("not a string");
  if (value->empty()) return InvalidArgumentError("empty");
  return *value;
}

Setter Path(std::function<std::string&(Config&)> member) {
  return [member](const toml::node& node, Config& config) -> absl::Status {
    auto path = String(node);
    if (!path.ok()) return path.status();
    if (path->front() != '/') return InvalidArgumentError("not an absolute path");
    member(config) = *path;
    return absl::OkStatus();
  };
}

Setter Choice(std::vector<std::string> choices, std::function<void(Config&, const std::string&)> set) {
  return [choices, set](const toml::node& node, Config& config) -> absl::Status {
    auto value = String(node);
    if (!value.ok()) return value.status();
    for (const std::string& choice : choices) {
      if (choice != *value) continue;
      set(config, choice);
      return absl::OkStatus();
    }
    return InvalidArgumentError(absl::StrCat("not one of ", absl::StrJoin(choices, ", ")));
  };
}

Setter Number(int64_t from, int64_t to, std::function<void(Config&, int64_t)> set) {
  return [from, to, set](const toml::node& node, Config& config) -> absl::Status {
    auto value = node.value_exact<int64_t>();
    if (!value) return InvalidArgumentError("not an integer");
    if (*value < from || *value > to) return InvalidArgumentError(absl::StrCat("not ", from, " to ", to));
    set(config, *value);
    return absl::OkStatus();
  };
}

Setter Flag(std::function<bool&(Config&)> member) {
  return [member](const toml::node& node, Config& config) -> absl::Status {
    auto value = node.value_exact<bool>();
    if (!value) return InvalidArgumentError("neither true nor false");
    member(config) = *value;
    return absl::OkStatus();
  };
}

Setter Strings(std::function<std::vector<std::string>&(Config&)> member) {
  return [member](const toml::node& node, Config& config) -> absl::Status {
    const toml::array* array = node.as_array();
    if (array == nullptr) return InvalidArgumentError("not a list of strings");
    std::vector<std::string> strings;
    for (const toml::node& element : *array) {
      auto value = String(element);
      if (!value.ok()) return InvalidArgumentError("not a list of strings");
      strings.push_back(*value);
    }
    member(config) = std::move(strings);
    return absl::OkStatus();
  };
}

// A group's name or number.
absl::Status SetReaderGroup(const toml::node& node, Config& config) {
  if (auto number = node.value_exact<int64_t>()) {
    if (*number < 0 || *number >= UINT32_MAX) return InvalidArgumentError("not a group's number");
    config.access.reader_group = static_cast<gid_t>(*number);
    return absl::OkStatus();
  }
  auto name = String(node);
  if (!name.ok()) return InvalidArgumentError("neither a group's name nor its number");
  const group* found = getgrnam(name->c_str());
  if (found == nullptr) return InvalidArgumentError(absl::StrCat("no group ", Escape(*name)));
  config.access.reader_group = found->gr_gid;
  return absl::OkStatus();
}

absl::Status SetCgroupParent(const toml::node& node, Config& config) {
  auto path = String(node);
  if (!path.ok()) return path.status();
  const bool plain = absl::StartsWith(*path, "/") && !absl::EndsWith(*path, "/") &&
                     std::filesystem::path(*path).lexically_normal().string() == *path;
  if (!plain) return InvalidArgumentError("not the path of a cgroup, as /lisafs");
  config.programs.cgroup.parent = *path;
  return absl::OkStatus();
}

absl::Status SetMetricsAddress(const toml::node& node, Config& config) {
  auto address = String(node);
  if (!address.ok()) return address.status();
  if (!IsLoopbackAddress(*address)) {
    return InvalidArgumentError("not ADDRESS:PORT of this machine's loopback, as 127.0.0.1:9469");
  }
  config.metrics_address = *address;
  return absl::OkStatus();
}

absl::Status SetTlsAddress(const toml::node& node, Config& config) {
  auto address = String(node);
  if (!address.ok()) return address.status();
  if (!absl::StrContains(*address, ':')) return InvalidArgumentError("not ADDRESS:PORT");
  config.tls_address = *address;
  return absl::OkStatus();
}

absl::Status SetLogDestination(const toml::node& node, Config& config) {
  auto destination = String(node);
  if (!destination.ok()) return destination.status();
  if (*destination != "stderr" && *destination != "journald" && destination->front() != '/') {
    return InvalidArgumentError("not stderr, journald or an absolute path");
  }
  config.log_destination = *destination;
  return absl::OkStatus();
}

const std::map<std::string, Setter>& Setters() {
  static const auto* setters = new std::map<std::string, Setter>{
      {"socket", Path([](Config& c) -> std::string& { return c.socket; })},
      {"state_dir", Path([](Config& c) -> std::string& { return c.state_directory; })},
      {"gofer", Path([](Config& c) -> std::string& { return c.programs.gofer; })},
      {"plugin", Path([](Config& c) -> std::string& { return c.programs.plugin; })},
      {"broker", Path([](Config& c) -> std::string& { return c.programs.broker; })},
      {"fuse.io_uring", Flag([](Config& c) -> bool& { return c.programs.fuse_io_uring; })},
      {"cgroup.enabled", Flag([](Config& c) -> bool& { return c.programs.cgroup.enabled; })},
      {"cgroup.parent", SetCgroupParent},
      {"cgroup.memory_bytes",
       Number(0, int64_t{1} << 50, [](Config& c, int64_t n) { c.programs.cgroup.memory_bytes = n; })},
      {"cgroup.pids", Number(0, 1 << 22, [](Config& c, int64_t n) { c.programs.cgroup.pids = n; })},
      {"access.reader_group", SetReaderGroup},
      {"limits.message_bytes",
       Number(64 << 10, 64 << 20, [](Config& c, int64_t n) { c.max_message_bytes = static_cast<int>(n); })},
      {"limits.streams_per_connection",
       Number(1, 10'000, [](Config& c, int64_t n) { c.max_streams_per_connection = static_cast<int>(n); })},
      {"limits.streams_per_caller",
       Number(1, 10'000, [](Config& c, int64_t n) { c.limits.streams_per_caller = static_cast<int>(n); })},
      {"limits.calls_per_second",
       Number(0, 1'000'000, [](Config& c, int64_t n) { c.limits.calls_per_second = static_cast<double>(n); })},
      {"limits.threads", Number(16, 10'000, [](Config& c, int64_t n) { c.max_threads = static_cast<int>(n); })},
      {"metrics.listen", SetMetricsAddress},
      {"log.destination", SetLogDestination},
      {"log.format", Choice({"text", "json"}, [](Config& c, const std::string& s) { c.log_json = s == "json"; })},
      {"log.level",
       Choice({"debug", "info", "warning", "error"}, [](Config& c, const std::string& s) { c.log_level = s; })},
      {"audit.file", Path([](Config& c) -> std::string& { return c.audit_file; })},
      {"tls.listen", SetTlsAddress},
      {"tls.certificate", Path([](Config& c) -> std::string& { return c.tls_certificate; })},
      {"tls.key", Path([](Config& c) -> std::string& { return c.tls_key; })},
      {"tls.client_ca", Path([](Config& c) -> std::string& { return c.tls_client_ca; })},
      {"tls.admins", Strings([](Config& c) -> std::vector<std::string>& { return c.access.tls_admins; })},
      {"tls.readers", Strings([](Config& c) -> std::vector<std::string>& { return c.access.tls_readers; })},
  };
  return *setters;
}

// "PATH:LINE".
std::string Place(const std::string& path, const toml::source_region& source) {
  return absl::StrCat(path, ":", source.begin.line);
}

absl::Status SetTable(const std::string& path, const std::string& prefix, const toml::table& table, Config& config) {
  for (const auto& [name, node] : table) {
    const std::string key = absl::StrCat(prefix, std::string(name.str()));
    const auto setter = Setters().find(key);
    if (setter != Setters().end()) {
      LISAFS_RETURN_IF_NOT_OK(
          Annotate(absl::StrCat(Place(path, name.source()), ": ", key), setter->second(node, config)));
      continue;
    }
    const auto below = Setters().lower_bound(key + ".");
    const bool is_table = below != Setters().end() && absl::StartsWith(below->first, key + ".");
    if (!is_table || !node.is_table()) {
      return InvalidArgumentError(
          absl::StrCat(Place(path, name.source()), ": ", Escape(key), is_table ? ": not a table" : ": unknown key"));
    }
    LISAFS_RETURN_IF_NOT_OK(SetTable(path, key + ".", *node.as_table(), config));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadConfig(const std::string& path, Config& config) {
  if (access(path.c_str(), F_OK) != 0) return ErrnoStatus(errno, path);
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) return absl::InvalidArgumentError(absl::StrCat(path, ": cannot be read"));
  const toml::parse_result parsed = toml::parse(text.str());
  if (!parsed) {
    return InvalidArgumentError(
        absl::StrCat(Place(path, parsed.error().source()), ": ", std::string(parsed.error().description())));
  }
  LISAFS_RETURN_IF_NOT_OK(SetTable(path, "", parsed.table(), config));
  if (config.tls_address.empty()) return absl::OkStatus();
  for (const std::string* needed : {&config.tls_certificate, &config.tls_key, &config.tls_client_ca}) {
    if (needed->empty()) return InvalidArgumentError(path + ": tls.listen: needs certificate, key and client_ca");
  }
  return absl::OkStatus();
}

std::vector<std::string> ConfigKeys() {
  std::vector<std::string> keys;
  for (const auto& [key, setter] : Setters()) keys.push_back(key);
  return keys;
}

bool IsLoopbackAddress(const std::string& address) {
  const size_t colon = address.rfind(':');
  int port;
  if (colon == std::string::npos || !absl::SimpleAtoi(address.substr(colon + 1), &port) || port < 0 || port > 65535) {
    return false;
  }
  const std::string host = address.substr(0, colon);
  return absl::StartsWith(host, "127.") || host == "[::1]" || host == "localhost";
}

}  // namespace lisafs
