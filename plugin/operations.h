#ifndef LISAFS_PLUGIN_OPERATIONS_H_
#define LISAFS_PLUGIN_OPERATIONS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/result.h"
#include "lisafs/client.h"
#include "lisafs/live_policy.h"
#include "lisafs/plugin_claims.h"
#include "plugin/absent_names.h"
#include "plugin/fuse_kernel.h"
#include "plugin/handle.h"
#include "plugin/inode_table.h"
#include "plugin/io_modes.h"
#include "plugin/open_directories.h"
#include "plugin/open_file_cache.h"
#include "plugin/prompt_closing.h"
#include "plugin/request.h"
#include "plugin/waker_link.h"
#include "plugin/watches.h"

namespace lisafs {

// How long the kernel may believe what it was told.
struct Lifetime {
  uint64_t seconds = 0;
  uint32_t nanoseconds = 0;
};
// Where nobody but the kernel itself, through this file system, changes anything.
inline constexpr Lifetime kEndlessLifetime = {uint64_t{1} << 32};
// Where others do, and we are told: long enough to be useful, and the limit of any mistake.
inline constexpr Lifetime kWatchedLifetime = {10};
// Where they do unseen. Also of what is in files: stores through mappings on the host make no event.
inline constexpr Lifetime kShortLifetime = {1};
// Of a directory that is not watched yet, and will be when it is asked about again.
inline constexpr Lifetime kBriefLifetime = {0, 50'000'000};

inline constexpr std::string_view kDefaultAcl = "system.posix_acl_default";
inline constexpr std::string_view kCapabilities = "security.capability";
// Nanoseconds for which a file is taken to lack them, as far as nobody is heard to change that.
inline constexpr uint64_t kXattrLifetime = kShortLifetime.seconds * uint64_t{1'000'000'000};

struct MountOptions {
  bool read_only = false;
  bool exclusive = false;  // Nobody else changes the files, unless the policy says that others do.
  // Have the kernel read and write by itself the host's files that are at least this large when they are opened, where
  // it can. A small one is read in a message or two, sooner than the kernel is told of the host's file.
  std::optional<uint64_t> passthrough_from;
  // What the server allows at the moment: it sees to that itself, but for what is done with descriptors that it donated
  // earlier. Outlives the mount.
  const LivePolicy* policy = &kNoRestrictions;
  // What is counted of the kernel's requests. Null: nowhere. Outlives the mount.
  PluginClaims* claims = nullptr;
};

// One mount's FUSE operations: each takes a request of the kernel and asks the server what it takes to answer it.
// Any number of threads may serve requests at once.
//
// Errors are the server's errnos. A request that cannot be served because the connection is gone gets EIO; one that the
// kernel need not ask again, since this file system or its server does not know it, gets ENOSYS.
class Operations {
 public:
  // `client` must outlive this.
  Operations(Client& client, const MountOptions& options, WakerSocket waker = {});

  // Serves one request as read from the kernel. The answer is left in `reply`; gives its errno, or 0.
  int Serve(std::span<const std::byte> request, Reply& reply);

  // For who tells the kernel what others change. Subscribes to that: an error if there is nobody to say it, or no need.
  Result<Fd> Subscribe();
  // From now on others wait for what the container closes. Once; throws std::system_error if there is no thread.
  void ClosePromptly();
  // What the kernel knows already is watched as if it had been looked into now: there may be those who watch it.
  void WatchKnown();
  // For when others begin to change the files: closes what is kept open for those who open it again.
  void DropAllKeptOpen();
  // Whether nobody else changes the files at the moment.
  bool exclusive() const { return options_.exclusive && !(options_.policy->Restrictions() & kShared); }
  InodeTable& nodes() { return nodes_; }
  AbsentNames& absent() { return absent_; }
  Watches& watches() { return watches_; }
  WakerLink& waker() { return waker_; }

  // The kernel did not take the reply: undoes what it would have come to hold.
  void TakeBack(Reply& reply);

 private:
  static constexpr uint64_t kRootId = 1;

  struct Dispatch;  // The table of operations by opcode.

  // A request: who asks for which node, and the arguments that are not of a fixed size.
  struct Call {
    const fuse_in_header& header;
    Arguments arguments;
  };
  // Of operations without arguments of a fixed size.
  struct None {};

  // operations.cc
  Status Init(Call& call, const None&, Reply& reply);
  Status Destroy(Call& call, const None&, Reply& reply);

  // operations_attr.cc: what a file is
  Status Lookup(Call& call, const None&, Reply& reply);
  Status Forget(Call& call, const fuse_forget_in& in, Reply& reply);
  Status BatchForget(Call& call, const fuse_batch_forget_in& in, Reply& reply);
  Status GetAttr(Call& call, const fuse_getattr_in& in, Reply& reply);
  Status GetStatx(Call& call, const FuseStatxIn& in, Reply& reply);
  Status SetAttr(Call& call, const fuse_setattr_in& in, Reply& reply);
  Status ReadLink(Call& call, const None&, Reply& reply);
  Status StatFs(Call& call, const None&, Reply& reply);

  // operations_file.cc: open files
  Status Open(Call& call, const fuse_open_in& in, Reply& reply);
  Status Create(Call& call, const fuse_create_in& in, Reply& reply);
  Status TmpFile(Call& call, const fuse_create_in& in, Reply& reply);
  Status Release(Call& call, const fuse_release_in& in, Reply& reply);
  Status Flush(Call& call, const fuse_flush_in& in, Reply& reply);

  // operations_data.cc: what is in them
  Status Read(Call& call, const fuse_read_in& in, Reply& reply);
  Status Write(Call& call, const fuse_write_in& in, Reply& reply);
  Status FSync(Call& call, const fuse_fsync_in& in, Reply& reply);
  Status FAllocate(Call& call, const fuse_fallocate_in& in, Reply& reply);
  Status LSeek(Call& call, const fuse_lseek_in& in, Reply& reply);
  Status CopyFileRange(Call& call, const fuse_copy_file_range_in& in, Reply& reply);
  Status Ioctl(Call& call, const fuse_ioctl_in& in, Reply& reply);

  // operations_directory.cc: listing
  Status ReadDir(Call& call, const fuse_read_in& in, Reply& reply);
  Status ReadDirPlus(Call& call, const fuse_read_in& in, Reply& reply);
  Status FSyncDir(Call& call, const fuse_fsync_in& in, Reply& reply);
  Status List(const Call& call, const fuse_read_in& in, Reply& reply, const Pinned* with_attributes);
  // An open FD of the directory.
  Result<std::shared_ptr<Handle>> OpenDirectory(const NodeRef& directory);
  // Which state of the directory's watch, and of who else may change it, a look at its names belongs to. / Whether the
  // locked listing is what is in it.
  uint64_t LookStamp(const Node& directory) const;
  bool IsPresent(const Node& directory, DirectoryListing& listing) const;
  // Looks at what is in the directory if somebody who reads its locked listing from `position` on needs that, and at
  // attributes if `stat_size` is not 0. Gives the open FD that was used, if one was.
  Result<std::shared_ptr<Handle>> PrepareListing(const NodeRef& directory, uint64_t position, uint32_t stat_size,
                                                 DirectoryListing::Stats& stats);

  // operations_names.cc: names made, removed and changed
  Status MakeDir(Call& call, const fuse_mkdir_in& in, Reply& reply);
  Status MakeNode(Call& call, const fuse_mknod_in& in, Reply& reply);
  Status Symlink(Call& call, const None&, Reply& reply);
  Status Link(Call& call, const fuse_link_in& in, Reply& reply);
  Status Unlink(Call& call, const None&, Reply& reply);
  Status RemoveDir(Call& call, const None&, Reply& reply);
  Status Rename(Call& call, const fuse_rename_in& in, Reply& reply);
  Status Rename2(Call& call, const fuse_rename2_in& in, Reply& reply);

  // operations_xattr.cc: extended attributes
  Status SetXattr(Call& call, const None&, Reply& reply);
  Status GetXattr(Call& call, const fuse_getxattr_in& in, Reply& reply);
  Status ListXattr(Call& call, const fuse_getxattr_in& in, Reply& reply);
  Status RemoveXattr(Call& call, const None&, Reply& reply);

  // operations_wake.cc: what lisafs-waker does. False: to be served as anybody's. It changes nothing on the server;
  // `changes`: somebody else's request would.
  Result<bool> ServeWaker(Call& call, bool changes, Reply& reply);
  Result<bool> LookupForWaker(Call& call, Wake* wake, Reply& reply);
  Status CreateForWaker(Call& call, bool directory, Wake* wake, Reply& reply);
  Status SetAttrForWaker(Call& call, const Wake* wake, Reply& reply);
  Status OpenForWaker(const Call& call, const Wake* wake, Reply& reply);
  void Resolve(Wake& wake);
  bool IsAt(const NodeRef& directory, std::string_view name, const NodeRef& file);
  // The entry of a file that is, or was, known; of one that only seems to be there.
  void FillKnown(const Wake& wake, const NodeRef& file, bool is_going, Reply& reply);
  void FillPretended(bool directory, Reply& reply);
  Statx PretendedStat(uint64_t nodeid) const;

  // Serve, but for counting.
  int ServeUncounted(std::span<const std::byte> request, Reply& reply);

  // Shared by several of them.

  // Takes back the kernel's lookups of a node.
  void ForgetNode(uint64_t nodeid, uint64_t lookups);
  // What `name` in the directory is now. ENOENT if nothing.
  Result<Statx> StatChild(const Pinned& directory, std::string_view name);
  // A node's attributes, by its control FD if it has one, and otherwise by its name.
  Result<Statx> StatNode(uint64_t nodeid);
  // Those of the open file `fh` if `flags` (FUSE_GETATTR_*) say that it is one.
  Result<Statx> StatNodeOrHandle(uint64_t nodeid, uint32_t flags, uint64_t fh);
  // Sets what `request` says but for its fd. An attribute that could not be set is an error.
  Status SetStat(const Pinned& node, SetStatReq request);
  // Whether the mount is revoked and the node passed through: then the kernel is to be told of a file without a type.
  bool Condemn(uint64_t nodeid);
  // Removes the set-id bits that a change by an unprivileged process removes.
  Status DropSetId(const Pinned& node, Reply& reply);

  // Makes and opens a file, or opens the one that is there; false if that one was gone when it was to be opened.
  Result<bool> TryCreate(const Pinned& directory, std::string_view name, const fuse_in_header& header,
                         const fuse_create_in& in, Reply& reply);
  // Counts the kernel's lookup of a child and fills its entry in.
  void AddEntry(const Pinned& directory, std::string_view name, const Inode& child, fuse_entry_out& entry,
                Reply& reply);
  // The same of a node that is known already under `nodeid`, with a lookup counted.
  void FillEntry(uint64_t nodeid, const Statx& stat, fuse_entry_out& entry, Reply& reply);
  void FillAttributes(const Statx& stat, fuse_attr& attributes) const;
  // A file's number as applications see it.
  uint64_t ShownIno(uint64_t ino, uint32_t dev_major, uint32_t dev_minor) const;

  CreateCommon Creation(const Pinned& directory, const fuse_in_header& header, uint32_t mode) const;
  // The mode that a new file in the directory gets of the one that was asked for.
  uint32_t Masked(const Pinned& directory, uint32_t mode, uint32_t umask);
  // How deep the file system must count as stacked so that files of the root's own may be passed through.
  uint32_t StackDepth();
  // How long the kernel may believe what a name leads to, or that it leads to nothing; and a node's attributes.
  Lifetime EntryLifetime(const Node& directory) const;
  Lifetime AbsenceLifetime(const Node& directory, std::string_view name);
  Lifetime AttributeLifetime(uint64_t nodeid);
  // `out` is an answer, or a part of one, with attributes.
  template <typename Out>
  void SetAttributeLifetime(Out& out, uint64_t nodeid) {
    const Lifetime lifetime = AttributeLifetime(nodeid);
    out.attr_valid = lifetime.seconds;
    out.attr_valid_nsec = lifetime.nanoseconds;
  }
  // A directory, and the mount's single file, can be watched.
  bool IsWatchable(const Node& node) const { return node.is_directory() || node.id() == kRootId; }
  // Opens the node's file with O_ACCMODE's bits and O_TRUNC of `flags`.
  Result<std::shared_ptr<Handle>> OpenNode(const Pinned& node, uint32_t flags);
  // Whether the open file's content is what the kernel has cached of it.
  bool IsUnchanged(const Handle& handle);
  // A file that was opened before and is open still, for a request to open it with `flags`; null if there is none.
  std::shared_ptr<Handle> FindKeptOpen(uint64_t nodeid, uint32_t flags);
  // Keeps what was opened with `flags` for the next one, if that can be. / No more, since the file is changed.
  void KeepOpen(const std::shared_ptr<Handle>& handle, uint32_t flags);
  void DropKeptOpen(uint64_t nodeid);
  // Tells the kernel of an open file, and how to read and write it. `is_new`: it has just been made.
  void AddHandle(std::shared_ptr<Handle> handle, bool is_new, fuse_open_out& open, Reply& reply);
  void RemoveHandle(uint64_t fh);
  // The open file `fh`; or the node's, if that is 0 since the kernel has opened it by itself.
  Result<std::shared_ptr<Handle>> FindOpen(uint64_t nodeid, uint64_t fh);
  Result<std::shared_ptr<Handle>> FindData(uint64_t nodeid, uint64_t fh);
  // Whether the handle's file is to be used by the descriptor that the server donated.
  bool UsesHost(const Handle& handle) const {
    return handle.host && !(options_.policy->Restrictions() & kBypassDonated);
  }

  Status Remove(Call& call, uint32_t flags);
  Status RenameChild(Call& call, uint64_t new_directory, uint32_t flags);
  // A child that is about to lose its name gets a control FD, by which it stays reachable if it is still in use
  // and a descriptor is to be had.
  Pinned PinDoomed(const Pinned& directory, std::string_view name);

  Client& client_;
  const MountOptions options_;
  // Whether the kernel is told that it need not ask before it opens a file, nor say when it is closed: there is nothing
  // to be done then but to pass it through.
  const bool opens_by_itself_ = options_.read_only && options_.exclusive && !options_.passthrough_from;
  const Identity root_;
  InodeTable nodes_;
  AbsentNames absent_;
  HandleTable handles_;
  IoModes io_modes_;
  OpenDirectories open_directories_;
  OpenFileCache open_files_;
  Watches watches_;
  std::atomic<bool> generations_differ_ = false;  // Some node's is not 0.
  WakerLink waker_;
  std::atomic<uint32_t> pretended_ = 0;
  std::unique_ptr<PromptClosing> prompt_closing_;
  std::atomic<PromptClosing*> closes_promptly_ = nullptr;  // That, for any thread.
};

}  // namespace lisafs

#endif  // LISAFS_PLUGIN_OPERATIONS_H_
