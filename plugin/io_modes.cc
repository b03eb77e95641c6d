#include "plugin/io_modes.h"

namespace lisafs {

IoModes::Mode IoModes::Enter(const std::shared_ptr<Handle>& handle, bool may_start, OpenBacking open_backing) {
  Mode mode;
  Node& node = *handle->node;
  std::unique_lock lock(mutex_);
  // Stays where it is while it has users, whatever else is opened.
  OpenNode& open = open_[&node];
  const bool first = open.users++ == 0;
  decided_.wait(lock, [&] { return !open.deciding; });
  if (first && may_start && enabled_ && !given_up_ && !too_deep_.contains(DeviceOf(node))) {
    open.deciding = true;
    lock.unlock();
    auto answer = open_backing(*handle);
    lock.lock();
    open.deciding = false;
    decided_.notify_all();
    if (answer) {
      open.backing_id = answer->backing_id;
      open.backing = handle;
      mode.stat_known = true;
      mode.stat = answer->stat;
    } else {
      Refused(node, answer.error());
    }
  }
  mode.backing_id = open.backing_id;
  if (mode.backing_id == 0) {
    mode.cache_outdated = node.TakeCacheOutdated();
  } else {
    node.SetCacheOutdated();
    if (handle->read_write) node.CountUnseenWriters(1);
  }
  return mode;
}

void IoModes::Leave(const Handle& handle) {
  std::shared_ptr<Handle> backing;  // Goes after the lock.
  std::lock_guard lock(mutex_);
  auto found = open_.find(handle.node.get());
  if (found == open_.end()) return;
  OpenNode& open = found->second;
  if (open.backing_id != 0 && handle.read_write) found->first->CountUnseenWriters(-1);
  if (--open.users > 0) return;
  backing = std::move(open.backing);
  open_.erase(found);
}

bool IoModes::PassesThrough(const Node& node) {
  std::lock_guard lock(mutex_);
  auto found = open_.find(const_cast<Node*>(&node));
  return found != open_.end() && found->second.backing_id != 0;
}

bool IoModes::IsFinal(Errno refusal) {
  switch (refusal.value()) {
    case ELOOP:  // File systems are stacked too deep;
    case EPERM:  // the kernel lets nothing through, for whatever reason;
    case ENOTTY:
    case EOPNOTSUPP:  // the server has nobody to ask,
    case ENOTCONN:    // or not any more.
    case ENODEV:
      return true;
  }
  return false;
}

void IoModes::Refused(const Node& node, Errno error) {
  if (error == Errno(ELOOP)) {
    too_deep_.insert(DeviceOf(node));
  } else if (IsFinal(error)) {
    given_up_ = true;
  }
}

}  // namespace lisafs
