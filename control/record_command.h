#ifndef LISAFS_CONTROL_RECORD_COMMAND_H_
#define LISAFS_CONTROL_RECORD_COMMAND_H_

#include <chrono>
#include <string>

#include "control/client_tools.h"

namespace lisafs {

// Records which paths a mount is asked for, for so long, and prints them: a line each with a letter for each thing that
// was asked, as docs/operations.md has them, in the order of their paths; as JSON, each response as it comes.
grpc::Status Record(Stub& stub, const std::string& sandbox, const std::string& target, std::chrono::milliseconds time,
                    bool json);

}  // namespace lisafs

#endif  // LISAFS_CONTROL_RECORD_COMMAND_H_
