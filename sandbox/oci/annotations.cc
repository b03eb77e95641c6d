#include "sandbox/oci/annotations.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/escape.h"

namespace lisafs {
namespace {

constexpr char kCache[] = "cache";
constexpr char kDescriptors[] = "descriptors";
constexpr char kPassthrough[] = "passthrough";
constexpr char kExclusive[] = "exclusive";
constexpr char kShared[] = "shared";
constexpr char kWithhold[] = "withhold";
constexpr char kAllow[] = "allow";

struct Property {
  std::string_view name;
  std::array<std::string_view, 2> words;
};
constexpr Property kProperties[] = {
    {kCache, {kExclusive, kShared}},
    {kDescriptors, {kWithhold, kAllow}},
    {kPassthrough, {kWithhold, kAllow}},
};

absl::Status Wrong(std::string_view property, std::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("annotation ", std::string(OciAnnotations::kPrefix), Escape(property), ": ", std::string(why)));
}

// As OciConfig has targets.
std::string Cleaned(std::string_view target) {
  std::string cleaned = std::filesystem::path(target).lexically_normal();
  if (cleaned.size() > 1 && cleaned.back() == '/') cleaned.pop_back();
  return cleaned;
}

}  // namespace

absl::StatusOr<OciAnnotations> OciAnnotations::Parse(const std::map<std::string, std::string>& annotations) {
  OciAnnotations parsed;
  for (const auto& [key, value] : annotations) {
    if (!key.starts_with(kPrefix)) continue;
    if (absl::Status read = parsed.Read(key.substr(kPrefix.size()), value); !read.ok()) return read;
  }
  return parsed;
}

absl::Status OciAnnotations::Read(const std::string& name, std::string_view value) {
  auto property = std::find_if(std::begin(kProperties), std::end(kProperties),
                               [&](const Property& known) { return known.name == name; });
  if (property == std::end(kProperties)) return Wrong(name, "is not known");
  for (size_t start = 0; start <= value.size();) {
    const std::string_view item = value.substr(start, value.find(',', start) - start);
    start += item.size() + 1;
    const size_t equals = item.rfind('=');
    const std::string word(equals == item.npos ? item : item.substr(equals + 1));
    if (std::find(property->words.begin(), property->words.end(), word) == property->words.end()) {
      return Wrong(name, absl::StrCat("\"", Escape(item), "\" is neither ", std::string(property->words[0]), " nor ",
                                      std::string(property->words[1]), ", nor TARGET=one of them"));
    }
    if (equals == item.npos) {
      if (!of_all_.emplace(name, word).second) return Wrong(name, "says twice what is for all mounts");
      continue;
    }
    if (!item.starts_with('/')) return Wrong(name, absl::StrCat("\"", Escape(item), "\": not an absolute path"));
    const std::string target = Cleaned(item.substr(0, equals));
    if (!of_one_[target].emplace(name, word).second) {
      return Wrong(name, absl::StrCat("speaks twice of mount ", Escape(target)));
    }
  }
  return absl::OkStatus();
}

absl::Status OciAnnotations::NoSuchMount(const std::string& target, const std::string& property) {
  return Wrong(property, absl::StrCat("no file system is bound to ", Escape(target)));
}

OciMountPolicy OciAnnotations::Of(const std::string& target) const {
  Words words = of_all_;
  if (auto own = of_one_.find(target); own != of_one_.end()) {
    for (const auto& [property, word] : own->second) words[property] = word;
  }
  OciMountPolicy policy;
  if (words[kCache] == kExclusive) policy.cache = OciMountPolicy::Cache::kExclusive;
  if (words[kCache] == kShared) policy.cache = OciMountPolicy::Cache::kShared;
  policy.withhold_descriptors = words[kDescriptors] == kWithhold;
  policy.withhold_passthrough = words[kPassthrough] == kWithhold;
  return policy;
}

}  // namespace lisafs
