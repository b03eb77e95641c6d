#ifndef LISAFS_LISAFS_NODE_H_
#define LISAFS_LISAFS_NODE_H_

#include <atomic>
#include <cstddef>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

// The node tree: one node for each position in the served trees that some control FD names, shared by all control FDs
// there. A node says whether its position has been deleted through this server, and carries the lock that orders what
// is done in its directory.
//
// A server that resolves paths needs locks that keep every ancestor of a file in place while it works. This one acts on
// descriptors, one component at a time, so only two things have to be kept in step: the names in a directory on the
// host, and the nodes that stand for them. Hence:
//
//   op lock (one a node)   held shared from opening a name in the directory until its node is found or made; held
//                          exclusively while names in the directory are made, removed or renamed. Only a rename holds
//                          two: it takes both at once without waiting on one while it holds the other (std::lock).
//   tree lock (one a tree) inside the class, for the time of a table look-up.
//
// What is done by descriptor alone (reading, writing, attributes, opening) takes no lock, so that a slow file holds
// nobody up. No lock is ever held while a client is waited for.

namespace lisafs {

class NodeTree;

class Node {
 public:
  std::shared_mutex& op_lock() { return op_lock_; }
  // True from the moment the position was removed or replaced through this server, for good. What other processes on
  // the host delete is not noticed.
  bool deleted() const { return deleted_.load(std::memory_order_acquire); }

 private:
  friend class NodeTree;
  friend class NodeRef;
  Node(NodeTree* tree, Node* parent, std::string_view name) : tree_(tree), parent_(parent), name_(name) {}

  std::shared_mutex op_lock_;
  std::atomic<bool> deleted_ = false;

  // Guarded by the tree's lock.
  NodeTree* const tree_;
  Node* parent_;  // Referenced; null for a root, and for one that other processes took away from where it was.
  std::string name_;
  size_t references_ = 0;
  bool in_table_ = false;                                 // Whether the parent's table has this very node.
  std::unordered_map<std::string_view, Node*> children_;  // Keys are the children's names.
};

// Owns a reference to a node.
class NodeRef {
 public:
  NodeRef() = default;
  NodeRef(NodeRef&& other) noexcept : node_(std::exchange(other.node_, nullptr)) {}
  NodeRef& operator=(NodeRef&& other) noexcept {
    std::swap(node_, other.node_);
    return *this;
  }
  ~NodeRef();

  Node* get() const { return node_; }
  Node& operator*() const { return *node_; }
  Node* operator->() const { return node_; }

 private:
  friend class NodeTree;
  explicit NodeRef(Node* node) : node_(node) {}
  Node* node_ = nullptr;
};

// Any thread may call any of these. The tree outlives its nodes.
class NodeTree {
 public:
  NodeTree() = default;
  NodeTree(const NodeTree&) = delete;
  NodeTree& operator=(const NodeTree&) = delete;

  // A new root: a mounted tree's, or a file's that has no name. Trees of different mounts are strangers to each other,
  // also where they overlap.
  NodeRef MakeRoot();
  // Another reference.
  NodeRef Copy(const Node& node);
  // The node of `name` in `parent`, found or made. The caller holds parent's op lock and has held it since it looked
  // the name up on the host. Below a deleted directory nodes are born deleted.
  NodeRef Child(Node& parent, std::string_view name);

  // Whether there is one already. The caller holds parent's op lock.
  bool Has(const Node& parent, std::string_view name) const;

  // The host's file `name` in `parent` is gone: its node, if there is one, leaves the tree with all that is below it,
  // deleted. The caller holds parent's op lock exclusively and has held it since before the file went; so for Move and
  // Exchange, with both parents'.
  void Remove(Node& parent, std::string_view name);
  // What was there as `new_name` has been replaced.
  void Move(Node& old_parent, std::string_view old_name, Node& new_parent, std::string_view new_name);
  void Exchange(Node& a_parent, std::string_view a_name, Node& b_parent, std::string_view b_name);

  // Appends the path of `node` from `root` on, "/etc/passwd", or nothing for `root` itself: as it is, or was before it
  // was deleted. False if it is not below `root` as far as is known, or the path would be longer than `limit`.
  bool AppendPath(const Node& root, const Node& node, size_t limit, std::string& path) const;

  // Nodes alive; for tests.
  size_t size() const;

 private:
  friend class NodeRef;
  void Release(Node* node);
  // These hold mutex_.
  Node* Detach(Node& parent, std::string_view name);
  void Attach(Node* node, Node& parent, std::string_view name);
  // Attaches a node that was renamed, unless that would put it below itself.
  void Place(Node* node, Node& parent, std::string_view name);
  void Unreference(Node* node);
  static void MarkDeleted(Node* node);

  mutable std::mutex mutex_;
  size_t size_ = 0;
};

}  // namespace lisafs

#endif  // LISAFS_LISAFS_NODE_H_
