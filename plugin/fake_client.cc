#include "plugin/fake_client.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

namespace lisafs {
namespace {

// A directory's position behind an entry: the same whatever else comes and goes. So names begin with letters of their
// own.
uint64_t PositionOf(const std::string& name) { return 1 + static_cast<uint8_t>(name[0]); }

}  // namespace

FakeClient::FakeClient() {
  tree = Make(S_IFDIR | 0755);
  root_inode_ = {NewControlFd(tree), tree->stat};
}

FakeClient::FilePtr FakeClient::Make(uint16_t mode) {
  auto file = std::make_shared<File>();
  file->stat.mask = STATX_BASIC_STATS | STATX_BTIME;
  file->stat.mode = mode;
  file->stat.ino = next_ino_++;
  file->stat.nlink = 1;
  file->stat.dev_major = 8;
  file->stat.btime.sec = 1000;
  return file;
}

FakeClient::FilePtr FakeClient::Get(std::string_view path) const {
  FilePtr at = tree;
  while (!path.empty() && at != nullptr) {
    size_t slash = std::min(path.find('/'), path.size());
    auto child = at->children.find(std::string(path.substr(0, slash)));
    at = child == at->children.end() ? nullptr : child->second;
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return at;
}

FakeClient::FilePtr FakeClient::Add(std::string_view path, uint16_t mode) {
  size_t slash = path.rfind('/');
  FilePtr parent = slash == path.npos ? tree : Get(path.substr(0, slash));
  return parent->children[std::string(slash == path.npos ? path : path.substr(slash + 1))] = Make(mode);
}

void FakeClient::CloseLater(Fdid fd) {
  std::lock_guard lock(mutex_);
  control_fds.erase(fd);
  open_fds.erase(fd);
}

void FakeClient::FlushClosed() {
  std::lock_guard lock(mutex_);
  ++flushes;
}

size_t FakeClient::control_fd_count() {
  std::lock_guard lock(mutex_);
  return control_fds.size();
}

Fdid FakeClient::NewControlFd(const FilePtr& file) {
  control_fds[next_fd_] = file;
  return next_fd_++;
}

Result<FakeClient::FilePtr> FakeClient::Directory(Fdid fd) {
  auto found = control_fds.find(fd);
  if (found == control_fds.end()) return Fail(EBADF);
  if (!S_ISDIR(found->second->stat.mode)) return Fail(ENOTDIR);
  return found->second;
}

Result<FakeClient::FilePtr> FakeClient::Child(Fdid directory, std::string_view name) {
  LISAFS_ASSIGN_OR_RETURN(FilePtr parent, Directory(directory));
  auto found = parent->children.find(std::string(name));
  if (found == parent->children.end()) return Fail(ENOENT);
  return found->second;
}

Status FakeClient::Exchange(const Request& request, OnResponse on_response, Donations* donated) {
  if (on_call) on_call(request.mid);
  std::lock_guard lock(mutex_);
  ++calls[request.mid];
  if (!is_connected) return Fail(ECONNRESET);
  if (auto failing = fail_with.find(request.mid); failing != fail_with.end()) return Fail(failing->second);
  std::vector<std::byte> buffer(64 << 10);
  Writer writer(buffer);
  LISAFS_RETURN_IF_ERROR(Serve(request, writer, donated));
  return on_response.call(on_response.callable, std::span(buffer).first(writer.size()));
}

// What a message's body is, for who knows the message.
#define BODY(message) *static_cast<const Message<Mid::k##message>::Request*>(request.body)

Status FakeClient::Serve(const Request& request, Writer& writer, Donations* donated) {
  switch (request.mid) {
    case Mid::kFStat: {
      Fdid fd = (BODY(FStat)).fd;
      FilePtr file = control_fds.contains(fd) ? control_fds[fd] : open_fds.contains(fd) ? open_fds[fd] : nullptr;
      if (file == nullptr) return Fail(EBADF);
      file->stat.size = file->content.size();
      Encode(writer, StatResp{file->stat});
      return {};
    }
    case Mid::kSetStat: {
      const auto& body = BODY(SetStat);
      if (!control_fds.contains(body.fd)) return Fail(EBADF);
      File& file = *control_fds[body.fd];
      if (body.mask & STATX_MODE) file.stat.mode = static_cast<uint16_t>((file.stat.mode & S_IFMT) | body.mode);
      if (body.mask & STATX_UID) file.stat.uid = body.uid;
      if (body.mask & STATX_GID) file.stat.gid = body.gid;
      if (body.mask & STATX_SIZE) file.content.resize(body.size);
      if (body.mask & STATX_ATIME) file.stat.atime = {.sec = body.atime.sec, .nsec = uint32_t(body.atime.nsec)};
      if (body.mask & STATX_MTIME) file.stat.mtime = {.sec = body.mtime.sec, .nsec = uint32_t(body.mtime.nsec)};
      Encode(writer, SetStatResp{});
      return {};
    }
    case Mid::kSetDonation:
      donates = (BODY(SetDonation)).donate == 1;
      return {};
    case Mid::kWalk: {
      const auto& body = BODY(Walk);
      std::vector<Inode> inodes;
      Fdid at = body.dir_fd;
      for (std::string_view name : body.path) {
        auto child = Child(at, name);
        if (!child && child.error() == Errno(ENOENT)) break;
        if (!child) {
          for (const Inode& inode : inodes) control_fds.erase(inode.control_fd);
          return Fail(child.error());
        }
        at = NewControlFd(*child);
        inodes.push_back({at, (*child)->stat});
      }
      Encode(writer,
             WalkResp{inodes.size() == body.path.size() ? WalkStatus::kSuccess : WalkStatus::kComponentDoesNotExist,
                      PackedArray(std::span<const Inode>(inodes))});
      return {};
    }
    case Mid::kWalkStat: {
      const auto& body = BODY(WalkStat);
      auto child = Child(body.dir_fd, *body.path.begin());
      if (!child && child.error() != Errno(ENOENT)) return Fail(child.error());
      if (child) (*child)->stat.size = (*child)->content.size();
      Encode(writer,
             WalkStatResp{child ? PackedArray(std::span<const Statx>(&(*child)->stat, 1)) : PackedArray<Statx>()});
      return {};
    }
    case Mid::kOpenAt: {
      const auto& body = BODY(OpenAt);
      if (!control_fds.contains(body.fd)) return Fail(EBADF);
      if (body.flags & O_TRUNC) control_fds[body.fd]->content.clear();
      open_fds[next_fd_] = control_fds[body.fd];
      if (donate && donated != nullptr) donated->Add(std::move(donate));
      Encode(writer, OpenAtResp{next_fd_++});
      return {};
    }
    case Mid::kSubscribe:
      if (donate && donated != nullptr) donated->Add(std::move(donate));
      return {};
    case Mid::kWatch:
      return {};
    case Mid::kOpenBacking: {
      const auto& body = BODY(OpenBacking);
      if (!open_fds.contains(body.fd)) return Fail(EBADF);
      File& file = *open_fds[body.fd];
      file.stat.size = file.content.size();
      backing_ids[++last_backing_id] = body.fd;
      Encode(writer, OpenBackingResp{last_backing_id, file.stat});
      return {};
    }
    case Mid::kOpenCreateAt: {
      const auto& body = BODY(OpenCreateAt);
      LISAFS_ASSIGN_OR_RETURN(Inode child, Create(body.common, body.name));
      open_fds[next_fd_] = control_fds[child.control_fd];
      if (donate && donated != nullptr) donated->Add(std::move(donate));
      Encode(writer, OpenCreateAtResp{child, next_fd_++});
      return {};
    }
    case Mid::kOpenUnnamed: {
      const auto& body = BODY(OpenUnnamed);
      created = body.common;
      FilePtr file = Make(static_cast<uint16_t>(S_IFREG | body.common.mode));
      file->stat.nlink = 0;
      open_fds[next_fd_] = file;
      Fdid open = next_fd_++;
      if (donate && donated != nullptr) donated->Add(std::move(donate));
      Encode(writer, OpenCreateAtResp{{NewControlFd(file), file->stat}, open});
      return {};
    }
    default:
      LISAFS_RETURN_IF_ERROR(ServeNames(request, writer));
      return {};
  }
}

Result<Inode> FakeClient::Create(const CreateCommon& common, std::string_view name) {
  created = common;
  LISAFS_ASSIGN_OR_RETURN(FilePtr parent, Directory(common.dir_fd));
  if (parent->children.contains(std::string(name))) return Fail(EEXIST);
  FilePtr file = parent->children[std::string(name)] = Make(common.mode);
  file->stat.uid = common.uid;
  file->stat.gid = common.gid;
  return Inode{NewControlFd(file), file->stat};
}

Status FakeClient::ServeNames(const Request& request, Writer& writer) {
  switch (request.mid) {
    case Mid::kMkdirAt: {
      LISAFS_ASSIGN_OR_RETURN(Inode child, Create((BODY(MkdirAt)).common, (BODY(MkdirAt)).name));
      Encode(writer, InodeResp{child});
      return {};
    }
    case Mid::kMknodAt:
    case Mid::kMakeNodeAt: {
      LISAFS_ASSIGN_OR_RETURN(Inode child, Create((BODY(MknodAt)).common, (BODY(MknodAt)).name));
      Encode(writer, InodeResp{child});
      return {};
    }
    case Mid::kSymlinkAt: {
      const auto& body = BODY(SymlinkAt);
      CreateCommon common{.dir_fd = body.dir_fd, .uid = body.uid, .gid = body.gid, .mode = S_IFLNK | 0777};
      LISAFS_ASSIGN_OR_RETURN(Inode child, Create(common, body.name));
      control_fds[child.control_fd]->content = body.target;
      Encode(writer, InodeResp{child});
      return {};
    }
    case Mid::kLinkAt: {
      const auto& body = BODY(LinkAt);
      LISAFS_ASSIGN_OR_RETURN(FilePtr parent, Directory(body.dir_fd));
      FilePtr target = control_fds.at(body.target_fd);
      parent->children[std::string(body.name)] = target;
      ++target->stat.nlink;
      Encode(writer, InodeResp{{NewControlFd(target), target->stat}});
      return {};
    }
    case Mid::kUnlinkAt: {
      const auto& body = BODY(UnlinkAt);
      LISAFS_ASSIGN_OR_RETURN(FilePtr child, Child(body.dir_fd, body.name));
      --child->stat.nlink;
      (*Directory(body.dir_fd))->children.erase(std::string(body.name));
      return {};
    }
    case Mid::kRenameAt:
    case Mid::kRenameAt2: {
      RenameAt2Req body;
      if (request.mid == Mid::kRenameAt2) {
        body = BODY(RenameAt2);
      } else {
        const auto& plain = BODY(RenameAt);
        body = {plain.old_dir_fd, plain.new_dir_fd, plain.old_name, plain.new_name, 0};
      }
      LISAFS_ASSIGN_OR_RETURN(FilePtr from, Directory(body.old_dir_fd));
      LISAFS_ASSIGN_OR_RETURN(FilePtr to, Directory(body.new_dir_fd));
      LISAFS_ASSIGN_OR_RETURN(FilePtr moved, Child(body.old_dir_fd, body.old_name));
      FilePtr other = to->children[std::string(body.new_name)];
      if ((body.flags & RENAME_NOREPLACE) && other != nullptr) return Fail(EEXIST);
      from->children.erase(std::string(body.old_name));
      to->children[std::string(body.new_name)] = moved;
      if (body.flags & RENAME_EXCHANGE) from->children[std::string(body.old_name)] = other;
      return {};
    }
    case Mid::kReadLinkAt:
      Encode(writer, StringResp{control_fds.at((BODY(ReadLinkAt)).fd)->content});
      return {};
    case Mid::kFStatFS:
      Encode(writer, StatFs{1, 4096, 2, 3, 4, 5, 6, 255});
      return {};
    default:
      return ServeOpenFiles(request, writer);
  }
}

Status FakeClient::ServeOpenFiles(const Request& request, Writer& writer) {
  switch (request.mid) {
    case Mid::kPRead: {
      const auto& body = BODY(PRead);
      const std::string& content = open_fds.at(body.fd)->content;
      std::string read = body.offset < content.size() ? content.substr(body.offset, body.count) : "";
      Encode(writer, PReadResp{read.size(), Rest{std::as_bytes(std::span(read))}});
      return {};
    }
    case Mid::kPWrite: {
      const auto& body = BODY(PWrite);
      std::string& content = open_fds.at(body.fd)->content;
      content.resize(std::max(content.size(), body.offset + body.count));
      content.replace(body.offset, body.count, reinterpret_cast<const char*>(body.data.bytes.data()), body.count);
      Encode(writer, PWriteResp{body.count});
      return {};
    }
    case Mid::kSeek: {
      // Every file has its data from offset 4 on.
      const auto& body = BODY(Seek);
      const std::string& content = open_fds.at(body.fd)->content;
      Encode(writer, SeekResp{body.whence == SEEK_HOLE ? content.size() : std::max<uint64_t>(body.offset, 4)});
      return {};
    }
    case Mid::kCopyFileRange: {
      const auto& body = BODY(CopyFileRange);
      std::string copied = open_fds.at(body.from_fd)->content.substr(body.from_offset, body.length);
      std::string& to = open_fds.at(body.to_fd)->content;
      to.resize(std::max(to.size(), body.to_offset + copied.size()));
      to.replace(body.to_offset, copied.size(), copied);
      Encode(writer, PWriteResp{copied.size()});
      return {};
    }
    case Mid::kFDataSync:
    case Mid::kFSync:
    case Mid::kFAllocate:
    case Mid::kFlush:
      return {};
    case Mid::kGetdents64: {
      const auto& body = BODY(Getdents64);
      // Two entries at a time, from a position in the file's content, so that it takes several requests.
      File& directory = *open_fds.at(body.fd);
      size_t position = body.count < 0 ? 0 : directory.stat.rdev_major;
      std::vector<std::pair<std::string, FilePtr>> all(directory.children.begin(), directory.children.end());
      uint16_t count = static_cast<uint16_t>(std::min<size_t>(2, all.size() - std::min(all.size(), position)));
      Encode(writer, Getdents64Resp{count, {}});
      for (size_t i = position; i < position + count; ++i) {
        const Statx& stat = all[i].second->stat;
        Encode(writer, Dirent{stat.ino, stat.dev_minor, stat.dev_major, PositionOf(all[i].first),
                              static_cast<uint8_t>(stat.mode >> 12), all[i].first});
      }
      directory.stat.rdev_major = static_cast<uint32_t>(position + count);
      return {};
    }
    case Mid::kListStat: {
      const auto& body = BODY(ListStat);
      File& directory = *open_fds.at(body.fd);
      std::map<uint64_t, std::string> by_position;
      for (auto& [name, child] : directory.children) by_position[PositionOf(name)] = name;
      std::vector<StatDirent> listed;
      size_t left = body.size;
      auto at = by_position.upper_bound(body.position);
      for (; at != by_position.end() && kStatDirentSize + at->second.size() <= left; ++at) {
        left -= kStatDirentSize + at->second.size();
        listed.push_back({at->first, directory.children[at->second]->stat, at->second});
      }
      Encode(writer, ListStatResp{static_cast<uint16_t>(listed.size()), {}});
      for (const StatDirent& entry : listed) Encode(writer, entry);
      // Getdents64 goes on from there.
      directory.stat.rdev_major = static_cast<uint32_t>(std::distance(by_position.begin(), at));
      return {};
    }
    default:
      return ServeXattr(request, writer);
  }
}

Status FakeClient::ServeXattr(const Request& request, Writer& writer) {
  switch (request.mid) {
    case Mid::kFGetXattr: {
      const auto& body = BODY(FGetXattr);
      auto& xattrs = control_fds.at(body.fd)->xattrs;
      auto found = xattrs.find(std::string(body.name));
      if (found == xattrs.end()) return Fail(ENODATA);
      Encode(writer, StringResp{found->second});
      return {};
    }
    case Mid::kFSetXattr: {
      const auto& body = BODY(FSetXattr);
      control_fds.at(body.fd)->xattrs[std::string(body.name)] = body.value;
      return {};
    }
    case Mid::kFListXattr: {
      std::vector<std::string_view> names;
      for (auto& [name, value] : control_fds.at((BODY(FListXattr)).fd)->xattrs) names.push_back(name);
      Encode(writer, FListXattrResp{StringArray(names)});
      return {};
    }
    case Mid::kFRemoveXattr: {
      const auto& body = BODY(FRemoveXattr);
      control_fds.at(body.fd)->xattrs.erase(std::string(body.name));
      return {};
    }
    default:
      return Fail(EOPNOTSUPP);
  }
}

#undef BODY

}  // namespace lisafs
