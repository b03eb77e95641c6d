#ifndef LISAFS_PLUGIN_NODE_H_
#define LISAFS_PLUGIN_NODE_H_

#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "lisafs/messages.h"
#include "plugin/directory_listing.h"

namespace lisafs {

class InodeTable;

// What makes two looks at the host one file. The host may give a deleted file's number to a new one at once; the type
// and, where the host says it, the time of birth tell them apart.
struct Identity {
  uint64_t ino;
  uint32_t dev_major, dev_minor;
  uint16_t type;  // S_IFMT's bits.
  int64_t birth_sec;
  uint32_t birth_nsec;

  static Identity Of(const Statx& stat);
  friend bool operator==(const Identity&, const Identity&) = default;
  struct Hash {
    size_t operator()(const Identity& identity) const;
  };
};

// A file that the kernel or an open handle knows: one per identity, however many names lead to it. Made and destroyed
// by InodeTable, which also guards everything private here with its lock.
class Node {
 public:
  Node(uint64_t id, const Statx& stat) : id_(id), identity_(Identity::Of(stat)) { Saw(stat); }
  ~Node() { delete listing_.load(std::memory_order_relaxed); }
  Node(const Node&) = delete;

  uint64_t id() const { return id_; }
  const Identity& identity() const { return identity_; }
  // The file has been looked at, and the kernel is told what was seen.
  void Saw(const Statx& stat) {
    mode_.store(stat.mode, std::memory_order_relaxed);
    size_.store(stat.size, std::memory_order_relaxed);
    content_.store(Content(stat.size, stat.mtime.sec, stat.mtime.nsec), std::memory_order_relaxed);
  }
  // Type and permissions when it was last looked at.
  uint16_t mode() const { return mode_.load(std::memory_order_relaxed); }
  // Its size then, or more if it has been written to since.
  uint64_t size() const { return size_.load(std::memory_order_relaxed); }
  void ReachesTo(uint64_t end) {
    if (size() < end) size_.store(end, std::memory_order_relaxed);
  }
  // Whether its size and the time of its last change are those that were last seen.
  bool ContentIs(uint64_t size, int64_t mtime_sec, int64_t mtime_nsec) const {
    return content_.load(std::memory_order_relaxed) == Content(size, mtime_sec, mtime_nsec);
  }
  bool is_directory() const { return S_ISDIR(identity_.type); }
  // What is listed of the directory. / A request that may have changed names in it is through.
  DirectoryListing& listing();
  void NamesChanged() {
    if (auto* listing = listing_.load(std::memory_order_acquire)) listing->Changed();
  }
  // How long a directory may be taken to have no default access control list, and another file no capabilities: what
  // the kernel or we ask for at each creation and change.
  // `until` is from before it was found to lack them, or 0 if it is new: if they were set since, it does not count.
  uint64_t lacks_xattr_until() const { return lacks_xattr_until_.load(std::memory_order_acquire); }
  void LacksXattrFor(uint64_t nanoseconds, uint64_t until) {
    lacks_xattr_until_.compare_exchange_strong(until, MonotonicNanoseconds() + nanoseconds, std::memory_order_acq_rel);
  }
  void XattrWasSet() { lacks_xattr_until_.store(MonotonicNanoseconds(), std::memory_order_release); }

  // Open files that the kernel passes through and that may be mapped for writing: what is written to the mapping
  // changes the file without the kernel doubting the attributes that it was told.
  void CountUnseenWriters(int change) { unseen_writers_.fetch_add(change, std::memory_order_relaxed); }
  bool has_unseen_writers() const { return unseen_writers_.load(std::memory_order_relaxed) != 0; }
  // A write of the container's has gone to the host's file by itself, and not through the server.
  void Wrote() { wrote_.store(MonotonicNanoseconds(), std::memory_order_relaxed); }
  bool WroteLately() const { return IsLately(wrote_.load(std::memory_order_relaxed)); }
  // Open files of the container's that can be written to: the host sees what is written come from nobody it knows.
  void CountWriters(int change) {
    writers_.fetch_add(change, std::memory_order_relaxed);
    if (change < 0) last_writer_left_.store(MonotonicNanoseconds(), std::memory_order_relaxed);
  }
  bool has_writers() const { return writers_.load(std::memory_order_relaxed) != 0; }
  bool IsWrittenHere() const { return has_writers() || IsLately(last_writer_left_.load(std::memory_order_relaxed)); }
  // Open files of the container's that are, or are about to be, executed.
  void CountExecutors(int change) { executors_.fetch_add(change); }
  bool IsExecuted() const { return executors_.load() != 0; }
  // Changes with the size and the time of the last change that were last seen.
  uint64_t content() const { return content_.load(std::memory_order_relaxed); }
  // What tells the inode that the kernel is to have of this from those that it has given up.
  uint64_t generation() const { return generation_.load(std::memory_order_relaxed); }
  void NextGeneration() { generation_.fetch_add(1, std::memory_order_relaxed); }
  // Watches'.
  std::atomic<uint32_t>& watch() { return watch_; }
  const std::atomic<uint32_t>& watch() const { return watch_; }
  // It was written past the pages that the kernel has cached of it.
  void SetCacheOutdated() { cache_outdated_.store(true, std::memory_order_relaxed); }
  bool TakeCacheOutdated() { return cache_outdated_.exchange(false, std::memory_order_relaxed); }

 private:
  friend class InodeTable;
  friend class NodeRef;

  // Where a node is found: a key of InodeTable's map of names. It holds a reference to the parent.
  struct Name {
    Node* parent;
    std::string name;
  };

  static bool IsLately(uint64_t time) {
    constexpr uint64_t kLately = 1'000'000'000;
    return time != 0 && MonotonicNanoseconds() - time < kLately;
  }
  // Both in one word that can be compared. Two that differ give the same once in 2^64 times.
  static uint64_t Content(uint64_t size, int64_t mtime_sec, int64_t mtime_nsec) {
    uint64_t mtime = static_cast<uint64_t>(mtime_sec) * 1'000'000'000 + static_cast<uint64_t>(mtime_nsec);
    return size * 0x9e3779b97f4a7c15 + mtime * 0xc2b2ae3d27d4eb4f;
  }

  const uint64_t id_;
  const Identity identity_;
  std::atomic<uint16_t> mode_;
  std::atomic<bool> cache_outdated_ = false;
  std::atomic<int32_t> unseen_writers_ = 0;
  std::atomic<uint32_t> watch_ = 0;
  std::atomic<int32_t> executors_ = 0;
  std::atomic<uint64_t> generation_ = 0;
  std::atomic<uint64_t> wrote_ = 0;
  std::atomic<int32_t> writers_ = 0;
  std::atomic<uint64_t> last_writer_left_ = 0;
  std::atomic<uint64_t> size_;
  std::atomic<uint64_t> content_;
  std::atomic<uint64_t> lacks_xattr_until_ = 0;
  std::atomic<DirectoryListing*> listing_ = nullptr;  // Made when it is first asked for.
  // NodeRefs, names that have this as parent, and one for all the kernel's lookups together. Falls to 0 only under the
  // table's lock.
  std::atomic<uint64_t> refs_ = 0;
  uint64_t lookups_ = 0;
  std::vector<const Name*> names_;  // The one learned last comes last.

  Fdid fd_ = kInvalidFdid;
  uint32_t pins_ = 0;
  uint32_t lasting_pins_ = 0;    // Of pins_, those that do not use the FD.
  bool wrong_position_ = false;  // fd_ is at a name that is gone while others live: to be given up when not in use.
  bool evictable_ = false;       // Which of the table's lists fd_place_ is in.
  std::list<Node*>::iterator fd_place_;
};

// Goes with a request that changes names in a directory, and tells the directory's listing when it is through, well or
// not.
class NamesChange {
 public:
  explicit NamesChange(Node& directory) : directory_(directory) {}
  ~NamesChange() { directory_.NamesChanged(); }
  NamesChange(const NamesChange&) = delete;

 private:
  Node& directory_;
};

// Keeps a node in existence.
class NodeRef {
 public:
  NodeRef() = default;
  NodeRef(NodeRef&& other) noexcept
      : table_(std::exchange(other.table_, nullptr)), node_(std::exchange(other.node_, nullptr)) {}
  NodeRef& operator=(NodeRef&& other) noexcept {
    std::swap(table_, other.table_);
    std::swap(node_, other.node_);
    return *this;
  }
  ~NodeRef();

  Node* operator->() const { return node_; }
  Node& operator*() const { return *node_; }
  Node* get() const { return node_; }
  explicit operator bool() const { return node_ != nullptr; }

 private:
  friend class InodeTable;
  NodeRef(InodeTable* table, Node* node);

  InodeTable* table_ = nullptr;
  Node* node_ = nullptr;
};

// Keeps a node and its control FD: the FD is not given up while this lives.
class Pinned {
 public:
  Pinned() = default;
  Pinned(Pinned&& other) noexcept
      : table_(other.table_), ref_(std::move(other.ref_)), fd_(other.fd_), lasting_(other.lasting_) {}
  Pinned& operator=(Pinned&& other) noexcept {
    std::swap(table_, other.table_);
    std::swap(fd_, other.fd_);
    std::swap(lasting_, other.lasting_);
    ref_ = std::move(other.ref_);
    return *this;
  }
  ~Pinned();
  // One that keeps the control FD for as long as a file is open, but does not use it: should the name go at which the
  // FD stands, while the file has others, the FD is given up all the same.
  Pinned Lasting() &&;

  explicit operator bool() const { return static_cast<bool>(ref_); }
  Node& node() const { return *ref_; }
  const NodeRef& ref() const { return ref_; }
  Fdid fd() const { return fd_; }

 private:
  friend class InodeTable;
  Pinned(InodeTable* table, NodeRef ref, Fdid fd) : table_(table), ref_(std::move(ref)), fd_(fd) {}

  InodeTable* table_ = nullptr;
  NodeRef ref_;
  Fdid fd_ = kInvalidFdid;
  bool lasting_ = false;
};

}  // namespace lisafs

#endif  // LISAFS_PLUGIN_NODE_H_
