#ifndef LISAFS_SANDBOX_RUNTIME_REPORT_H_
#define LISAFS_SANDBOX_RUNTIME_REPORT_H_

#include <string_view>

#include "sandbox/runtime_arguments.h"

namespace lisafs {

// Says on stderr what went wrong, and in the log file that the engine gave the low-level runtime, if any, in the format
// it asked for: engines show their users what they find there.
void ReportError(const RuntimeArguments& arguments, std::string_view what, std::string_view why);

// Exits with kExitFailure after ReportError.
[[noreturn]] void Abandon(const RuntimeArguments& arguments, std::string_view what, std::string_view why);

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_RUNTIME_REPORT_H_
