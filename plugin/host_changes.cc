#include "plugin/host_changes.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include <iterator>
#include <memory>
#include <utility>

namespace lisafs {

namespace {

constexpr uint16_t kOfNames =
    HostChange::kCreated | HostChange::kDeleted | HostChange::kMovedFrom | HostChange::kMovedTo;

}  // namespace

HostChanges::HostChanges(Fd socket, InodeTable& nodes, AbsentNames& absent, Watches& watches, WakerLink& waker,
                         FuseTransport& kernel)
    : socket_(std::move(socket)),
      nodes_(nodes),
      absent_(absent),
      watches_(watches),
      waker_(waker),
      caches_(kernel),
      thread_([this] { Run(); }) {}

HostChanges::~HostChanges() {
  shutdown(socket_.get(), SHUT_RDWR);
  thread_.join();
}

void HostChanges::Run() {
  waker_.Begin();
  auto buffer = std::make_unique_for_overwrite<std::byte[]>(kMaxHostChangesSize);
  while (true) {
    pollfd waiting[] = {{.fd = socket_.get(), .events = POLLIN, .revents = 0},
                        {.fd = waker_.fd(), .events = POLLIN, .revents = 0}};
    if (poll(waiting, std::size(waiting), -1) < 0) continue;
    if (waiting[1].revents != 0) waker_.OnReadable(caches_);
    if (waiting[0].revents == 0) continue;
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
  waker_.End();
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
  if (change.what & HostChange::kLost) {
    moved_.reset();
    return ForgetEverything(change.what & HostChange::kUnwatched);
  }
  auto watched = nodes_.Find(change.id);
  if (!watched) return;
  if (change.name.empty()) {
    ForgetFile(**watched, change.what);
  } else {
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
  if (waker_.connected()) Show(*std::move(watched), change);
}

// What happened to one name may come in one change: then it says no order, and the likely one is shown.
void HostChanges::Show(NodeRef directory, const HostChange& change) {
  auto file = [&] { return change.name.empty() ? nodes_.Ref(*directory) : nodes_.FindChild(*directory, change.name); };
  auto show = [&](WakeAction action) {
    waker_.Show({.action = action,
                 .is_directory = (change.what & HostChange::kIsDirectory) != 0,
                 .directory = nodes_.Ref(*directory),
                 .name = std::string(change.name),
                 .file = file()});
  };
  if (moved_ && !(change.what & HostChange::kMovedTo)) ShowMoveAway();
  const bool was_known = static_cast<bool>(file());
  if ((change.what & HostChange::kDeleted) && was_known) show(WakeAction::kDelete);
  if (change.what & HostChange::kCreated) show(WakeAction::kCreate);
  if (change.what & (HostChange::kMovedFrom | HostChange::kMovedTo)) ShowMove(nodes_.Ref(*directory), change);

  // A directory's attributes are told as those of a name, too. What the container writes to the host's file by itself
  // may be told as if somebody else had written it, and whoever watches knows already.
  NodeRef parent = change.name.empty() ? nodes_.ParentOf(*directory) : NodeRef();
  NodeRef changed = file();
  const bool may_be_own = !(change.what & HostChange::kByOthers) && changed && changed->IsWrittenHere();
  if (!(parent && watches_.Watched(*parent)) && !may_be_own) {
    if (change.what & HostChange::kModified) show(WakeAction::kModify);
    if (change.what & HostChange::kAttributes) show(WakeAction::kAttributes);
    if (change.what & HostChange::kClosed) show(WakeAction::kCloseWrite);
  }
  if ((change.what & HostChange::kDeleted) && !was_known) show(WakeAction::kDelete);
}

void HostChanges::ShowMove(NodeRef directory, const HostChange& change) {
  if (change.what & HostChange::kMovedFrom) {
    NodeRef file = nodes_.FindChild(*directory, change.name);
    moved_ = Wake{.action = WakeAction::kMove,
                  .is_directory = (change.what & HostChange::kIsDirectory) != 0,
                  .old_directory = std::move(directory),
                  .old_name = std::string(change.name),
                  .file = std::move(file)};
    if (!(change.what & HostChange::kPaired)) ShowMoveAway();
    return;
  }
  Wake move{.action = WakeAction::kMove, .is_directory = (change.what & HostChange::kIsDirectory) != 0};
  if (moved_) move = *std::exchange(moved_, std::nullopt);
  move.replaced = nodes_.FindChild(*directory, change.name);
  move.directory = std::move(directory);
  move.name = change.name;
  waker_.Show(std::move(move));
}

void HostChanges::ShowMoveAway() { waker_.Show(*std::exchange(moved_, std::nullopt)); }

void HostChanges::ForgetFile(Node& node, uint16_t what) {
  if (!(what & (HostChange::kModified | HostChange::kAttributes))) return;
  if (what & HostChange::kAttributes) node.XattrWasSet();
  // What the container writes itself through a descriptor of the host's may come back as a change, and the kernel's
  // pages are right. If somebody else writes at the same time they go when the kernel sees another time of change.
  if ((what & HostChange::kModified) && ((what & HostChange::kByOthers) || !node.WroteLately())) {
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
