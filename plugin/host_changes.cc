#include "plugin/host_changes.h"

#include <errno.h>
#include <sys/socket.h>

#include <memory>
#include <utility>

namespace lisafs {

HostChanges::HostChanges(Fd socket, InodeTable& nodes, AbsentNames& absent, Watches& watches, FuseTransport& kernel)
    : socket_(std::move(socket)), nodes_(nodes), absent_(absent), watches_(watches), caches_(kernel), thread_([this] {
        Run();
      }) {}

HostChanges::~HostChanges() {
  shutdown(socket_.get(), SHUT_RDWR);
  thread_.join();
}

void HostChanges::Run() {
  auto buffer = std::make_unique_for_overwrite<std::byte[]>(kMaxHostChangesSize);
  while (true) {
    iovec part = {.iov_base = buffer.get(), .iov_len = kMaxHostChangesSize};
    msghdr message = {};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    ssize_t size = recvmsg(socket_.get(), &message, 0);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    Apply(std::span<const std::byte>(buffer.get(), static_cast<size_t>(size)));
  }
  watches_.End();
}

void HostChanges::Apply(std::span<const std::byte> datagram) {
  watches_.Changed();
  Reader reader(datagram);
  for (size_t read = 0; read < datagram.size();) {
    HostChange change;
    std::apply([&](auto&... field) { (reader.Read(field), ...); }, change.Tie());
    if (!reader.ok()) return;
    read += sizeof change.id + sizeof change.what + sizeof(uint16_t) + change.name.size();
    Apply(change);
  }
}

void HostChanges::Apply(const HostChange& change) {
  if (change.what & HostChange::kLost) return ForgetEverything(change.what & HostChange::kUnwatched);
  auto watched = nodes_.Find(change.id);
  if (!watched) return;
  constexpr uint16_t kOfNames =
      HostChange::kCreated | HostChange::kDeleted | HostChange::kMovedFrom | HostChange::kMovedTo;
  if (change.name.empty()) return ForgetFile(**watched, change.what);
  NodeRef child = nodes_.FindChild(**watched, change.name);
  if (change.what & kOfNames) {
    (*watched)->NamesChanged();
    caches_.ForgetContent(change.id);
    caches_.ForgetName(change.id, change.name);
    // It has a link less, or more.
    if (child) caches_.ForgetAttributes(child->id());
  }
  if (child) ForgetFile(*child, change.what);
}

void HostChanges::ForgetFile(const Node& node, uint16_t what) {
  if (!(what & (HostChange::kModified | HostChange::kAttributes))) return;
  // What the container writes itself through a descriptor of the host's comes back as a change, and the kernel's pages
  // are right. If somebody else writes at the same time they go when the kernel sees another time of change.
  if ((what & HostChange::kModified) && !node.WroteLately()) {
    caches_.ForgetContent(node.id());
  } else {
    caches_.ForgetAttributes(node.id());
  }
}

void HostChanges::ForgetEverything(bool unwatched) {
  if (unwatched) watches_.Lose();
  caches_.ForgetAllNames(nodes_, absent_);
  nodes_.ForEachNode([&](Node& node) {
    node.NamesChanged();
    if (node.WroteLately()) {
      caches_.ForgetAttributes(node.id());
    } else {
      caches_.ForgetContent(node.id());
    }
  });
}

}  // namespace lisafs
