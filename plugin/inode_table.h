#ifndef LISAFS_PLUGIN_INODE_TABLE_H_
#define LISAFS_PLUGIN_INODE_TABLE_H_

#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "lisafs/client.h"
#include "lisafs/messages.h"
#include "plugin/node.h"
#include "plugin/slot_table.h"

namespace lisafs {

// The files of one mount that the kernel knows, and how they are reached on the server.
//
// A node is known by its number (the kernel's nodeid) and by its names. Control FDs are a budget, not a property: most
// nodes have none, and one is walked for when an operation needs it. Those not in use are given up, least recently used
// first, when there are more than the budget; whoever needs one again walks from the parent, and checks that what it
// finds there is the same file. A file without a name (deleted, but still open or somebody's working directory) cannot
// be found again, so it keeps its FD until the kernel forgets it; the root keeps its own as well.
//
// Any thread may call anything. One lock guards everything and is never held while waiting for the server. A second,
// `moves_`, comes before it: walks hold it shared, a rename alone, so that no walk meets a name half-way.
class InodeTable {
 public:
  // A mount's share of the control FDs that its gofer may hold, until the gofer says that it is too much.
  static constexpr size_t kControlFdBudget = 2048;

  // `client` must outlive the table. Its root becomes node 1.
  explicit InodeTable(Client& client, size_t control_fd_budget = kControlFdBudget);
  ~InodeTable();
  InodeTable(const InodeTable&) = delete;
  InodeTable& operator=(const InodeTable&) = delete;

  // The node of a number. ESTALE if there is none.
  Result<NodeRef> Find(uint64_t id);
  // Another reference to a node.
  NodeRef Ref(Node& node) { return NodeRef(this, &node); }
  // The node that `name` in `parent` was last seen to be, if any.
  NodeRef FindChild(const Node& parent, std::string_view name);
  // Whether it was last seen to be `node`.
  bool IsChild(const Node& parent, std::string_view name, const Node& node);
  // The host's number of the directory that `node` was last found in; its own for the root.
  Identity ParentIdentity(const Node& node);

  // Its path from the root, which has an empty one. Nothing if it has no name, or a path of more than `max_size` bytes.
  std::optional<std::string> PathOf(const Node& node, size_t max_size);
  // The directory that it was last found in; none if it has no name.
  NodeRef ParentOf(const Node& node);

  // Counts one of the kernel's lookups of the file that `stat` describes and `name` in `parent` leads to; makes a node
  // if it is not known. `fd`, if given, is a control FD for it, which the table now owns. Gives the node's number.
  uint64_t Intern(Node& parent, std::string_view name, const Statx& stat, Fdid fd = kInvalidFdid);
  // The same of a file that has no name yet.
  uint64_t InternUnnamed(const Statx& stat, Fdid fd);
  // Counts another one of a node that is known.
  void CountLookup(Node& node);
  // Takes back `count` of the kernel's lookups. Whether it knows the node no more.
  bool Forget(uint64_t id, uint64_t count);

  // A node, and the way to it for who only wants to look at it: if it has no control FD but its parent has, the parent
  // and the name in it, which may lead elsewhere by now. Otherwise `parent` is empty.
  struct Place {
    NodeRef node;
    Pinned parent;
    std::string name;
  };
  Result<Place> Reach(uint64_t id);

  // A control FD for the node: at once if it has one, otherwise by walking. ESTALE if it cannot be found any more.
  Result<Pinned> Pin(uint64_t id);
  Result<Pinned> Pin(const NodeRef& node);

  // To be held by a rename, from before its request until the table has been told. Pin what it needs before: a Pin with
  // this held may wait for itself.
  std::unique_lock<std::shared_mutex> LockForRename() { return std::unique_lock(moves_); }

  // Tell the table what was done on the server.
  void Unlinked(const Node& parent, std::string_view name);
  void Renamed(const Node& old_parent, std::string_view old_name, Node& new_parent, std::string_view new_name);
  void Exchanged(Node& parent, std::string_view name, Node& other_parent, std::string_view other_name);

  // The same of what others have done, and the server need not know.
  void MovedByOthers(const Node& old_parent, std::string_view old_name, Node& new_parent, std::string_view new_name,
                     const NodeRef& moved);

  // The server has no descriptors left: keeps to half of the control FDs that there are from now on, and gives the rest
  // back before this returns. False if there is nothing to give.
  bool ReduceBudget();
  // Calls `visit` with every node; with every name, by its directory's number. What comes or goes meanwhile may be left
  // out. Without the lock: `visit` may wait.
  template <typename F>
  void ForEachNode(F&& visit) {
    for (const NodeRef& node : Nodes()) visit(*node);
  }
  template <typename F>
  void ForEachName(F&& visit) {
    for (const auto& [directory, name] : Names()) visit(directory, name);
  }

  size_t node_count();
  size_t control_fd_count();

 private:
  friend class NodeRef;
  friend class Pinned;

  struct NameView {
    const Node* parent;
    std::string_view name;
  };
  struct NameHash {
    using is_transparent = void;
    size_t operator()(const Node::Name& name) const { return (*this)(NameView{name.parent, name.name}); }
    size_t operator()(const NameView& name) const;
  };
  struct NameEqual {
    using is_transparent = void;
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return a.parent == b.parent && a.name == b.name;
    }
  };

  using NameMap = std::unordered_map<Node::Name, Node*, NameHash, NameEqual>;

  // Holds the lock. FDs that turn out to be superfluous are given back after it is released, since that may wait for
  // the server.
  class Locked {
   public:
    explicit Locked(InodeTable& table) : table_(table), lock_(table.mutex_) {}
    ~Locked();
    void Close(Fdid fd) { closing_.push_back(fd); }
    // Have the server close at once: a file's space, or descriptors, are waited for.
    void Flush() { flush_ = true; }

   private:
    InodeTable& table_;
    std::unique_lock<std::mutex> lock_;
    std::vector<Fdid> closing_;
    bool flush_ = false;
  };

  // The way to a node from its nearest ancestor with a control FD.
  struct Path {
    Pinned start;
    std::vector<NodeRef> nodes;
    std::vector<std::string> names;
  };

  std::vector<NodeRef> Nodes();
  std::vector<std::pair<uint64_t, std::string>> Names();
  bool IsRoot(const Node& node) const { return &node == root_; }
  void Unref(Node* node);
  void Unpin(Node& node, bool lasting);
  void MakeLasting(Node& node);

  // With the lock held.
  void UnrefHere(Locked& lock, Node* node);
  void Destroy(Locked& lock, Node* node);
  Node& LookedUp(const Statx& stat);
  Pinned PinHere(Locked& lock, Node& node);
  void Adopt(Locked& lock, Node& node, Fdid fd);
  void GiveUpFd(Locked& lock, Node& node);
  void Settle(Locked& lock, Node& node);
  void KeepBudget(Locked& lock);
  Node* Named(const Node& parent, std::string_view name);
  void SetName(Locked& lock, Node& parent, std::string_view name, Node& node);
  void EraseName(Locked& lock, NameMap::iterator name);
  void Delete(Locked& lock, const Node& parent, std::string_view name);
  bool IsWithin(const Node& node, const Node& directory) const;

  Result<Pinned> PinByWalking(const NodeRef& node);
  std::optional<Path> FindPath(Locked& lock, Node& node);
  Result<Pinned> WalkPath(Path& path);
  void DropStaleName(Node& node, std::string_view name);

  Client& client_;
  std::shared_mutex moves_;
  std::mutex mutex_;
  Node* root_;
  SlotTable<Node*> nodes_;
  std::unordered_map<Identity, Node*, Identity::Hash> by_identity_;
  NameMap names_;
  // Every node with a control FD is in one of these. The most recently used are in front.
  std::list<Node*> evictable_;
  std::list<Node*> held_;
  size_t budget_;  // Guarded by mutex_ too.
};

}  // namespace lisafs

#endif  // LISAFS_PLUGIN_INODE_TABLE_H_
