#ifndef LISAFS_CONTROL_STATE_DIRECTORY_H_
#define LISAFS_CONTROL_STATE_DIRECTORY_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/fd.h"
#include "proto/lisafs/state/v1/state.pb.h"
#include "sandbox/program_log.h"

namespace lisafs {

// STATE_DIR/ID: what lisafsd keeps of one sandbox. Copies name the same directory. Any thread may use it; the registry
// sees to it that no two write at once.
//
//   sandbox.json   SandboxState
//   counters       a CountersPage that the gofer writes
//   claims         a PluginClaimsPage that the plugin writes
//   policy         a LivePolicyPage that the gofer and the plugin read
//   container      the process that the container is
//   mount-N        the same of a mount that was added to it
//   removed        in a mount's: it is being removed, and whoever finds this goes on with that
//   gofer.log      what they write to stderr, each with its FIFO (sandbox/program_log.h)
//   plugin.log
//   broker.log
class SandboxDirectory {
 public:
  explicit SandboxDirectory(std::string path) : path_(std::move(path)) {}

  // New, zeroed but for its header, and open for reading and writing.
  absl::StatusOr<Fd> CreateCounters() const;
  absl::StatusOr<Fd> OpenCounters() const;
  // New and zeroed, for the plugin; to read. NOT_FOUND: the sandbox is of an earlier lisafsd, or has no plugin.
  absl::StatusOr<Fd> CreateClaims() const;
  absl::StatusOr<Fd> OpenClaims() const;
  // What the mounts allow at the moment, as a LivePolicyPage: new and without a restriction, or as it is; for reading
  // and writing, or for the programs to read.
  absl::StatusOr<Fd> CreatePolicy() const;
  absl::StatusOr<Fd> OpenPolicy() const;
  absl::StatusOr<Fd> OpenPolicyForProgram() const;
  // New and empty.
  absl::StatusOr<ProgramLog> CreateGoferLog() const { return ProgramLog::Create(path_ + "/gofer.log"); }
  absl::StatusOr<ProgramLog> CreatePluginLog() const { return ProgramLog::Create(path_ + "/plugin.log"); }
  absl::StatusOr<ProgramLog> CreateBrokerLog() const { return ProgramLog::Create(path_ + "/broker.log"); }
  // All of them, to go on with.
  absl::StatusOr<std::vector<ProgramLog>> OpenLogs() const;

  // Replaces what was there at once: a reader finds the old state or the new. Fills in version and boot id.
  absl::Status WriteState(state::v1::SandboxState state) const;
  // FAILED_PRECONDITION: it is of another version or of another boot of the machine. DATA_LOSS: it makes no sense.
  absl::StatusOr<state::v1::SandboxState> ReadState() const;

  // Whoever makes the container writes there which process it is (CreateSandboxResponse.container_file).
  std::string ContainerFile() const { return path_ + "/container"; }
  struct ContainerProcess {
    pid_t pid;
    uint64_t start_time;
  };
  // FAILED_PRECONDITION: it has not been written yet.
  absl::StatusOr<ContainerProcess> ReadContainer() const;

  // What is kept of the mount that was added as number `number`: a directory like this one. Create: new and empty.
  SandboxDirectory Added(uint32_t number) const;
  absl::StatusOr<SandboxDirectory> CreateAdded(uint32_t number) const;
  // The numbers of those that are there, in order.
  std::vector<uint32_t> AddedNumbers() const;

  // Of an added mount: makes that file / takes it away again.
  absl::Status MarkRemoved() const;
  absl::Status UnmarkRemoved() const;
  bool IsMarkedRemoved() const;

  // With the files above and added mounts' directories; anything else in it is an error.
  absl::Status Remove() const;

 private:
  std::string path_;
};

// STATE_DIR: a directory for each sandbox, and for one lisafsd at a time.
class StateDirectory {
 public:
  // Makes the directory if it is not there, accessible to its owner alone. FAILED_PRECONDITION: another lisafsd uses
  // it, or others than root could change what is in it (CheckTrustedDirectory).
  static absl::StatusOr<StateDirectory> Open(const std::string& path);

  // The sandboxes that have a directory, in order. What is in it is not looked at.
  absl::StatusOr<std::vector<std::string>> Ids() const;
  // A new, empty one.
  absl::StatusOr<SandboxDirectory> Create(const std::string& id) const;
  SandboxDirectory Get(const std::string& id) const { return SandboxDirectory(path_ + "/" + id); }

 private:
  StateDirectory(std::string path, Fd lock) : path_(std::move(path)), lock_(std::move(lock)) {}

  std::string path_;
  Fd lock_;  // The directory, locked.
};

}  // namespace lisafs

#endif  // LISAFS_CONTROL_STATE_DIRECTORY_H_
