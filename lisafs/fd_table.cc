#include "lisafs/fd_table.h"

namespace lisafs {

Fdid FdTable::Insert(std::shared_ptr<FdObject> object) {
  Count(*object, 1);
  std::lock_guard lock(mutex_);
  Fdid fd = ++last_;
  objects_.emplace(fd, std::move(object));
  return fd;
}

std::shared_ptr<FdObject> FdTable::Find(Fdid fd) const {
  std::lock_guard lock(mutex_);
  auto found = objects_.find(fd);
  return found == objects_.end() ? nullptr : found->second;
}

void FdTable::Close(Fdid fd) {
  decltype(objects_)::node_type closed;
  {
    std::lock_guard lock(mutex_);
    closed = objects_.extract(fd);
  }
  // The object dies here, if nobody uses it, and with it a descriptor: not under the lock.
  if (closed) Count(*closed.mapped(), -1);
}

void FdTable::Clear() {
  decltype(objects_) closed;
  {
    std::lock_guard lock(mutex_);
    closed.swap(objects_);
  }
  for (auto& [fd, object] : closed) Count(*object, -1);
}

size_t FdTable::size() const {
  std::lock_guard lock(mutex_);
  return objects_.size();
}

void FdTable::Count(const FdObject& object, int64_t change) {
  if (counters_ == nullptr) return;
  auto& held = object.kind() == FdObject::Kind::kControl ? counters_->summary.control_fds : counters_->summary.open_fds;
  held.fetch_add(static_cast<uint64_t>(change), std::memory_order_relaxed);
}

}  // namespace lisafs
