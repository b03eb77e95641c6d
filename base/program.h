#ifndef LISAFS_BASE_PROGRAM_H_
#define LISAFS_BASE_PROGRAM_H_

#include <string_view>
#include <type_traits>
#include <utility>

#include "base/result.h"

namespace lisafs {

// What every program of the project answers to --version, after its name.
inline constexpr std::string_view kVersion = "0.1.0";

// Exit statuses of every program.
inline constexpr int kExitSuccess = 0;
inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;

// Sets the name that errors carry; call it first thing in main. `name` must outlive the process's use of it (a
// literal).
void SetProgramName(const char* name);

// Writes "NAME: what: why" as one line to stderr. Control characters are escaped, since `what` and `why` may carry
// names that others chose.
void PrintError(std::string_view what, std::string_view why);

// PrintError and exit(kExitFailure).
[[noreturn]] void Die(std::string_view what, std::string_view why);

// PrintError and exit(kExitUsage).
[[noreturn]] void DieOfUsage(std::string_view what, std::string_view why);

// The step's result; if it failed, Die with what was tried and why it did not work.
template <typename T>
T OrDie(StepResult<T> result) {
  if (!result) Die(result.error().what, result.error().error.ToString());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

// "NAME: what: reason of errno", and exit(kExitFailure). Reads errno.
[[noreturn]] void DieErrno(std::string_view what);

}  // namespace lisafs

#endif  // LISAFS_BASE_PROGRAM_H_
