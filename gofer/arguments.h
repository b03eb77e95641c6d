#ifndef LISAFS_GOFER_ARGUMENTS_H_
#define LISAFS_GOFER_ARGUMENTS_H_

#include <sys/types.h>

#include <string>
#include <tl/expected.hpp>
#include <vector>

namespace lisafs {

// lisafs-gofer's command line.
struct GoferArguments {
  struct Mount {
    int connection = -1;    // A connected unix stream socket.
    int tree = -1;          // A detached tree (--mount), or -1:
    std::string directory;  // what to open as one (--serve).
    bool read_only = false;
    bool donate = true;
    bool uds_open = false;     // Its sockets may be connected to;
    bool uds_create = false;   // sockets may be served in it;
    bool fifo = false;         // its FIFOs may be opened.
    bool passthrough = false;  // The broker may be asked for it.
    bool watch = false;        // The client may be told what others change.
    bool alone = false;        // No other mount shows the same files: nobody need be told what the client writes.
    bool donate_mount_point = false;
  };
  std::vector<Mount> mounts;
  int counters_fd = -1;
  int policy_fd = -1;
  int broker_fd = -1;
  int ready_fd = -1;
  int lifeline_fd = -1;
  int user_namespace_fd = -1;
  uid_t file_uid = 0;  // Whose files are before they are given their owner.
  gid_t file_gid = 0;
  bool name_violations = false;  // OnViolation::kNameAndKill.
  // --help or --version was asked for: this text is to be printed, and that is all.
  std::string only_print;
};

struct UsageError {
  std::string what;  // The argument,
  std::string why;   // and what is wrong with it.
};

tl::expected<GoferArguments, UsageError> ParseGoferArguments(int argc, const char* const* argv);

}  // namespace lisafs

#endif  // LISAFS_GOFER_ARGUMENTS_H_
