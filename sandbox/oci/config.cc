#include "sandbox/oci/config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <strings.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/fd.h"
#include "sandbox/oci/id_map_option.h"

namespace lisafs {
namespace {

using Json = nlohmann::ordered_json;

// Deeper nesting is refused: a real file needs less than ten.
constexpr int kMaxDepth = 64;

// File systems in which the kernel shows itself, or which live in memory. All others would bring the host's files, or a
// device's, into the container past the gofer.
constexpr std::string_view kKernelFileSystems[] = {
    "binfmt_misc", "bpf",        "cgroup",    "cgroup2",   "configfs", "debugfs", "devpts",
    "devtmpfs",    "efivarfs",   "fusectl",   "hugetlbfs", "mqueue",   "proc",    "pstore",
    "ramfs",       "securityfs", "selinuxfs", "sysfs",     "tmpfs",    "tracefs",
};

absl::Status Wrong(const std::string& key, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(key, ": ", why));
}

std::string Cleaned(const std::string& path) {
  std::string cleaned = std::filesystem::path("/" + path).lexically_normal();
  if (cleaned.size() > 1 && cleaned.back() == '/') cleaned.pop_back();
  // Two leading slashes may mean something else to POSIX, not to Linux.
  if (cleaned.starts_with("//")) cleaned.erase(0, 1);
  return cleaned;
}

// Removing ".." by its looks would change what a path with symbolic links means, so a source is only made absolute.
std::string Absolute(const std::string& path, const std::string& base) {
  return path.starts_with('/') ? path : absl::StrCat(absl::StripSuffix(base, "/"), "/", path);
}

}  // namespace

OciConfig::OciConfig() = default;
OciConfig::OciConfig(OciConfig&&) noexcept = default;
OciConfig& OciConfig::operator=(OciConfig&&) noexcept = default;
OciConfig::~OciConfig() = default;

// Reads a document key by key. The first thing wrong with it is kept in `status`, what follows is then of no interest.
class OciConfig::Reader {
 public:
  Reader(const Json& document, std::string bundle) : document_(document), bundle_(std::move(bundle)) {}

  absl::Status Read(OciConfig& config) {
    if (!document_.is_object()) return absl::InvalidArgumentError("is not a JSON object");
    ReadRoot(config);
    ReadMounts(config);
    if (const Json* process = Member(document_, "", "process", Json::value_t::object)) {
      config.working_directory_ = Path(*process, "process.", "cwd").value_or("");
      if (!config.working_directory_.empty()) config.working_directory_ = Cleaned(config.working_directory_);
    }
    ReadNamespaces(config);
    CompleteIdMaps(config);
    ReadAnnotations(config);
    if (const Json* hooks = Member(document_, "", "hooks", Json::value_t::object)) {
      Member(*hooks, "hooks.", "createRuntime", Json::value_t::array);
    }
    return status_;
  }

 private:
  void Fail(const std::string& key, absl::string_view why) { status_.Update(Wrong(key, why)); }

  // The member `name` of `object`, or null if there is none, it is null or it is not of `type`. The low-level runtime
  // may read keys without regard to case, so one that differs only in that is no other key but a mistake.
  const Json* Member(const Json& object, const std::string& prefix, const char* name, Json::value_t type) {
    const Json* found = nullptr;
    for (const auto& [key, value] : object.items()) {
      if (strcasecmp(key.c_str(), name) != 0) continue;
      if (key != name) Fail(prefix + key, absl::StrCat("must be spelled ", name));
      found = &value;
    }
    if (found == nullptr || found->is_null()) return nullptr;
    if (found->type() != type) {
      Fail(prefix + name, absl::StrCat("must be of type ", Json(type).type_name()));
      return nullptr;
    }
    return found;
  }

  std::optional<std::string> String(const Json& object, const std::string& prefix, const char* name) {
    const Json* member = Member(object, prefix, name, Json::value_t::string);
    if (member == nullptr) return std::nullopt;
    return member->get<std::string>();
  }

  std::optional<std::string> Path(const Json& object, const std::string& prefix, const char* name) {
    std::optional<std::string> path = String(object, prefix, name);
    if (!path) return std::nullopt;
    if (path->empty()) Fail(prefix + name, "is empty");
    if (path->size() >= PATH_MAX) Fail(prefix + name, "is too long");
    if (path->find('\0') != std::string::npos) Fail(prefix + name, "has a NUL in it");
    return path;
  }

  void ReadRoot(OciConfig& config) {
    const Json* root = Member(document_, "", "root", Json::value_t::object);
    std::optional<std::string> path;
    if (root != nullptr) path = Path(*root, "root.", "path");
    if (!path) return Fail("root.path", "is missing");
    const Json* read_only = Member(*root, "root.", "readonly", Json::value_t::boolean);
    config.root_ = {.target = "/", .bind = true, .source = Absolute(*path, bundle_)};
    config.root_.options.recursive = true;
    config.root_.options.read_only = read_only != nullptr && read_only->get<bool>();
  }

  void ReadMounts(OciConfig& config) {
    const Json* mounts = Member(document_, "", "mounts", Json::value_t::array);
    if (mounts == nullptr) return;
    for (size_t i = 0; i < mounts->size(); ++i) {
      std::string prefix = absl::StrCat("mounts[", i, "]");
      const Json& mount = (*mounts)[i];
      if (!mount.is_object()) return Fail(prefix, "must be of type object");
      config.mounts_.push_back(ReadMount(mount, prefix + "."));
    }
  }

  OciMount ReadMount(const Json& mount, const std::string& prefix) {
    OciMount out;
    std::optional<std::string> destination = Path(mount, prefix, "destination");
    if (!destination) Fail(prefix + "destination", "is missing");
    out.target = Cleaned(destination.value_or(""));

    std::vector<std::string> options;
    if (const Json* list = Member(mount, prefix, "options", Json::value_t::array)) {
      for (const Json& option : *list) {
        if (!option.is_string()) Fail(prefix + "options", "must be strings");
        if (option.is_string()) options.push_back(option.get<std::string>());
      }
    }
    std::string type = String(mount, prefix, "type").value_or("");
    out.options = FindBindOptions(options);
    out.bind = type == "bind" || out.options.bind;
    std::optional<std::string> source = String(mount, prefix, "source");
    // What is wrong with a mount is easier to find by its place in the container.
    std::string name = absl::StrCat("mount ", out.target);
    if (!out.bind) {
      if (std::find(std::begin(kKernelFileSystems), std::end(kKernelFileSystems), type) ==
          std::end(kKernelFileSystems)) {
        Fail(name, absl::StrCat("a file system of type \"", type, "\" cannot be served by lisafs"));
      }
      return out;
    }
    if (!source) Fail(prefix + "source", "is missing");
    out.source = Absolute(Path(mount, prefix, "source").value_or(""), bundle_);
    absl::StatusOr<OciMountOptions> read = ReadBindOptions(options);
    if (read.ok()) {
      out.options = *read;
    } else {
      Fail(name, read.status().message());
    }
    out.id_map = ReadIdMap(mount, prefix);
    if (out.id_map) out.options.id_mapped = true;
    return out;
  }

  std::vector<IdRange> ReadIdRanges(const Json& list, const std::string& key) {
    std::vector<IdRange> ranges;
    for (const Json& range : list) {
      const std::pair<const char*, uint32_t IdRange::*> members[] = {
          {"containerID", &IdRange::inside}, {"hostID", &IdRange::outside}, {"size", &IdRange::count}};
      ranges.emplace_back();
      for (const auto& [name, member] : members) {
        auto number = range.is_object() ? range.find(name) : range.end();
        if (number == range.end() || !number->is_number_unsigned() || number->get<uint64_t>() > UINT32_MAX) {
          Fail(key, absl::StrCat(name, " must be an id or their number"));
          return {};
        }
        ranges.back().*member = number->get<uint32_t>();
      }
    }
    if (absl::Status good = CheckIdRanges(ranges); !good.ok()) Fail(key, good.message());
    return ranges;
  }

  // uidMappings and gidMappings: both or neither.
  std::optional<IdMap> ReadIdMap(const Json& object, const std::string& prefix) {
    const Json* uids = Member(object, prefix, "uidMappings", Json::value_t::array);
    const Json* gids = Member(object, prefix, "gidMappings", Json::value_t::array);
    const bool has_uids = uids != nullptr && !uids->empty(), has_gids = gids != nullptr && !gids->empty();
    if (!has_uids && !has_gids) return std::nullopt;
    if (!has_uids) Fail(prefix + "uidMappings", "is missing");
    if (!has_gids) Fail(prefix + "gidMappings", "is missing");
    if (!has_uids || !has_gids) return std::nullopt;
    return IdMap{ReadIdRanges(*uids, prefix + "uidMappings"), ReadIdRanges(*gids, prefix + "gidMappings")};
  }

  void ReadAnnotations(OciConfig& config) {
    const Json* object = Member(document_, "", "annotations", Json::value_t::object);
    if (object == nullptr) return;
    std::map<std::string, std::string> annotations;
    for (const auto& [key, value] : object->items()) {
      if (!key.starts_with(OciAnnotations::kPrefix)) continue;
      if (!value.is_string()) return Fail("annotations", absl::StrCat(key, " must be a string"));
      annotations[key] = value.get<std::string>();
    }
    absl::StatusOr<OciAnnotations> parsed = OciAnnotations::Parse(annotations);
    if (!parsed.ok()) return status_.Update(parsed.status());
    status_.Update(parsed->CheckTargets([&](const std::string& target) {
      auto bound = [&](const OciMount& mount) { return mount.bind && mount.target == target; };
      return target == "/" || std::any_of(config.mounts_.begin(), config.mounts_.end(), bound);
    }));
    config.root_.policy = parsed->Of(config.root_.target);
    for (OciMount& mount : config.mounts_) mount.policy = parsed->Of(mount.target);
  }

  void ReadNamespaces(OciConfig& config) {
    const Json* platform = Member(document_, "", "linux", Json::value_t::object);
    if (platform == nullptr) return;
    const Json* namespaces = Member(*platform, "linux.", "namespaces", Json::value_t::array);
    if (namespaces == nullptr) return;
    for (size_t i = 0; i < namespaces->size(); ++i) {
      const Json& entry = (*namespaces)[i];
      std::string prefix = absl::StrCat("linux.namespaces[", i, "].");
      if (!entry.is_object()) return Fail(prefix, "must be of type object");
      std::string type = String(entry, prefix, "type").value_or("");
      std::string path = String(entry, prefix, "path").value_or("");
      if (type == "mount" && !path.empty()) {
        Fail(prefix + "path",
             "an existing mount namespace cannot be joined: it has none of the container's file systems");
      }
      if (type != "user") continue;
      config.user_namespace_.emplace(OciUserNamespace{.path = path});
      if (!path.empty()) continue;
      std::optional<IdMap> id_map = ReadIdMap(*platform, "linux.");
      if (!id_map) Fail("linux.uidMappings", "is missing, for a user namespace");
      if (id_map) config.user_namespace_->id_map = *std::move(id_map);
    }
  }

  // What options say, where a mount has no map beside them.
  void CompleteIdMaps(OciConfig& config) {
    const std::optional<OciUserNamespace>& container = config.user_namespace_;
    for (OciMount& mount : config.mounts_) {
      if (!mount.options.id_mapped || mount.id_map) continue;
      const std::string name = absl::StrCat("mount ", mount.target);
      if (!mount.options.id_map.empty()) {
        const bool is_new = container && container->path.empty();
        auto map = ParseIdMapOption(mount.options.id_map, is_new ? &container->id_map : nullptr);
        if (!map.ok())
          return Fail(name, absl::StrCat("option idmap=", mount.options.id_map, ": ", map.status().message()));
        mount.id_map = *std::move(map);
      } else if (!container) {
        Fail(name, "option idmap cannot be honoured: neither the mount nor the container maps ids");
      }
    }
  }

  const Json& document_;
  const std::string bundle_;
  absl::Status status_;
};

absl::StatusOr<OciConfig> OciConfig::Parse(std::string_view text, const std::string& bundle) {
  if (text.size() > kMaxSize) return absl::InvalidArgumentError(absl::StrCat("is longer than ", kMaxSize, " bytes"));
  OciConfig config;
  try {
    bool too_deep = false;
    config.document_ = std::make_unique<Json>(Json::parse(text, [&](int depth, Json::parse_event_t, Json&) {
      too_deep = too_deep || depth > kMaxDepth;
      return !too_deep;
    }));
    if (too_deep) return absl::InvalidArgumentError("is nested too deeply");
    if (absl::Status read = Reader(*config.document_, bundle).Read(config); !read.ok()) return read;
  } catch (const Json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat("is not valid JSON: ", error.what()));
  }
  return config;
}

absl::StatusOr<OciConfig> OciConfig::Read(const std::string& path, const std::string& bundle) {
  Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!file) return absl::ErrnoToStatus(errno, path);
  std::string text;
  while (text.size() <= kMaxSize) {
    char buffer[65536];
    ssize_t length = read(file.get(), buffer, sizeof buffer);
    if (length < 0) return absl::ErrnoToStatus(errno, path);
    if (length == 0) break;
    text.append(buffer, static_cast<size_t>(length));
  }
  absl::StatusOr<OciConfig> config = Parse(text, bundle);
  if (!config.ok()) return absl::Status(config.status().code(), absl::StrCat(path, ": ", config.status().message()));
  return config;
}

std::string OciConfig::Rewritten(const std::string& root, std::span<const Replacement> replacements,
                                 const std::vector<std::string>& hook) const {
  Json document = *document_;
  document["root"]["path"] = root;
  for (const Replacement& replacement : replacements) {
    Json& mount = document["mounts"][replacement.mount];
    mount["source"] = replacement.path;
    mount.erase("uidMappings");
    mount.erase("gidMappings");
    if (!mount.contains("options") || mount["options"].is_null()) continue;
    Json options = Json::array();
    for (const Json& option : mount["options"]) {
      const std::string text = option.get<std::string>();
      if (text == "idmap" || text == "ridmap" || text.starts_with("idmap=") || text.starts_with("ridmap=")) continue;
      // What is mounted below the old source is part of the new one.
      options.push_back(text == "rbind" ? Json("bind") : option);
    }
    mount["options"] = std::move(options);
  }
  Json& hooks = document["hooks"]["createRuntime"];
  if (hooks.is_null()) hooks = Json::array();
  hooks.push_back({{"path", hook.at(0)}, {"args", hook}});
  return document.dump();
}

std::string OciConfig::ResolvedMounts(std::span<const Resolved> resolved) const {
  Json mounts = mounts_.empty() ? Json::array() : (*document_)["mounts"];
  for (size_t i = 0; i < mounts_.size(); ++i) {
    if (mounts_[i].bind) mounts[i]["source"] = mounts_[i].source;
  }
  for (const Resolved& one : resolved) {
    Json& mount = mounts[one.mount];
    mount["destination"] = one.destination;
    if (mount["options"].is_null()) mount["options"] = Json::array();
    for (const std::string& option : one.options) mount["options"].push_back(option);
  }
  return mounts.dump();
}

bool OciConfig::HasHooks(const std::string& kind) const {
  const Json* list = List("hooks", kind);
  return list != nullptr && !list->empty();
}

const Json* OciConfig::List(const std::string& object, const std::string& name) const {
  auto found = document_->find(object);
  if (found == document_->end() || !found->is_object()) return nullptr;
  auto list = found->find(name);
  return list != found->end() && list->is_array() ? &*list : nullptr;
}

}  // namespace lisafs
