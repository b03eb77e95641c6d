#ifndef LISAFS_GOFER_GOFER_TESTING_H_
#define LISAFS_GOFER_GOFER_TESTING_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "gofer/file.h"
#include "gofer/self_fds.h"
#include "lisafs/client.h"
#include "lisafs/connection.h"
#include "lisafs/server.h"

// The gofer's handlers in this process, on a new and empty directory of the host, with a client to call them.

namespace lisafs {

// 0 for success.
template <typename T>
int ErrnoOf(const Result<T>& result) {
  return result ? 0 : result.error().value();
}

struct Walked {
  WalkStatus status;
  std::vector<Inode> inodes;
};

struct Entry {
  std::string name;
  Dirent dirent;  // Without the name.
};

struct EntryWithStat {
  std::string name;
  uint64_t off;
  Statx stat;
};

class GoferTest : public testing::Test {
 protected:
  GoferTest();
  ~GoferTest() override;

  // Serves `mount` (the whole directory if empty) and connects. To be called first; again for another connection to
  // another mount of the same server, which the calls below then use.
  void Serve(const Connection::Options& options = {}, const std::string& mount = "", size_t channels = 1);
  // The client goes; returns when the connection has ended.
  void HangUp();

  // The host's view: in the served directory.
  std::string Path(std::string_view name) const { return directory_ + "/" + std::string(name); }
  void WriteHostFile(std::string_view name, std::string_view content = "");
  std::string ReadHostFile(std::string_view name) const;

  // Of the mounts that are served from now on.
  HostPolicy policy;
  HostRecording recording;

  Client& client() { return *client_; }
  Server& server() { return server_; }
  Fdid root() const { return client_->root().control_fd; }

  Result<Statx> Stat(Fdid fd);
  Result<Walked> Walk(Fdid dir, const std::vector<std::string_view>& path);
  // Of one name that is there.
  Inode Find(Fdid dir, std::string_view name);
  Result<std::vector<Statx>> WalkStat(Fdid fd, const std::vector<std::string_view>& path);
  Result<Fdid> Open(Fdid fd, int flags, Donations* donated = nullptr);
  Result<OpenCreateAtResp> Create(Fdid dir, std::string_view name, int flags = 2, uint16_t mode = 0644,
                                  Donations* donated = nullptr);
  Result<Inode> Mkdir(Fdid dir, std::string_view name, uint16_t mode = 0755);
  Result<Inode> Mknod(Fdid dir, std::string_view name, uint16_t mode, uint32_t major = 0, uint32_t minor = 0);
  // Message 257.
  Result<Inode> MakeNode(Fdid dir, std::string_view name, uint16_t mode, uint32_t major = 0, uint32_t minor = 0);
  Result<Inode> Symlink(Fdid dir, std::string_view name, std::string_view target);
  Result<Inode> Link(Fdid dir, Fdid target, std::string_view name);
  Status Unlink(Fdid dir, std::string_view name, uint32_t flags = 0);
  Status Rename(Fdid old_dir, std::string_view old_name, Fdid new_dir, std::string_view new_name);
  Status Rename2(Fdid old_dir, std::string_view old_name, Fdid new_dir, std::string_view new_name, uint32_t flags);
  Result<SetStatResp> SetStat(const SetStatReq& request);
  Result<std::string> ReadLink(Fdid fd);
  Result<std::vector<Entry>> List(Fdid fd, int32_t count);
  // Messages 258 to 261.
  Result<std::vector<EntryWithStat>> ListStat(Fdid fd, uint64_t position, uint32_t size);
  Result<uint64_t> Seek(Fdid fd, uint64_t offset, int whence);
  Result<uint64_t> Copy(Fdid from, uint64_t from_offset, Fdid to, uint64_t to_offset, uint64_t length);
  Result<OpenCreateAtResp> CreateUnnamed(Fdid dir, int flags = 2, uint16_t mode = 0644, Donations* donated = nullptr);
  Result<std::string> GetXattr(Fdid fd, std::string_view name, uint32_t size = 0);
  Status SetXattr(Fdid fd, std::string_view name, std::string_view value, uint32_t flags = 0);
  Result<std::vector<std::string>> ListXattr(Fdid fd, uint64_t size = 0);
  Status RemoveXattr(Fdid fd, std::string_view name);
  Result<std::string> PRead(Fdid fd, uint64_t offset, uint32_t count);
  Result<uint64_t> PWrite(Fdid fd, uint64_t offset, std::string_view data);
  Status Close(const std::vector<Fdid>& fds);

 private:
  struct Served {
    std::unique_ptr<HostMount> mount;
    std::unique_ptr<Connection> connection;
    std::thread thread;
  };

  std::string directory_;
  SelfFds self_;
  Server server_;
  std::vector<Served> served_;
  std::vector<std::unique_ptr<Client>> earlier_clients_;
  std::unique_ptr<Client> client_;
};

}  // namespace lisafs

#endif  // LISAFS_GOFER_GOFER_TESTING_H_
