#ifndef LISAFS_LISAFS_LIVE_POLICY_H_
#define LISAFS_LISAFS_LIVE_POLICY_H_

#include <stddef.h>
#include <stdint.h>

#include <atomic>

#include "base/fd.h"
#include "base/result.h"
#include "lisafs/counters.h"

// What each mount of a gofer may be asked for at this moment, in a file that lisafsd writes and that the gofer and the
// plugin map to read while they serve. It only takes away from what a mount was made with; all zero takes nothing away.
//
// Every request reads one word of it, with a relaxed load: a change is seen by the requests that come after it, and
// nobody waits for it. What belongs together is written before the bit of `restrictions` that has it looked at, and all
// of it before `changes`: a futex that who has to do something about a change sleeps on.
//
// The layout is private to one version of the project, as that of counters.h is.

namespace lisafs {

inline constexpr uint64_t kLivePolicyMagic = 0x3159434c4f50494c;  // "LIPOLCY1"
inline constexpr uint32_t kLivePolicyVersion = 3;

// Bits of LivePolicy::restrictions.
inline constexpr uint32_t kForbidChanges = 1 << 0;        // EROFS for whatever changes something.
inline constexpr uint32_t kRevoked = 1 << 1;              // EACCES for all but giving FDs back.
inline constexpr uint32_t kWithholdDescriptors = 1 << 2;  // No host descriptors of regular files are given away.
inline constexpr uint32_t kWithholdPassthrough = 1 << 3;  // None are registered with the client's FUSE file system.
inline constexpr uint32_t kLimited = 1 << 4;              // By `operations` and `bytes`.
inline constexpr uint32_t kShared = 1 << 5;               // Others change the files: nothing is cached without end.

// What makes the plugin leave the host's descriptors that it holds alone, so that the gofer sees every access.
inline constexpr uint32_t kBypassDonated = kForbidChanges | kRevoked | kWithholdDescriptors | kLimited;

// A token bucket. `per_second` 0 is no limit; otherwise `burst` is what may come at once, at least 1.
struct LiveRate {
  std::atomic<uint64_t> per_second = 0;
  std::atomic<uint64_t> burst = 0;
};

struct LivePolicy {
  std::atomic<uint32_t> restrictions = 0;
  std::atomic<uint32_t> changes = 0;  // How many there were.
  LiveRate operations;
  LiveRate bytes;  // Of file data.
  // How many want to know what the mount is asked for: while there is one, the gofer writes it to the AccessRing.
  std::atomic<uint32_t> recordings = 0;
  uint32_t padding = 0;

  uint32_t Restrictions() const { return restrictions.load(std::memory_order_relaxed); }
  bool recorded() const { return recordings.load(std::memory_order_relaxed) != 0; }
};

struct LivePolicyPage {
  uint64_t magic = kLivePolicyMagic;
  uint32_t version = kLivePolicyVersion;
  uint32_t padding = 0;
  LivePolicy mounts[kMaxMounts];
};

// What holds where there is no page.
inline constinit const LivePolicy kNoRestrictions;

// Maps the page in `file`, for good.
StepResult<const LivePolicyPage*> MapLivePolicy(const Fd& file);

// Sleeps until there was another change than the `seen` ones, or for no reason. / Wakes all who do. Both also through a
// mapping that can only be read.
void AwaitPolicyChange(const LivePolicy& policy, uint32_t seen);
void WakeOnPolicyChange(const LivePolicy& policy);

}  // namespace lisafs

#endif  // LISAFS_LISAFS_LIVE_POLICY_H_
