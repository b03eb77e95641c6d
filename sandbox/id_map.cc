#include "sandbox/id_map.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"

namespace lisafs {
namespace {

// The last number is no id: it says that there is none.
constexpr uint32_t kIds = std::numeric_limits<uint32_t>::max();

bool Overlap(uint32_t a, uint32_t b, const IdRange& first, const IdRange& second) {
  return uint64_t{a} < uint64_t{b} + second.count && uint64_t{b} < uint64_t{a} + first.count;
}

bool HasOutside(std::span<const IdRange> ranges, uint32_t id) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [&](const IdRange& range) { return id >= range.outside && id - range.outside < range.count; });
}

std::vector<IdRange> OutsideOf(std::span<const IdRange> ranges) {
  std::vector<IdRange> same;
  for (const IdRange& range : ranges) same.push_back({range.outside, range.outside, range.count});
  return same;
}

}  // namespace

absl::Status CheckIdRanges(std::span<const IdRange> ranges) {
  if (ranges.empty()) return absl::InvalidArgumentError("no ids");
  if (ranges.size() > kMaxIdRanges) {
    return absl::InvalidArgumentError(absl::StrCat("more than ", kMaxIdRanges, " ranges of ids"));
  }
  for (size_t i = 0; i < ranges.size(); ++i) {
    const IdRange& range = ranges[i];
    if (range.count == 0) return absl::InvalidArgumentError("a range without ids");
    if (range.count > kIds - range.inside || range.count > kIds - range.outside) {
      return absl::InvalidArgumentError("a range beyond the last id");
    }
    for (const IdRange& other : ranges.subspan(i + 1)) {
      if (Overlap(range.inside, other.inside, range, other) || Overlap(range.outside, other.outside, range, other)) {
        return absl::InvalidArgumentError("ranges that share ids");
      }
    }
  }
  return absl::OkStatus();
}

IdMap IdentityMap() { return {{{0, 0, kIds}}, {{0, 0, kIds}}}; }

IdMap OutsideOf(const IdMap& map) { return {OutsideOf(map.uids), OutsideOf(map.gids)}; }

uint32_t FirstId(std::span<const IdRange> ranges) {
  return std::min_element(ranges.begin(), ranges.end(),
                          [](const IdRange& a, const IdRange& b) { return a.inside < b.inside; })
      ->outside;
}

std::optional<uint32_t> CommonOutsideId(std::span<const std::vector<IdRange>> all, uint32_t preferred) {
  auto common = [&](uint32_t id) {
    return std::all_of(all.begin(), all.end(), [&](const auto& ranges) { return HasOutside(ranges, id); });
  };
  if (common(preferred)) return preferred;
  // The lowest id that all have is the first of some range.
  for (const auto& ranges : all) {
    for (const IdRange& range : ranges) {
      if (common(range.outside)) return range.outside;
    }
  }
  return std::nullopt;
}

}  // namespace lisafs
