// The part of InodeTable that gets control FDs and gives them up.

#include <algorithm>
#include <array>

#include "plugin/inode_table.h"

namespace lisafs {
namespace {

// Steps in one Walk. Few paths are deeper; longer ones take several requests.
constexpr size_t kMaxSteps = 32;

}  // namespace

Result<Pinned> InodeTable::Pin(uint64_t id) {
  NodeRef node;
  {
    Locked lock(*this);
    Node** found = nodes_.Find(id);
    if (found == nullptr) return Fail(ESTALE);
    if ((*found)->fd_ != kInvalidFdid) return PinHere(lock, **found);
    node = NodeRef(this, *found);
  }
  return PinByWalking(node);
}

Result<Pinned> InodeTable::Pin(const NodeRef& node) {
  {
    Locked lock(*this);
    if (node->fd_ != kInvalidFdid) return PinHere(lock, *node);
  }
  return PinByWalking(node);
}

// A name that leads elsewhere is dropped and the next one tried, here or further up, until there is none.
Result<Pinned> InodeTable::PinByWalking(const NodeRef& node) {
  std::shared_lock no_renames(moves_);
  while (true) {
    std::optional<Path> path;
    {
      Locked lock(*this);
      if (node->fd_ != kInvalidFdid) return PinHere(lock, *node);
      path = FindPath(lock, *node);
    }
    if (!path) return Fail(ESTALE);
    LISAFS_ASSIGN_OR_RETURN(Pinned pinned, WalkPath(*path));
    if (&pinned.node() == node.get()) return pinned;
  }
}

std::optional<InodeTable::Path> InodeTable::FindPath(Locked& lock, Node& node) {
  Path path;
  Node* at = &node;
  for (; at->fd_ == kInvalidFdid; at = at->names_.back()->parent) {
    if (at->names_.empty()) return std::nullopt;
    path.nodes.push_back(NodeRef(this, at));
    path.names.push_back(at->names_.back()->name);
  }
  std::reverse(path.nodes.begin(), path.nodes.end());
  std::reverse(path.names.begin(), path.names.end());
  path.start = PinHere(lock, *at);
  return path;
}

// Gives the last node that was reached: another than the path's last if a name turned out to be stale.
Result<Pinned> InodeTable::WalkPath(Path& path) {
  Pinned at = std::move(path.start);
  size_t most = kMaxSteps;
  for (size_t done = 0; done < path.nodes.size();) {
    std::array<std::string_view, kMaxSteps> names;
    size_t steps = std::min(most, path.nodes.size() - done);
    std::copy_n(path.names.begin() + done, steps, names.begin());
    std::array<Inode, kMaxSteps> found;
    size_t count = 0;
    Status walked =
        client_.Call<Mid::kWalk>(WalkReq{at.fd(), StringArray(std::span<const std::string_view>(names.data(), steps))},
                                 [&](const WalkResp& response) -> Status {
                                   if (response.inodes.size() > steps) return Fail(EPROTO);
                                   for (; count < response.inodes.size(); ++count)
                                     found[count] = response.inodes[count];
                                   return {};
                                 });
    if (!walked && walked.error() == Errno(ENOTDIR) && steps > 1) {
      // A directory on the way is a file now. Which, shows step by step.
      most = 1;
      continue;
    }
    if (!walked) return Fail(walked.error());

    size_t right = 0;
    while (right < count && Identity::Of(found[right].stat) == path.nodes[done + right]->identity()) ++right;
    Pinned reached;
    {
      Locked lock(*this);
      for (size_t i = 0; i < count; ++i) {
        if (i < right) {
          Adopt(lock, *path.nodes[done + i], found[i].control_fd);
        } else {
          lock.Close(found[i].control_fd);
        }
      }
      if (right > 0) reached = PinHere(lock, *path.nodes[done + right - 1]);
      for (size_t i = 0; i < right; ++i) Settle(lock, *path.nodes[done + i]);
    }
    if (right > 0) at = std::move(reached);
    if (right < steps) {
      DropStaleName(*path.nodes[done + right], path.names[done + right]);
      return at;
    }
    done += steps;
  }
  return at;
}

void InodeTable::DropStaleName(Node& node, std::string_view name) {
  Locked lock(*this);
  // Another thread may have learned a better name meanwhile.
  if (node.names_.empty() || node.names_.back()->name != name) return;
  EraseName(lock, names_.find(*node.names_.back()));
  Settle(lock, node);
}

Pinned InodeTable::PinHere(Locked& lock, Node& node) {
  ++node.pins_;
  Settle(lock, node);
  return Pinned(this, NodeRef(this, &node), node.fd_);
}

void InodeTable::Unpin(Node& node, bool lasting) {
  Locked lock(*this);
  --node.pins_;
  if (lasting) --node.lasting_pins_;
  Settle(lock, node);
}

void InodeTable::MakeLasting(Node& node) {
  Locked lock(*this);
  ++node.lasting_pins_;
  Settle(lock, node);
}

// To be followed by Settle.
void InodeTable::Adopt(Locked& lock, Node& node, Fdid fd) {
  if (node.fd_ != kInvalidFdid) {
    lock.Close(fd);
    return;
  }
  node.fd_ = fd;
  node.wrong_position_ = false;
  node.evictable_ = false;
  node.fd_place_ = held_.insert(held_.begin(), &node);
}

void InodeTable::GiveUpFd(Locked& lock, Node& node) {
  if (node.fd_ == kInvalidFdid) return;
  lock.Close(std::exchange(node.fd_, kInvalidFdid));
  (node.evictable_ ? evictable_ : held_).erase(node.fd_place_);
}

// Puts the node's FD where it belongs after its pins, names or FD changed, and keeps the budget.
void InodeTable::Settle(Locked& lock, Node& node) {
  if (node.fd_ == kInvalidFdid) return;
  if (node.wrong_position_ && node.pins_ == node.lasting_pins_) return GiveUpFd(lock, node);
  bool evictable = node.pins_ == 0 && !node.names_.empty() && !IsRoot(node);
  auto& from = node.evictable_ ? evictable_ : held_;
  auto& to = evictable ? evictable_ : held_;
  to.splice(to.begin(), from, node.fd_place_);
  node.evictable_ = evictable;
  KeepBudget(lock);
}

void InodeTable::KeepBudget(Locked& lock) {
  while (evictable_.size() + held_.size() > budget_ && !evictable_.empty()) GiveUpFd(lock, *evictable_.back());
}

}  // namespace lisafs
