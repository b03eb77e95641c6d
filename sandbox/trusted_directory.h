#ifndef LISAFS_SANDBOX_TRUSTED_DIRECTORY_H_
#define LISAFS_SANDBOX_TRUSTED_DIRECTORY_H_

#include <string>

#include "absl/status/status.h"

namespace lisafs {

// Whether `path` is a directory in which nobody but root and the process's own user makes, renames or removes anything,
// and which nobody else can put another in the place of: neither it nor what leads to it, symbolic links included, may
// be others' or writable for others. What is above it may be a directory like /tmp, in which only owners remove.
//
// NOT_FOUND: there is none. FAILED_PRECONDITION: it may not be trusted; the message names what is wrong where.
absl::Status CheckTrustedDirectory(const std::string& path);

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_TRUSTED_DIRECTORY_H_
