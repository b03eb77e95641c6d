#include "plugin/policy_follower.h"

#include <sched.h>

#include <utility>

namespace lisafs {

PolicyFollower::PolicyFollower(const LivePolicy& policy, InodeTable& nodes, AbsentNames& absent, FuseTransport& kernel,
                               OthersChange others_change)
    : policy_(policy),
      nodes_(nodes),
      absent_(absent),
      caches_(kernel),
      others_change_(std::move(others_change)),
      seen_(policy.changes.load(std::memory_order_acquire)),
      restrictions_(policy.Restrictions()) {}

PolicyFollower::~PolicyFollower() {
  if (!thread_.joinable()) return;
  ending_ = true;
  WakeUp();
  thread_.join();
}

void PolicyFollower::Start() {
  thread_ = std::thread([this] { Run(); });
}

void PolicyFollower::Repeat() {
  repeat_ = true;
  WakeUp();
}

// It may be about to sleep, where no call wakes it yet.
void PolicyFollower::WakeUp() {
  for (; asleep_ && (repeat_ || ending_); sched_yield()) WakeOnPolicyChange(policy_);
}

void PolicyFollower::Sleep() {
  asleep_ = true;
  if (!repeat_ && !ending_) AwaitPolicyChange(policy_, seen_);
  asleep_ = false;
}

void PolicyFollower::Run() {
  while (!ending_) {
    const uint32_t changes = policy_.changes.load(std::memory_order_acquire);
    const bool repeat = repeat_.exchange(false);
    if (changes == seen_ && !repeat) {
      Sleep();
      continue;
    }
    // What held between several changes is not known.
    const bool all_may_have_changed = repeat || changes - seen_ > 1;
    seen_ = changes;
    const uint32_t now = policy_.Restrictions();
    const uint32_t changed = now ^ std::exchange(restrictions_, now);
    Apply(all_may_have_changed ? UINT32_MAX : changed, now);
  }
}

void PolicyFollower::Apply(uint32_t changed, uint32_t now) {
  if (changed & kShared) names_owed_ = true;
  if (changed & now & kShared) others_change_.before_drop();
  if (!(now & kRevoked) && std::exchange(names_owed_, false)) caches_.ForgetAllNames(nodes_, absent_);
  if (changed & now & kRevoked) {
    // These wait for nothing, and already keep who asks for pages from getting them.
    nodes_.ForEachNode([&](const Node& node) { caches_.ForgetAttributes(node.id()); });
  }
  if (changed & (kShared | (now & kRevoked))) {
    nodes_.ForEachNode([&](const Node& node) { caches_.ForgetContent(node.id()); });
  }
  if (changed & now & kShared) others_change_.after_drop();
}

}  // namespace lisafs
