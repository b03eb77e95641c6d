#include "plugin/inode_table.h"

#include <algorithm>
#include <functional>
#include <memory>

namespace lisafs {
namespace {

// Enough for the paths that are walked at the same time.
constexpr size_t kLeastBudget = 64;

}  // namespace

Identity Identity::Of(const Statx& stat) {
  // An overlay gives a file another time of birth when it copies it up to be changed. It is known by a device that has
  // no driver, as are the file systems that count their numbers up and use none twice.
  bool born = (stat.mask & STATX_BTIME) && stat.dev_major != 0;
  return {.ino = stat.ino,
          .dev_major = stat.dev_major,
          .dev_minor = stat.dev_minor,
          .type = static_cast<uint16_t>(stat.mode & S_IFMT),
          .birth_sec = born ? stat.btime.sec : 0,
          .birth_nsec = born ? stat.btime.nsec : 0};
}

DirectoryListing& Node::listing() {
  DirectoryListing* listing = listing_.load(std::memory_order_acquire);
  if (listing != nullptr) return *listing;
  auto made = std::make_unique<DirectoryListing>();
  if (!listing_.compare_exchange_strong(listing, made.get(), std::memory_order_acq_rel)) return *listing;
  return *made.release();
}

size_t Identity::Hash::operator()(const Identity& identity) const {
  // Inode numbers alone spread well enough; files of one number on several devices are few.
  return std::hash<uint64_t>()(identity.ino) * 31 + identity.dev_minor;
}

size_t InodeTable::NameHash::operator()(const NameView& name) const {
  return std::hash<std::string_view>()(name.name) * 31 + std::hash<const Node*>()(name.parent);
}

NodeRef::NodeRef(InodeTable* table, Node* node) : table_(table), node_(node) {
  node->refs_.fetch_add(1, std::memory_order_relaxed);
}

NodeRef::~NodeRef() {
  if (node_ != nullptr) table_->Unref(node_);
}

Pinned::~Pinned() {
  if (ref_) table_->Unpin(*ref_, lasting_);
}

Pinned Pinned::Lasting() && {
  if (ref_ && !std::exchange(lasting_, true)) table_->MakeLasting(*ref_);
  return std::move(*this);
}

InodeTable::Locked::~Locked() {
  lock_.unlock();
  for (Fdid fd : closing_) table_.client_.CloseLater(fd);
  if (flush_) table_.client_.FlushClosed();
}

InodeTable::InodeTable(Client& client, size_t control_fd_budget)
    : client_(client), budget_(std::max<size_t>(control_fd_budget, 1)) {
  const Inode& root = client.root();
  uint64_t id = nodes_.Add(nullptr);
  root_ = new Node(id, root.stat);
  *nodes_.Find(id) = root_;
  by_identity_[root_->identity()] = root_;
  root_->refs_ = 1;  // For good.
  root_->fd_ = root.control_fd;
  root_->fd_place_ = held_.insert(held_.begin(), root_);
}

InodeTable::~InodeTable() {
  for (auto& [identity, node] : by_identity_) delete node;
}

Result<NodeRef> InodeTable::Find(uint64_t id) {
  Locked lock(*this);
  Node** node = nodes_.Find(id);
  if (node == nullptr) return Fail(ESTALE);
  return NodeRef(this, *node);
}

NodeRef InodeTable::FindChild(const Node& parent, std::string_view name) {
  Locked lock(*this);
  Node* child = Named(parent, name);
  return child == nullptr ? NodeRef() : NodeRef(this, child);
}

bool InodeTable::IsChild(const Node& parent, std::string_view name, const Node& node) {
  Locked lock(*this);
  return Named(parent, name) == &node;
}

Identity InodeTable::ParentIdentity(const Node& node) {
  Locked lock(*this);
  return node.names_.empty() ? node.identity() : node.names_.back()->parent->identity();
}

std::optional<std::string> InodeTable::PathOf(const Node& node, size_t max_size) {
  Locked lock(*this);
  std::vector<const std::string*> names;
  size_t size = 0;
  for (const Node* at = &node; !IsRoot(*at); at = at->names_.back()->parent) {
    if (at->names_.empty()) return std::nullopt;
    names.push_back(&at->names_.back()->name);
    size += names.back()->size() + 1;
    if (size > max_size + 1) return std::nullopt;
  }
  std::string path;
  path.reserve(size);
  for (auto name = names.rbegin(); name != names.rend(); ++name) {
    if (!path.empty()) path += '/';
    path += **name;
  }
  return path;
}

NodeRef InodeTable::ParentOf(const Node& node) {
  Locked lock(*this);
  return node.names_.empty() ? NodeRef() : NodeRef(this, node.names_.back()->parent);
}

Result<InodeTable::Place> InodeTable::Reach(uint64_t id) {
  Locked lock(*this);
  Node** found = nodes_.Find(id);
  if (found == nullptr) return Fail(ESTALE);
  Node& node = **found;
  Place place{.node = NodeRef(this, &node)};
  if (node.fd_ == kInvalidFdid && !node.names_.empty()) {
    const Node::Name& name = *node.names_.back();
    if (name.parent->fd_ != kInvalidFdid) {
      place.parent = PinHere(lock, *name.parent);
      place.name = name.name;
    }
  }
  return place;
}

// Counts a lookup of the node, which is made if it is not known.
Node& InodeTable::LookedUp(const Statx& stat) {
  Identity identity = Identity::Of(stat);
  Node* node;
  if (auto known = by_identity_.find(identity); known != by_identity_.end()) {
    node = known->second;
    node->Saw(stat);
  } else {
    uint64_t id = nodes_.Add(nullptr);
    node = new Node(id, stat);
    *nodes_.Find(id) = node;
    by_identity_.emplace(identity, node);
  }
  if (node->lookups_++ == 0) node->refs_.fetch_add(1, std::memory_order_relaxed);
  return *node;
}

uint64_t InodeTable::Intern(Node& parent, std::string_view name, const Statx& stat, Fdid fd) {
  Locked lock(*this);
  Node& node = LookedUp(stat);
  SetName(lock, parent, name, node);
  if (fd != kInvalidFdid) Adopt(lock, node, fd);
  Settle(lock, node);
  return node.id();
}

uint64_t InodeTable::InternUnnamed(const Statx& stat, Fdid fd) {
  Locked lock(*this);
  Node& node = LookedUp(stat);
  Adopt(lock, node, fd);
  Settle(lock, node);
  return node.id();
}

void InodeTable::CountLookup(Node& node) {
  Locked lock(*this);
  if (node.lookups_++ == 0) node.refs_.fetch_add(1, std::memory_order_relaxed);
}

bool InodeTable::Forget(uint64_t id, uint64_t count) {
  Locked lock(*this);
  Node** found = nodes_.Find(id);
  if (found == nullptr || (*found)->lookups_ == 0) return true;
  Node* node = *found;
  node->lookups_ -= std::min(count, node->lookups_);
  if (node->lookups_ > 0) return false;
  UnrefHere(lock, node);
  return true;
}

void InodeTable::Unlinked(const Node& parent, std::string_view name) {
  Locked lock(*this);
  Delete(lock, parent, name);
}

void InodeTable::Renamed(const Node& old_parent, std::string_view old_name, Node& new_parent,
                         std::string_view new_name) {
  Locked lock(*this);
  Node* moved = Named(old_parent, old_name);
  if (moved != nullptr && moved == Named(new_parent, new_name)) return;
  Delete(lock, new_parent, new_name);
  if (moved == nullptr) return;
  NodeRef keep(this, moved);
  EraseName(lock, names_.find(NameView{&old_parent, old_name}));
  // The server moves its control FDs along, so this one stays right, and its position is not the deleted one.
  bool wrong_position = moved->wrong_position_;
  SetName(lock, new_parent, new_name, *moved);
  moved->wrong_position_ = wrong_position;
  Settle(lock, *moved);
}

void InodeTable::Exchanged(Node& parent, std::string_view name, Node& other_parent, std::string_view other_name) {
  Locked lock(*this);
  Node* one = Named(parent, name);
  Node* other = Named(other_parent, other_name);
  if (one == other) return;
  NodeRef keep_one = one == nullptr ? NodeRef() : NodeRef(this, one);
  NodeRef keep_other = other == nullptr ? NodeRef() : NodeRef(this, other);
  bool one_wrong = one != nullptr && one->wrong_position_;
  bool other_wrong = other != nullptr && other->wrong_position_;
  if (one != nullptr) EraseName(lock, names_.find(NameView{&parent, name}));
  if (other != nullptr) EraseName(lock, names_.find(NameView{&other_parent, other_name}));
  if (one != nullptr) {
    SetName(lock, other_parent, other_name, *one);
    one->wrong_position_ = one_wrong;
    Settle(lock, *one);
  }
  if (other != nullptr) {
    SetName(lock, parent, name, *other);
    other->wrong_position_ = other_wrong;
    Settle(lock, *other);
  }
}

void InodeTable::MovedByOthers(const Node& old_parent, std::string_view old_name, Node& new_parent,
                               std::string_view new_name, const NodeRef& moved) {
  Locked lock(*this);
  if (Named(old_parent, old_name) == moved.get()) EraseName(lock, names_.find(NameView{&old_parent, old_name}));
  SetName(lock, new_parent, new_name, *moved);
  Settle(lock, *moved);
}

bool InodeTable::ReduceBudget() {
  Locked lock(*this);
  if (evictable_.empty()) return false;
  budget_ = std::min(budget_, std::max(kLeastBudget, (evictable_.size() + held_.size()) / 2));
  const size_t before = evictable_.size();
  KeepBudget(lock);
  lock.Flush();
  return evictable_.size() < before;
}

std::vector<NodeRef> InodeTable::Nodes() {
  Locked lock(*this);
  std::vector<NodeRef> nodes;
  nodes.reserve(by_identity_.size());
  for (auto& [identity, node] : by_identity_) nodes.push_back(NodeRef(this, node));
  return nodes;
}

std::vector<std::pair<uint64_t, std::string>> InodeTable::Names() {
  Locked lock(*this);
  std::vector<std::pair<uint64_t, std::string>> names;
  names.reserve(names_.size());
  for (const auto& [name, node] : names_) names.emplace_back(name.parent->id(), name.name);
  return names;
}

size_t InodeTable::node_count() {
  Locked lock(*this);
  return nodes_.size();
}

size_t InodeTable::control_fd_count() {
  Locked lock(*this);
  return evictable_.size() + held_.size();
}

void InodeTable::Unref(Node* node) {
  // The last reference falls under the lock, so that nobody finds a node that is about to go.
  uint64_t refs = node->refs_.load(std::memory_order_relaxed);
  while (refs > 1) {
    if (node->refs_.compare_exchange_weak(refs, refs - 1, std::memory_order_acq_rel)) return;
  }
  Locked lock(*this);
  UnrefHere(lock, node);
}

void InodeTable::UnrefHere(Locked& lock, Node* node) {
  if (node->refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) Destroy(lock, node);
}

// A loop and not a recursion: the chain of parents may be as long as a container can make it.
void InodeTable::Destroy(Locked& lock, Node* node) {
  std::vector<Node*> dying = {node};
  while (!dying.empty()) {
    node = dying.back();
    dying.pop_back();
    // A deleted file's space is free only when the last descriptor is closed.
    if (node->fd_ != kInvalidFdid && node->names_.empty() && S_ISREG(node->identity().type)) lock.Flush();
    GiveUpFd(lock, *node);
    for (const Node::Name* name : node->names_) {
      Node* parent = name->parent;
      names_.erase(names_.find(*name));
      if (parent->refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) dying.push_back(parent);
    }
    by_identity_.erase(node->identity());
    nodes_.Remove(node->id());
    delete node;
  }
}

Node* InodeTable::Named(const Node& parent, std::string_view name) {
  auto found = names_.find(NameView{&parent, name});
  return found == names_.end() ? nullptr : found->second;
}

void InodeTable::SetName(Locked& lock, Node& parent, std::string_view name, Node& node) {
  auto old = names_.find(NameView{&parent, name});
  if (old != names_.end() && old->second == &node) return;
  // The host may show a directory within itself (bind mounts), or have moved things around unseen: what would make our
  // parents a circle is not learned.
  if (node.is_directory() && IsWithin(parent, node)) return;
  if (old != names_.end()) {
    Node& replaced = *old->second;
    NodeRef keep(this, &replaced);
    EraseName(lock, old);
    Settle(lock, replaced);
  }
  // A directory has one name: that it has another now means that the host moved it.
  if (node.is_directory()) {
    while (!node.names_.empty()) EraseName(lock, names_.find(*node.names_.back()));
  } else if (node.names_.empty() && node.fd_ != kInvalidFdid) {
    // Deleted under the name that its FD was walked to, and alive under this one.
    node.wrong_position_ = true;
  }
  auto added = names_.emplace(Node::Name{&parent, std::string(name)}, &node).first;
  node.names_.push_back(&added->first);
  parent.refs_.fetch_add(1, std::memory_order_relaxed);
}

void InodeTable::EraseName(Locked& lock, NameMap::iterator name) {
  Node* parent = name->first.parent;
  std::erase(name->second->names_, &name->first);
  names_.erase(name);
  UnrefHere(lock, parent);
}

// A name was removed on the server, and what it led to with it unless that has another name.
void InodeTable::Delete(Locked& lock, const Node& parent, std::string_view name) {
  auto found = names_.find(NameView{&parent, name});
  if (found == names_.end()) return;
  Node& node = *found->second;
  NodeRef keep(this, &node);
  EraseName(lock, found);
  if (!node.names_.empty()) node.wrong_position_ = node.fd_ != kInvalidFdid;
  Settle(lock, node);
}

bool InodeTable::IsWithin(const Node& node, const Node& directory) const {
  for (const Node* at = &node;; at = at->names_.back()->parent) {
    if (at == &directory) return true;
    if (at->names_.empty()) return false;
  }
}

}  // namespace lisafs
