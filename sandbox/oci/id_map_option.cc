#include "sandbox/oci/id_map_option.h"

#include <charconv>
#include <optional>
#include <vector>

namespace lisafs {
namespace {

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t end; (end = text.find(separator)) != text.npos; text.remove_prefix(end + 1)) {
    parts.push_back({text.data(), end});
  }
  parts.push_back(text);
  return parts;
}

std::optional<uint32_t> ParseId(std::string_view text) {
  uint32_t id = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return id;
}

// What the container's id `inside`, and `count` - 1 behind it, are on the host.
std::optional<uint32_t> OnHost(const std::vector<IdRange>& container, uint32_t inside, uint32_t count) {
  for (const IdRange& range : container) {
    if (inside < range.inside || inside - range.inside >= range.count) continue;
    const uint32_t offset = inside - range.inside;
    if (count > range.count - offset) return std::nullopt;
    return range.outside + offset;
  }
  return std::nullopt;
}

absl::StatusOr<std::vector<IdRange>> ParseRanges(std::string_view text, const std::vector<IdRange>* container) {
  std::vector<IdRange> ranges;
  for (std::string_view range : Split(text, '#')) {
    const bool of_container = range.starts_with('@');
    if (of_container) range.remove_prefix(1);
    const std::vector<std::string_view> numbers = Split(range, '-');
    if (numbers.size() != 3) return absl::InvalidArgumentError("not of the form FROM-TO-COUNT");
    auto from = ParseId(numbers[0]), to = ParseId(numbers[1]), count = ParseId(numbers[2]);
    if (!from || !to || !count) return absl::InvalidArgumentError("not ids");
    if (of_container && container == nullptr) {
      return absl::InvalidArgumentError("@ is for a container with a new user namespace");
    }
    if (of_container) to = OnHost(*container, *to, *count);
    if (!to) return absl::InvalidArgumentError("ids that the container does not have");
    ranges.push_back({*from, *to, *count});
  }
  if (absl::Status good = CheckIdRanges(ranges); !good.ok()) return good;
  return ranges;
}

}  // namespace

absl::StatusOr<IdMap> ParseIdMapOption(std::string_view text, const IdMap* container) {
  IdMap map;
  for (std::string_view list : Split(text, ';')) {
    const bool uids = list.starts_with("uids="), gids = list.starts_with("gids=");
    std::vector<IdRange>& ids = uids ? map.uids : map.gids;
    if ((!uids && !gids) || !ids.empty()) return absl::InvalidArgumentError("not uids=… and gids=…");
    const std::vector<IdRange>* containers = container == nullptr ? nullptr
                                             : uids               ? &container->uids
                                                                  : &container->gids;
    auto parsed = ParseRanges(list.substr(5), containers);
    if (!parsed.ok()) return parsed.status();
    ids = *std::move(parsed);
  }
  if (map.uids.empty() || map.gids.empty()) return absl::InvalidArgumentError("not uids=… and gids=…");
  return map;
}

}  // namespace lisafs
