#ifndef LISAFS_SANDBOX_ID_MAP_H_
#define LISAFS_SANDBOX_ID_MAP_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"

namespace lisafs {

// `count` ids from `inside` on, in a user namespace or on a file system that is mounted id-mapped, are those from
// `outside` on in the initial user namespace.
struct IdRange {
  uint32_t inside = 0;
  uint32_t outside = 0;
  uint32_t count = 0;
  bool operator==(const IdRange&) const = default;
};

struct IdMap {
  std::vector<IdRange> uids;
  std::vector<IdRange> gids;
  bool operator==(const IdMap&) const = default;
};

// As many as the kernel takes.
inline constexpr size_t kMaxIdRanges = 340;

// INVALID_ARGUMENT: no range or too many, or one is empty, goes beyond the last id, or shares ids with another.
absl::Status CheckIdRanges(std::span<const IdRange> ranges);

// Every id is itself.
IdMap IdentityMap();
// The ids that `map` has outside, each as itself.
IdMap OutsideOf(const IdMap& map);

// What the first id inside is outside: root, if the namespace has one. `ranges` is not empty.
uint32_t FirstId(std::span<const IdRange> ranges);

// An id that all have outside: `preferred` if they do.
std::optional<uint32_t> CommonOutsideId(std::span<const std::vector<IdRange>> all, uint32_t preferred);

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_ID_MAP_H_
