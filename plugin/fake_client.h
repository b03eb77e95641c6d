#ifndef LISAFS_PLUGIN_FAKE_CLIENT_H_
#define LISAFS_PLUGIN_FAKE_CLIENT_H_

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lisafs/client.h"

namespace lisafs {

// A client whose server is a few files in memory. What tests need to see and to arrange is public: files appear, vanish
// and change places as if the host had done it. Several threads may call it, but not while a test arranges things.
class FakeClient : public Client {
 public:
  struct File {
    Statx stat;
    std::string content;  // A symbolic link's: its target.
    std::map<std::string, std::shared_ptr<File>> children;
    std::map<std::string, std::string> xattrs;
  };
  using FilePtr = std::shared_ptr<File>;

  FakeClient();

  // A new file without a name; one that hangs in the tree, "" for the root; nullptr if there is none.
  FilePtr Make(uint16_t mode);
  FilePtr Add(std::string_view path, uint16_t mode);
  FilePtr Get(std::string_view path) const;

  const Inode& root() const override { return root_inode_; }
  bool Supports(Mid mid) const override { return !unsupported.contains(mid); }
  uint32_t max_message() const override { return kDefaultMaxMessage; }
  bool connected() const override { return is_connected; }
  size_t channels() const override { return 0; }
  void CloseLater(Fdid fd) override;
  void FlushClosed() override;

  // For tests that look while others call.
  size_t control_fd_count();

  FilePtr tree;
  std::map<Fdid, FilePtr> control_fds;
  std::map<Fdid, FilePtr> open_fds;
  std::map<uint32_t, Fdid> backing_ids;  // The open FDs that they were made from.
  uint32_t last_backing_id = 0;
  bool donates = true;  // As SetDonation has it; who opens a file gets `donate` in any case.
  std::map<Mid, int> calls;
  int flushes = 0;
  std::set<Mid> unsupported;
  bool is_connected = true;
  Fd donate;                         // Goes with the next open or subscription.
  CreateCommon created;              // What the last creation said.
  std::map<Mid, int> fail_with;      // An errno for every call of a message.
  std::function<void(Mid)> on_call;  // Before each call, by its thread.

 protected:
  Status Exchange(const Request& request, OnResponse on_response, Donations* donated) override;

 private:
  struct Exchanged;

  Result<FilePtr> Directory(Fdid fd);
  Result<FilePtr> Child(Fdid directory, std::string_view name);
  Fdid NewControlFd(const FilePtr& file);
  Status Serve(const Request& request, Writer& writer, Donations* donated);
  Status ServeNames(const Request& request, Writer& writer);
  Status ServeOpenFiles(const Request& request, Writer& writer);
  Status ServeXattr(const Request& request, Writer& writer);
  Result<Inode> Create(const CreateCommon& common, std::string_view name);

  std::mutex mutex_;
  Inode root_inode_;
  Fdid next_fd_ = 1;
  uint64_t next_ino_ = 100;
};

}  // namespace lisafs

#endif  // LISAFS_PLUGIN_FAKE_CLIENT_H_
