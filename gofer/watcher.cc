#include "gofer/watcher.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <sys/fanotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "lisafs/host_changes.h"

namespace lisafs {
namespace {

// Events that come within this time are read, and told, together: a busy host costs so many wake-ups a second and no
// more. An event that comes after a pause is told at once.
constexpr std::chrono::milliseconds kGather(10);
// How soon a client that did not read is tried again.
constexpr int kRetryMilliseconds = 50;
// Buffers of events that are read before what they say is sent.
constexpr int kMaxReads = 64;

// File systems that nothing changes but the kernel that is asked: on others changes come from elsewhere without an
// event.
constexpr uint32_t kXfs = 0x58465342, kF2fs = 0xf2f52010, kExfat = 0x2011bab0, kNtfs3 = 0x7366746e, kZfs = 0x2fc12fc1,
                   kBcachefs = 0xca451a4e, kErofs = 0xe0f5e1e2;
constexpr uint32_t kLocalFileSystems[] = {EXT4_SUPER_MAGIC,
                                          BTRFS_SUPER_MAGIC,
                                          TMPFS_MAGIC,
                                          OVERLAYFS_SUPER_MAGIC,
                                          RAMFS_MAGIC,
                                          SQUASHFS_MAGIC,
                                          ISOFS_SUPER_MAGIC,
                                          MSDOS_SUPER_MAGIC,
                                          kXfs,
                                          kF2fs,
                                          kExfat,
                                          kNtfs3,
                                          kZfs,
                                          kBcachefs,
                                          kErofs};

bool IsLocal(int fd) {
  struct statfs file_system;
  if (fstatfs(fd, &file_system) != 0) return false;
  return std::find(std::begin(kLocalFileSystems), std::end(kLocalFileSystems),
                   static_cast<uint32_t>(file_system.f_type)) != std::end(kLocalFileSystems);
}

Status SendDatagram(int socket, std::span<const std::byte> bytes) {
  if (send(socket, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) return FailWithErrno();
  return {};
}

constexpr uint16_t kOfFiles = HostChange::kModified | HostChange::kAttributes | HostChange::kClosed;

uint16_t WhatHappened(uint64_t mask) {
  constexpr struct {
    uint64_t event;
    uint16_t what;
  } kMeanings[] = {
      {FAN_CREATE, HostChange::kCreated},       {FAN_DELETE, HostChange::kDeleted},
      {FAN_MOVED_FROM, HostChange::kMovedFrom}, {FAN_MOVED_TO, HostChange::kMovedTo},
      {FAN_MODIFY, HostChange::kModified},      {FAN_ATTRIB, HostChange::kAttributes},
      {FAN_CLOSE_WRITE, HostChange::kClosed},   {FAN_ONDIR, HostChange::kIsDirectory},
  };
  uint16_t what = 0;
  for (const auto& meaning : kMeanings) {
    if (mask & meaning.event) what |= meaning.what;
  }
  return what;
}

// Nothing if the kernel does not say (before Linux 5.8).
std::optional<uint64_t> MountOf(int fd) {
  struct statx stat;
  if (statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_MNT_ID, &stat) != 0) return std::nullopt;
  if (!(stat.stx_mask & STATX_MNT_ID)) return std::nullopt;
  return stat.stx_mnt_id;
}

}  // namespace

Watcher::Client::Client(Watcher& watcher) : watcher_(watcher) {
  std::lock_guard lock(watcher_.mutex_);
  watcher_.clients_.insert(this);
}

Watcher::Client::~Client() {
  std::lock_guard lock(watcher_.mutex_);
  watcher_.clients_.erase(this);
  std::erase_if(watcher_.threads_, [&](const auto& entry) { return entry.second == this; });
  // The marks stay until there are too many, or the process ends: they do not say where they are.
  for (auto& [key, interests] : watcher_.watches_) {
    std::erase_if(interests, [&](const Interest& interest) { return interest.client == this; });
  }
}

Result<Fd> Watcher::Client::Subscribe() {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return FailWithErrno();
  std::lock_guard lock(watcher_.mutex_);
  socket_ = Fd(pair[0]);
  return Fd(pair[1]);
}

Status Watcher::Client::Watch(int fd, bool is_directory, uint64_t id) {
  if (!IsLocal(fd)) return Fail(EOPNOTSUPP);
  LISAFS_ASSIGN_OR_RETURN(FileKey key, FanotifyGroup::Key(fd));
  std::lock_guard lock(watcher_.mutex_);
  if (!socket_) return Fail(ENOTCONN);
  auto watched = watcher_.watches_.find(key);
  if (watched == watcher_.watches_.end()) {
    if (watcher_.watches_.size() >= watcher_.max_watches_) {
      LISAFS_RETURN_IF_ERROR(watcher_.group_.UnmarkAll(watcher_.self_));
      watcher_.watches_.clear();
      watcher_.LoseEverything(true);
    }
    watched = watcher_.watches_.emplace(std::move(key), Interests()).first;
  }
  // Also if it was known: the mark goes with the inode, and what has this handle now may be a new one.
  if (Status marked = watcher_.group_.Mark(watcher_.self_, fd, is_directory); !marked) {
    if (watched->second.empty()) watcher_.watches_.erase(watched);
    return marked;
  }
  Interests& interests = watched->second;
  auto own = std::find_if(interests.begin(), interests.end(),
                          [&](const Interest& interest) { return interest.client == this; });
  if (own == interests.end()) own = interests.insert(own, Interest{.client = this});
  own->id = id;
  const auto mount = MountOf(fd);
  own->by_others = mount && watcher_.left_out_.contains(*mount);
  return {};
}

void Watcher::Client::ThreadBegins() {
  std::lock_guard lock(watcher_.mutex_);
  watcher_.threads_[gettid()] = this;
}

void Watcher::Client::ThreadEnds() {
  std::lock_guard lock(watcher_.mutex_);
  watcher_.threads_.erase(gettid());
}

StepResult<std::unique_ptr<Watcher>> Watcher::Create(const SelfFds& self, size_t max_watches) {
  auto group = FanotifyGroup::Create();
  if (!group) return tl::unexpected(group.error());
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return FailStepWithErrno("pipe");
  return std::unique_ptr<Watcher>(new Watcher(self, std::move(*group), Fd(ends[0]), Fd(ends[1]), max_watches));
}

Watcher::Watcher(const SelfFds& self, FanotifyGroup group, Fd stop_read, Fd stop_write, size_t max_watches)
    : self_(self),
      group_(std::move(group)),
      stop_read_(std::move(stop_read)),
      stop_write_(std::move(stop_write)),
      max_watches_(max_watches) {}

Watcher::~Watcher() {
  stop_write_.reset();
  if (thread_.joinable()) thread_.join();
}

StepResult<void> Watcher::LeaveOutMount(int tree) {
  const auto mount = MountOf(tree);
  if (!mount) return {};
  if (auto left_out = group_.LeaveOutMount(self_, tree); !left_out) return left_out;
  left_out_.insert(*mount);
  return {};
}

void Watcher::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Watcher::Run() {
  bool all_told = true;
  while (true) {
    pollfd waiting[] = {{.fd = group_.fd(), .events = POLLIN}, {.fd = stop_read_.get(), .events = 0}};
    poll(waiting, std::size(waiting), all_told ? -1 : kRetryMilliseconds);
    if (waiting[1].revents != 0) return;
    bool any;
    {
      std::lock_guard lock(mutex_);
      any = ReadEvents();
      all_told = SendAll();
    }
    if (any) std::this_thread::sleep_for(kGather);
  }
}

bool Watcher::ReadEvents() {
  bool any = false;
  for (int i = 0; i < kMaxReads && group_.Read([&](const HostEvent& event) { Tell(event); }); ++i) any = true;
  return any;
}

void Watcher::Tell(const HostEvent& event) {
  if (event.mask & FAN_Q_OVERFLOW) return LoseEverything(false);
  auto thread = event.thread == 0 ? threads_.end() : threads_.find(event.thread);
  const Client* actor = thread == threads_.end() ? nullptr : thread->second;
  if (event.mask & FAN_RENAME) return TellRename(event, actor);
  auto tell = [&](const FileKey& key, uint16_t what, std::string_view name) {
    if ((what & ~HostChange::kIsDirectory) == 0) return;
    for (const Interest& interest : InterestsIn(key)) {
      if (interest.client == actor) continue;
      Add(*interest.client, interest.id, what | (interest.by_others && (what & kOfFiles) ? HostChange::kByOthers : 0),
          name);
    }
  };
  const uint16_t what = WhatHappened(event.mask);
  tell(event.directory, what, event.name);
  // A file that is watched by itself.
  if (event.file != event.directory) tell(event.file, what & kOfFiles, {});
  // Marks go with their files.
  if (event.mask & FAN_DELETE_SELF) {
    watches_.erase(event.file);
    if (event.name.empty()) watches_.erase(event.directory);
  }
}

void Watcher::TellRename(const HostEvent& event, const Client* actor) {
  const uint16_t kind = event.mask & FAN_ONDIR ? HostChange::kIsDirectory : 0;
  const Interests& old_interests = InterestsIn(event.directory);
  const Interests& new_interests = InterestsIn(event.new_directory);
  auto find = [](const Interests& interests, const Client* client) {
    return std::find_if(interests.begin(), interests.end(),
                        [&](const Interest& interest) { return interest.client == client; });
  };
  for (const Interest& interest : old_interests) {
    if (interest.client == actor) continue;
    auto target = find(new_interests, interest.client);
    const bool paired = target != new_interests.end();
    Add(*interest.client, interest.id, HostChange::kMovedFrom | (paired ? HostChange::kPaired : 0) | kind, event.name);
    if (paired) Add(*interest.client, target->id, HostChange::kMovedTo | kind, event.new_name);
  }
  for (const Interest& interest : new_interests) {
    if (interest.client == actor || find(old_interests, interest.client) != old_interests.end()) continue;
    Add(*interest.client, interest.id, HostChange::kMovedTo | kind, event.new_name);
  }
}

void Watcher::Add(Client& client, uint64_t id, uint16_t what, std::string_view name) {
  if (!client.socket_ || client.lost_) return;
  constexpr size_t kMaxRecord = 512;  // Names have 255 bytes.
  std::byte bytes[kMaxRecord];
  Writer writer(bytes);
  Encode(writer, HostChange{.id = id, .what = what, .name = name});
  if (!writer.ok()) return;
  constexpr uint16_t kOfNames =
      HostChange::kCreated | HostChange::kDeleted | HostChange::kMovedFrom | HostChange::kMovedTo;
  if (!(what & kOfNames) && !client.in_batch_.emplace(reinterpret_cast<const char*>(bytes), writer.size()).second) {
    return;
  }
  // The two halves of a rename stay together.
  const size_t needed = what & HostChange::kPaired ? writer.size() + kMaxRecord : writer.size();
  if (client.batch_.size() + needed > kMaxHostChangesSize) Send(client);
  client.batch_.insert(client.batch_.end(), bytes, bytes + writer.size());
}

void Watcher::LoseEverything(bool unwatched) {
  for (Client* client : clients_) {
    if (!client->socket_) continue;
    client->lost_ = true;
    client->unwatched_ = client->unwatched_ || unwatched;
  }
}

void Watcher::Send(Client& client) {
  if (!client.batch_.empty() && !client.lost_) {
    Status sent = SendDatagram(client.socket_.get(), client.batch_);
    if (!sent) client.lost_ = true;
  }
  client.batch_.clear();
  client.in_batch_.clear();
  if (!client.lost_) return;
  std::byte bytes[16];
  Writer writer(bytes);
  const int what = HostChange::kLost | (client.unwatched_ ? HostChange::kUnwatched : 0);
  Encode(writer, HostChange{.what = static_cast<uint16_t>(what)});
  Status sent = SendDatagram(client.socket_.get(), std::span(bytes).first(writer.size()));
  if (sent) {
    client.lost_ = client.unwatched_ = false;
  } else if (sent.error() != Errno(EAGAIN)) {
    // It has closed its end.
    client.socket_.reset();
    client.lost_ = client.unwatched_ = false;
  }
}

// Whether every client knows all that there is to know.
bool Watcher::SendAll() {
  bool all_told = true;
  for (Client* client : clients_) {
    if (!client->socket_) continue;
    Send(*client);
    all_told = all_told && !client->lost_;
  }
  return all_told;
}

const Watcher::Interests& Watcher::InterestsIn(const FileKey& key) const {
  static const Interests kNone;
  auto found = watches_.find(key);
  return found == watches_.end() ? kNone : found->second;
}

}  // namespace lisafs
