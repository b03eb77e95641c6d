#include "gofer/gofer_testing.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include "gofer/handlers.h"

namespace lisafs {
namespace {

std::string MakeDirectory() {
  const char* parent = getenv("TEST_TMPDIR");
  std::string path = std::string(parent == nullptr ? "/tmp" : parent) + "/gofer-XXXXXX";
  EXPECT_NE(mkdtemp(path.data()), nullptr);
  return path;
}

Result<Inode> ChildOf(const Result<InodeResp>& response) {
  if (!response) return Fail(response.error());
  return response->child;
}

Status Succeeded(const Result<Empty>& response) {
  if (!response) return Fail(response.error());
  return {};
}

}  // namespace

GoferTest::GoferTest()
    : directory_(MakeDirectory()), self_(*SelfFds::Make(Fd(open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC)))) {
  umask(0);
  ServeHostFiles(server_.handlers);
}

GoferTest::~GoferTest() {
  HangUp();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void GoferTest::Serve(const Connection::Options& options, const std::string& mount, size_t channels) {
  std::string path = mount.empty() ? directory_ : Path(mount);
  Served served;
  served.mount = std::make_unique<HostMount>(server_, self_, Fd(open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC)),
                                             policy, HostPassthrough(), nullptr, recording);
  int sockets[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
  served.connection = std::make_unique<Connection>(server_, *served.mount, Fd(sockets[0]), options);
  served.thread = std::thread([connection = served.connection.get()] { connection->Serve(); });
  served_.push_back(std::move(served));
  auto client = Client::Connect(Fd(sockets[1]), {.max_channels = channels});
  ASSERT_TRUE(client) << client.error().ToString();
  if (client_ != nullptr) earlier_clients_.push_back(std::move(client_));
  client_ = std::move(*client);
}

void GoferTest::HangUp() {
  earlier_clients_.clear();
  client_.reset();
  for (Served& served : served_) served.thread.join();
  served_.clear();
}

void GoferTest::WriteHostFile(std::string_view name, std::string_view content) {
  std::ofstream file(Path(name));
  file << content;
  ASSERT_TRUE(file.good()) << name;
}

std::string GoferTest::ReadHostFile(std::string_view name) const {
  std::ifstream file(Path(name));
  std::ostringstream all;
  all << file.rdbuf();
  return all.str();
}

Result<Statx> GoferTest::Stat(Fdid fd) {
  LISAFS_ASSIGN_OR_RETURN(StatResp response, client_->Call<Mid::kFStat>({fd}));
  return response.stat;
}

Result<Walked> GoferTest::Walk(Fdid dir, const std::vector<std::string_view>& path) {
  Walked walked;
  LISAFS_RETURN_IF_ERROR(client_->Call<Mid::kWalk>({dir, StringArray(path)}, [&](const WalkResp& response) {
    walked.status = response.status;
    for (size_t i = 0; i < response.inodes.size(); ++i) walked.inodes.push_back(response.inodes[i]);
  }));
  return walked;
}

Inode GoferTest::Find(Fdid dir, std::string_view name) {
  auto walked = Walk(dir, {name});
  EXPECT_TRUE(walked && walked->inodes.size() == 1) << name;
  return walked && walked->inodes.size() == 1 ? walked->inodes[0] : Inode{};
}

Result<std::vector<Statx>> GoferTest::WalkStat(Fdid fd, const std::vector<std::string_view>& path) {
  std::vector<Statx> stats;
  LISAFS_RETURN_IF_ERROR(client_->Call<Mid::kWalkStat>({fd, StringArray(path)}, [&](const WalkStatResp& response) {
    for (size_t i = 0; i < response.stats.size(); ++i) stats.push_back(response.stats[i]);
  }));
  return stats;
}

Result<Fdid> GoferTest::Open(Fdid fd, int flags, Donations* donated) {
  LISAFS_ASSIGN_OR_RETURN(OpenAtResp response,
                          client_->Call<Mid::kOpenAt>({.fd = fd, .flags = static_cast<uint32_t>(flags)}, donated));
  return response.open_fd;
}

Result<OpenCreateAtResp> GoferTest::Create(Fdid dir, std::string_view name, int flags, uint16_t mode,
                                           Donations* donated) {
  return client_->Call<Mid::kOpenCreateAt>(
      {.common = {.dir_fd = dir, .mode = mode}, .flags = static_cast<uint32_t>(flags), .name = name}, donated);
}

Result<Inode> GoferTest::Mkdir(Fdid dir, std::string_view name, uint16_t mode) {
  return ChildOf(client_->Call<Mid::kMkdirAt>({.common = {.dir_fd = dir, .mode = mode}, .name = name}));
}

Result<Inode> GoferTest::Mknod(Fdid dir, std::string_view name, uint16_t mode, uint32_t major, uint32_t minor) {
  return ChildOf(client_->Call<Mid::kMknodAt>(
      {.common = {.dir_fd = dir, .mode = mode}, .minor = minor, .major = major, .name = name}));
}

Result<Inode> GoferTest::MakeNode(Fdid dir, std::string_view name, uint16_t mode, uint32_t major, uint32_t minor) {
  return ChildOf(client_->Call<Mid::kMakeNodeAt>(
      {.common = {.dir_fd = dir, .mode = mode}, .minor = minor, .major = major, .name = name}));
}

Result<Inode> GoferTest::Symlink(Fdid dir, std::string_view name, std::string_view target) {
  return ChildOf(client_->Call<Mid::kSymlinkAt>({.dir_fd = dir, .name = name, .target = target}));
}

Result<Inode> GoferTest::Link(Fdid dir, Fdid target, std::string_view name) {
  return ChildOf(client_->Call<Mid::kLinkAt>({.dir_fd = dir, .target_fd = target, .name = name}));
}

Status GoferTest::Unlink(Fdid dir, std::string_view name, uint32_t flags) {
  return Succeeded(client_->Call<Mid::kUnlinkAt>({.dir_fd = dir, .flags = flags, .name = name}));
}

Status GoferTest::Rename(Fdid old_dir, std::string_view old_name, Fdid new_dir, std::string_view new_name) {
  return Succeeded(client_->Call<Mid::kRenameAt>({old_dir, new_dir, old_name, new_name}));
}

Status GoferTest::Rename2(Fdid old_dir, std::string_view old_name, Fdid new_dir, std::string_view new_name,
                          uint32_t flags) {
  return Succeeded(client_->Call<Mid::kRenameAt2>({old_dir, new_dir, old_name, new_name, flags}));
}

Result<SetStatResp> GoferTest::SetStat(const SetStatReq& request) { return client_->Call<Mid::kSetStat>(request); }

Result<std::string> GoferTest::ReadLink(Fdid fd) {
  std::string target;
  LISAFS_RETURN_IF_ERROR(
      client_->Call<Mid::kReadLinkAt>({fd}, [&](const StringResp& response) { target = response.value; }));
  return target;
}

Result<std::vector<Entry>> GoferTest::List(Fdid fd, int32_t count) {
  std::vector<Entry> entries;
  LISAFS_RETURN_IF_ERROR(
      client_->Call<Mid::kGetdents64>({.fd = fd, .count = count}, [&](const Getdents64Resp& response) -> Status {
        std::span<const std::byte> left = response.dirents.bytes;
        for (size_t i = 0; i < response.count; ++i) {
          Entry entry;
          if (!Decode(left, entry.dirent)) return Fail(EPROTO);
          entry.name = entry.dirent.name;
          left = left.subspan(27 + entry.name.size());
          entries.push_back(std::move(entry));
        }
        return {};
      }));
  return entries;
}

Result<std::vector<EntryWithStat>> GoferTest::ListStat(Fdid fd, uint64_t position, uint32_t size) {
  std::vector<EntryWithStat> entries;
  LISAFS_RETURN_IF_ERROR(client_->Call<Mid::kListStat>(
      {.fd = fd, .position = position, .size = size}, [&](const ListStatResp& response) -> Status {
        EXPECT_LE(response.dirents.bytes.size(), size);
        Reader reader(response.dirents.bytes);
        for (size_t i = 0; i < response.count; ++i) {
          StatDirent entry;
          std::apply([&](auto&... field) { (reader.Read(field), ...); }, entry.Tie());
          if (!reader.ok()) return Fail(EPROTO);
          entries.push_back({std::string(entry.name), entry.off, entry.stat});
        }
        return {};
      }));
  return entries;
}

Result<uint64_t> GoferTest::Seek(Fdid fd, uint64_t offset, int whence) {
  LISAFS_ASSIGN_OR_RETURN(
      SeekResp response,
      client_->Call<Mid::kSeek>({.fd = fd, .offset = offset, .whence = static_cast<uint32_t>(whence)}));
  return response.offset;
}

Result<uint64_t> GoferTest::Copy(Fdid from, uint64_t from_offset, Fdid to, uint64_t to_offset, uint64_t length) {
  LISAFS_ASSIGN_OR_RETURN(PWriteResp response,
                          client_->Call<Mid::kCopyFileRange>({from, from_offset, to, to_offset, length}));
  return response.count;
}

Result<OpenCreateAtResp> GoferTest::CreateUnnamed(Fdid dir, int flags, uint16_t mode, Donations* donated) {
  return client_->Call<Mid::kOpenUnnamed>(
      {.common = {.dir_fd = dir, .mode = mode}, .flags = static_cast<uint32_t>(flags)}, donated);
}

Result<std::string> GoferTest::GetXattr(Fdid fd, std::string_view name, uint32_t size) {
  std::string value;
  LISAFS_RETURN_IF_ERROR(
      client_->Call<Mid::kFGetXattr>({fd, size, name}, [&](const StringResp& response) { value = response.value; }));
  return value;
}

Status GoferTest::SetXattr(Fdid fd, std::string_view name, std::string_view value, uint32_t flags) {
  return Succeeded(client_->Call<Mid::kFSetXattr>({fd, flags, name, value}));
}

Result<std::vector<std::string>> GoferTest::ListXattr(Fdid fd, uint64_t size) {
  std::vector<std::string> names;
  LISAFS_RETURN_IF_ERROR(client_->Call<Mid::kFListXattr>({fd, size}, [&](const FListXattrResp& response) {
    for (std::string_view name : response.names) names.emplace_back(name);
  }));
  return names;
}

Status GoferTest::RemoveXattr(Fdid fd, std::string_view name) {
  return Succeeded(client_->Call<Mid::kFRemoveXattr>({fd, name}));
}

Result<std::string> GoferTest::PRead(Fdid fd, uint64_t offset, uint32_t count) {
  std::string data;
  LISAFS_RETURN_IF_ERROR(client_->Call<Mid::kPRead>(
      {.offset = offset, .fd = fd, .count = count}, [&](const PReadResp& response) -> Status {
        if (response.count > response.data.bytes.size()) return Fail(EPROTO);
        data.assign(reinterpret_cast<const char*>(response.data.bytes.data()), response.count);
        return {};
      }));
  return data;
}

Result<uint64_t> GoferTest::PWrite(Fdid fd, uint64_t offset, std::string_view data) {
  LISAFS_ASSIGN_OR_RETURN(PWriteResp response, client_->Call<Mid::kPWrite>({.offset = offset,
                                                                            .fd = fd,
                                                                            .count = static_cast<uint32_t>(data.size()),
                                                                            .data = {std::as_bytes(std::span(data))}}));
  return response.count;
}

Status GoferTest::Close(const std::vector<Fdid>& fds) { return Succeeded(client_->Call<Mid::kClose>({FdArray(fds)})); }

}  // namespace lisafs
