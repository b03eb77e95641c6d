#include "control/mount_options.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/escape.h"

namespace lisafs {
namespace {

using control::v1::MountLimits;
using control::v1::MountPolicy;

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

absl::Status Wrong(std::string_view word, const char* why) {
  return absl::InvalidArgumentError(absl::StrCat(Escape(word), ": ", why));
}

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
  if (key != "ops" && key != "bytes") return Wrong(word, "not a key that is known");
  auto rate = ParseRate(value);
  if (!rate) return Wrong(word, "neither RATE, RATE/BURST nor off");
  MountLimits& limits = *policy.mutable_limits();
  if (key == "ops") {
    limits.set_operations_per_second(rate->per_second);
    limits.set_operations_burst(rate->burst);
    fields.insert(fields.end(), {"limits.operations_per_second", "limits.operations_burst"});
  } else {
    limits.set_bytes_per_second(rate->per_second);
    limits.set_bytes_burst(rate->burst);
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

}  // namespace lisafs
