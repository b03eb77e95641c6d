#ifndef LISAFS_CONTROL_RECORD_COMMAND_H_
#define LISAFS_CONTROL_RECORD_COMMAND_H_

#include <chrono>
#include <string>

#include "control/client_tools.h"

namespace lisafs {

// Records which files of a mount are used for so long, and prints them: a line each with "r", "w" and "x" for what was
// done with the file, in the order of their paths; as JSON, each response as it comes.
grpc::Status Record(Stub& stub, const std::string& sandbox, const std::string& target, std::chrono::milliseconds time,
                    bool json);

}  // namespace lisafs

#endif  // LISAFS_CONTROL_RECORD_COMMAND_H_
