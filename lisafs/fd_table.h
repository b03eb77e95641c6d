#ifndef LISAFS_LISAFS_FD_TABLE_H_
#define LISAFS_LISAFS_FD_TABLE_H_

#include <sys/stat.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "base/result.h"
#include "lisafs/counters.h"
#include "lisafs/messages.h"
#include "lisafs/node.h"

namespace lisafs {

// How many objects a connection may hold, so that one client cannot use up the process's descriptors. An object takes
// its share before it opens anything and gives it back when it dies, which may be after its FDID was closed: a control
// FD lives as long as an open FD made from it. Outlives the shares.
class FdBudget {
 public:
  explicit FdBudget(int64_t limit) : left_(limit), kept_(limit / 8 < kMostKept ? limit / 8 : kMostKept) {}

  class Share {
   public:
    Share(Share&& other) noexcept : budget_(std::exchange(other.budget_, nullptr)) {}
    Share& operator=(Share&&) = delete;
    ~Share() {
      if (budget_ != nullptr) budget_->left_.fetch_add(1, std::memory_order_relaxed);
    }

   private:
    friend class FdBudget;
    explicit Share(FdBudget* budget) : budget_(budget) {}
    FdBudget* budget_;
  };

  // EMFILE when nothing is left.
  Result<Share> Take() {
    if (left_.fetch_sub(1, std::memory_order_relaxed) > 0) return Share(this);
    left_.fetch_add(1, std::memory_order_relaxed);
    return Fail(EMFILE);
  }

  // For what stays as long as a file is open. It leaves some to who only passes by: whoever has opened all that may be
  // open can still walk to a file and remove it.
  Result<Share> TakeForOpenFile() {
    if (left_.load(std::memory_order_relaxed) <= kept_) return Fail(EMFILE);
    return Take();
  }

 private:
  static constexpr int64_t kMostKept = 64;

  std::atomic<int64_t> left_;
  const int64_t kept_;
};

// What an FDID names. An implementation of a server derives from ControlFd, OpenFd and
// BoundSocketFd, one class each.
class FdObject {
 public:
  enum class Kind : uint8_t { kControl, kOpen, kBoundSocket };

  virtual ~FdObject() = default;
  FdObject(const FdObject&) = delete;
  FdObject& operator=(const FdObject&) = delete;

  Kind kind() const { return kind_; }

 protected:
  FdObject(Kind kind, FdBudget::Share share) : kind_(kind), share_(std::move(share)) {}

 private:
  const Kind kind_;
  FdBudget::Share share_;
};

// A file's position in the tree.
class ControlFd : public FdObject {
 public:
  static constexpr Kind kKind = Kind::kControl;

  Node& node() const { return *node_; }
  // Of st_mode, in S_IFMT. It never changes.
  uint32_t file_type() const { return file_type_; }
  bool is_directory() const { return file_type_ == S_IFDIR; }

 protected:
  ControlFd(FdBudget::Share share, NodeRef node, uint32_t file_type)
      : FdObject(kKind, std::move(share)), node_(std::move(node)), file_type_(file_type) {}

 private:
  const NodeRef node_;
  const uint32_t file_type_;
};

// An opened file. Keeps its control FD's object alive, not the client's FDID for it.
class OpenFd : public FdObject {
 public:
  static constexpr Kind kKind = Kind::kOpen;

  ControlFd& control() const { return *control_; }

 protected:
  OpenFd(FdBudget::Share share, std::shared_ptr<ControlFd> control)
      : FdObject(kKind, std::move(share)), control_(std::move(control)) {}

 private:
  const std::shared_ptr<ControlFd> control_;
};

// A socket that is bound to a file. Keeps the file's control FD's object alive.
class BoundSocketFd : public FdObject {
 public:
  static constexpr Kind kKind = Kind::kBoundSocket;

  ControlFd& control() const { return *control_; }

 protected:
  BoundSocketFd(FdBudget::Share share, std::shared_ptr<ControlFd> control)
      : FdObject(kKind, std::move(share)), control_(std::move(control)) {}

 private:
  const std::shared_ptr<ControlFd> control_;
};

// A connection's FDIDs: numbered from 1 upward, never reused. Whoever looks one up shares in the object until it is
// done, so that a Close in the meantime is harmless. Any thread may call any of these.
class FdTable {
 public:
  // `counters` may be null.
  explicit FdTable(MountCounters* counters) : counters_(counters) {}
  ~FdTable() { Clear(); }

  Fdid Insert(std::shared_ptr<FdObject> object);

  // EBADF for an FDID that is not open, EINVAL for one of another kind. T is the implementation's class for that kind.
  template <typename T>
  Result<std::shared_ptr<T>> Get(Fdid fd) const {
    std::shared_ptr<FdObject> object = Find(fd);
    if (object == nullptr) return Fail(EBADF);
    if (object->kind() != T::kKind) return Fail(EINVAL);
    return std::static_pointer_cast<T>(std::move(object));
  }
  // Of any kind; null if not open.
  std::shared_ptr<FdObject> Find(Fdid fd) const;

  // Nothing happens if it is not open.
  void Close(Fdid fd);
  void Clear();
  size_t size() const;

 private:
  void Count(const FdObject& object, int64_t change);

  MountCounters* const counters_;
  mutable std::mutex mutex_;
  Fdid last_ = kInvalidFdid;                                     // Guarded by mutex_,
  std::unordered_map<Fdid, std::shared_ptr<FdObject>> objects_;  // and so is this.
};

}  // namespace lisafs

#endif  // LISAFS_LISAFS_FD_TABLE_H_
