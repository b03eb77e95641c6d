#ifndef LISAFS_CONTROL_TOP_COMMAND_H_
#define LISAFS_CONTROL_TOP_COMMAND_H_

#include <chrono>

#include "control/client_tools.h"
#include "control/top.h"

namespace lisafs {

struct TopOptions {
  std::string sandbox;  // Empty: all.
  std::chrono::milliseconds interval = std::chrono::seconds(1);
  int rounds = 0;  // 0: until interrupted.
  TopOrder order = TopOrder::kCalls;
};

// Shows the busiest mounts again and again: on a terminal in place, with keys to sort and to quit, otherwise one table
// after the other.
grpc::Status Top(Stub& stub, const TopOptions& options);

}  // namespace lisafs

#endif  // LISAFS_CONTROL_TOP_COMMAND_H_
