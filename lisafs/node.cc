#include "lisafs/node.h"

#include <vector>

namespace lisafs {

NodeRef::~NodeRef() {
  if (node_ != nullptr) node_->tree_->Release(node_);
}

NodeRef NodeTree::MakeRoot() {
  std::lock_guard lock(mutex_);
  ++size_;
  Node* root = new Node(this, nullptr, "");
  root->references_ = 1;
  return NodeRef(root);
}

NodeRef NodeTree::Copy(const Node& node) {
  std::lock_guard lock(mutex_);
  Node* copy = const_cast<Node*>(&node);
  ++copy->references_;
  return NodeRef(copy);
}

NodeRef NodeTree::Child(Node& parent, std::string_view name) {
  std::lock_guard lock(mutex_);
  if (auto found = parent.children_.find(name); found != parent.children_.end()) {
    ++found->second->references_;
    return NodeRef(found->second);
  }
  Node* child = new Node(this, &parent, name);
  ++size_;
  ++parent.references_;
  child->references_ = 1;
  child->deleted_ = parent.deleted();
  if (!child->deleted()) Attach(child, parent, name);
  return NodeRef(child);
}

bool NodeTree::Has(const Node& parent, std::string_view name) const {
  std::lock_guard lock(mutex_);
  return parent.children_.contains(name);
}

void NodeTree::Remove(Node& parent, std::string_view name) {
  std::lock_guard lock(mutex_);
  if (Node* gone = Detach(parent, name)) MarkDeleted(gone);
}

void NodeTree::Move(Node& old_parent, std::string_view old_name, Node& new_parent, std::string_view new_name) {
  std::lock_guard lock(mutex_);
  Node* moved = Detach(old_parent, old_name);
  if (Node* replaced = Detach(new_parent, new_name)) MarkDeleted(replaced);
  if (moved != nullptr) Place(moved, new_parent, new_name);
}

void NodeTree::Exchange(Node& a_parent, std::string_view a_name, Node& b_parent, std::string_view b_name) {
  std::lock_guard lock(mutex_);
  Node* a = Detach(a_parent, a_name);
  Node* b = Detach(b_parent, b_name);
  if (a != nullptr) Place(a, b_parent, b_name);
  if (b != nullptr) Place(b, a_parent, a_name);
}

bool NodeTree::AppendPath(const Node& root, const Node& node, size_t limit, std::string& path) const {
  std::lock_guard lock(mutex_);
  size_t length = 0;
  for (const Node* at = &node; at != &root; at = at->parent_) {
    if (at == nullptr) return false;
    length += 1 + at->name_.size();
    if (length > limit) return false;
  }
  size_t end = path.size() + length;
  path.resize(end);
  for (const Node* at = &node; at != &root; at = at->parent_) {
    end -= at->name_.size();
    at->name_.copy(path.data() + end, at->name_.size());
    path[--end] = '/';
  }
  return true;
}

size_t NodeTree::size() const {
  std::lock_guard lock(mutex_);
  return size_;
}

void NodeTree::Release(Node* node) {
  std::lock_guard lock(mutex_);
  Unreference(node);
}

Node* NodeTree::Detach(Node& parent, std::string_view name) {
  auto found = parent.children_.find(name);
  if (found == parent.children_.end()) return nullptr;
  Node* node = found->second;
  parent.children_.erase(found);
  node->in_table_ = false;
  return node;
}

void NodeTree::Attach(Node* node, Node& parent, std::string_view name) {
  if (node->parent_ != &parent) {
    ++parent.references_;
    Unreference(std::exchange(node->parent_, &parent));
  }
  node->name_ = name;
  node->in_table_ = true;
  parent.children_.emplace(node->name_, node);
}

void NodeTree::Place(Node* node, Node& parent, std::string_view name) {
  for (Node* above = &parent; above != nullptr; above = above->parent_) {
    if (above != node) continue;
    // The host does not put a directory below itself, so it was something else that had the name by then, and where the
    // node's directory is now nobody knows.
    Unreference(std::exchange(node->parent_, nullptr));
    return;
  }
  Attach(node, parent, name);
}

// A loop, not a recursion: a client decides how deep the tree is.
void NodeTree::Unreference(Node* node) {
  while (node != nullptr && --node->references_ == 0) {
    // A deleted node has left the table already, and what stands there under its name is another.
    if (node->in_table_) node->parent_->children_.erase(node->name_);
    Node* parent = node->parent_;
    delete node;
    --size_;
    node = parent;
  }
}

void NodeTree::MarkDeleted(Node* node) {
  std::vector<Node*> left = {node};
  while (!left.empty()) {
    Node* deleted = left.back();
    left.pop_back();
    deleted->deleted_.store(true, std::memory_order_release);
    for (auto& [name, child] : deleted->children_) {
      child->in_table_ = false;
      left.push_back(child);
    }
    deleted->children_.clear();
  }
}

}  // namespace lisafs
