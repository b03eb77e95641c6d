#include "control/mount_options.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/escape.h"
#include "base/status.h"
#include "sandbox/id_map_message.h"
#include "sandbox/oci/id_map_option.h"

namespace lisafs {
namespace {

using control::v1::MountLimits;
using control::v1::MountPolicy;
using control::v1::MountSpec;

struct Rate {
  uint64_t per_second = 0;
  uint64_t burst = 0;
};

std::optional<uint64_t> ParseCount(std::string_view text) {
  static constexpr std::string_view kUnits = "KMG";
  int shift = 0;
  if (!text.empty()) {
    if (size_t unit = kUnits.find(text.back()); unit != kUnits.npos) {
      shift = 10 * static_cast<int>(unit + 1);
      text.remove_suffix(1);
    }
  }
  uint64_t count = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || end != text.data() + text.size() || count > (uint64_t{1} << 40) >> shift) {
    return std::nullopt;
  }
  return count << shift;
}

std::optional<Rate> ParseRate(std::string_view text) {
  if (text == "off") return Rate{};
  const size_t slash = text.find('/');
  auto rate = ParseCount(text.substr(0, slash));
  auto burst = slash == text.npos ? 0 : ParseCount(text.substr(slash + 1));
  if (!rate || *rate == 0 || !burst) return std::nullopt;
  return Rate{*rate, *burst};
}

std::optional<bool> ParseSwitch(std::string_view text) {
  if (text == "on") return true;
  if (text == "off") return false;
  return std::nullopt;
}

// A word that has just "on" and "off".
struct Switch {
  std::string_view key;
  const char* field;
  void (MountPolicy::*set)(bool);
  bool field_when_on;
};
constexpr Switch kSwitches[] = {
    {"read-only", "read_only", &MountPolicy::set_read_only, true},
    {"descriptors", "withhold_descriptors", &MountPolicy::set_withhold_descriptors, false},
    {"passthrough", "withhold_passthrough", &MountPolicy::set_withhold_passthrough, false},
    {"revoked", "revoked", &MountPolicy::set_revoked, true},
};

struct Option {
  std::string_view name;
  void (MountSpec::*set)(bool);
  bool value;
};
constexpr Option kOptions[] = {
    {"ro", &MountSpec::set_read_only, true},
    {"rw", &MountSpec::set_read_only, false},
    {"nosuid", &MountSpec::set_nosuid, true},
    {"nodev", &MountSpec::set_nodev, true},
    {"noexec", &MountSpec::set_noexec, true},
    {"rec", &MountSpec::set_recursive, true},
    {"withhold", &MountSpec::set_withhold_descriptors, true},
    {"nopassthrough", &MountSpec::set_withhold_passthrough, true},
    {"fifo", &MountSpec::set_open_host_fifos, true},
    {"uds-open", &MountSpec::set_open_host_sockets, true},
    {"uds-create", &MountSpec::set_create_host_sockets, true},
};

absl::Status Wrong(std::string_view word, const char* why) {
  return absl::InvalidArgumentError(absl::StrCat(Escape(word), ": ", why));
}

// Takes over what "ops" or "bytes" says; false if the rate makes no sense.
bool SetRate(std::string_view key, std::string_view value, MountLimits& limits) {
  auto rate = ParseRate(value);
  if (!rate) return false;
  if (key == "ops") {
    limits.set_operations_per_second(rate->per_second);
    limits.set_operations_burst(rate->burst);
  } else {
    limits.set_bytes_per_second(rate->per_second);
    limits.set_bytes_burst(rate->burst);
  }
  return true;
}

constexpr char kBadRate[] = "neither RATE, RATE/BURST nor off";

absl::Status ParseWord(std::string_view word, MountPolicy& policy, std::vector<std::string>& fields) {
  const size_t equals = word.find('=');
  if (equals == word.npos) return Wrong(word, "not KEY=VALUE");
  const std::string_view key = word.substr(0, equals), value = word.substr(equals + 1);
  for (const Switch& known : kSwitches) {
    if (key != known.key) continue;
    auto on = ParseSwitch(value);
    if (!on) return Wrong(word, "neither on nor off");
    (policy.*known.set)(*on == known.field_when_on);
    fields.push_back(known.field);
    return absl::OkStatus();
  }
  if (key == "cache") {
    if (value != "exclusive" && value != "shared") return Wrong(word, "neither exclusive nor shared");
    policy.set_cache(value == "exclusive" ? MountSpec::CACHE_EXCLUSIVE : MountSpec::CACHE_SHARED);
    fields.emplace_back("cache");
    return absl::OkStatus();
  }
  if (key != "ops" && key != "bytes") return Wrong(word, "not a key that is known");
  if (!SetRate(key, value, *policy.mutable_limits())) return Wrong(word, kBadRate);
  if (key == "ops") {
    fields.insert(fields.end(), {"limits.operations_per_second", "limits.operations_burst"});
  } else {
    fields.insert(fields.end(), {"limits.bytes_per_second", "limits.bytes_burst"});
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ParsePolicy(const std::vector<std::string>& words, control::v1::UpdateMountRequest& update) {
  for (const std::string& word : words) {
    std::vector<std::string> fields;
    if (absl::Status parsed = ParseWord(word, *update.mutable_policy(), fields); !parsed.ok()) return parsed;
    auto* paths = update.mutable_update_mask()->mutable_paths();
    if (std::find(paths->begin(), paths->end(), fields.front()) != paths->end()) return Wrong(word, "given twice");
    for (const std::string& field : fields) *paths->Add() = field;
  }
  return absl::OkStatus();
}

absl::Status ParseMountOptions(const std::string& text, MountSpec& spec) {
  for (std::string_view rest = text; !rest.empty();) {
    const size_t comma = std::min(rest.find(','), rest.size());
    const std::string_view word = rest.substr(0, comma);
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    const auto* known = std::find_if(std::begin(kOptions), std::end(kOptions),
                                     [&](const Option& option) { return option.name == word; });
    if (known != std::end(kOptions)) {
      (spec.*known->set)(known->value);
      continue;
    }
    const size_t equals = word.find('=');
    const std::string_view key = word.substr(0, equals);
    if (equals != word.npos && (key == "idmap" || key == "ridmap")) {
      auto ids = ParseIdMapOption(word.substr(equals + 1), nullptr);
      if (!ids.ok()) return Annotate(Escape(word), ids.status());
      *spec.mutable_id_map() = ToMessage(*ids);
      spec.set_id_map_recursive(key == "ridmap");
      continue;
    }
    if (equals == word.npos || (key != "ops" && key != "bytes")) return Wrong(word, "not an option that is known");
    if (!SetRate(key, word.substr(equals + 1), *spec.mutable_limits())) return Wrong(word, kBadRate);
  }
  return absl::OkStatus();
}

}  // namespace lisafs
