#ifndef LISAFS_LISAFS_PLUGIN_CLAIMS_H_
#define LISAFS_LISAFS_PLUGIN_CLAIMS_H_

#include <stddef.h>
#include <stdint.h>

#include <atomic>

#include "lisafs/counters.h"

// What a plugin says of itself: how many requests of the kernel it had, and how many of them it answered without asking
// the gofer, from what it knows. It is in a file that the plugin maps and lisafsd reads. The plugin is hostile: these
// are numbers to be shown, and nothing is decided by them.
//
// The layout is private to one version of the project, as that of counters.h is.

namespace lisafs {

enum class ClaimKind : size_t { kLookup, kAttributes, kOpen, kList, kData, kOther };
inline constexpr const char* kClaimKinds[] = {"lookup", "attributes", "open", "list", "data", "other"};
inline constexpr size_t kClaimKindCount = sizeof kClaimKinds / sizeof *kClaimKinds;

struct PluginClaim {
  std::atomic<uint64_t> requests = 0;
  std::atomic<uint64_t> answered = 0;  // Of them, without the gofer.
};

// One mount's. Several threads count.
struct PluginClaims {
  PluginClaim kinds[kClaimKindCount];

  void Count(ClaimKind kind, bool answered) {
    PluginClaim& claim = kinds[static_cast<size_t>(kind)];
    claim.requests.fetch_add(1, std::memory_order_relaxed);
    if (answered) claim.answered.fetch_add(1, std::memory_order_relaxed);
  }
};

// The file: all zero at first.
struct PluginClaimsPage {
  PluginClaims mounts[kMaxMounts];
};

}  // namespace lisafs

#endif  // LISAFS_LISAFS_PLUGIN_CLAIMS_H_
