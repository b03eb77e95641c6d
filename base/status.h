#ifndef LISAFS_BASE_STATUS_H_
#define LISAFS_BASE_STATUS_H_

#include <string.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

// The control plane's errors: absl::Status with a message that an operator can act on, "what: what in it: why".

namespace lisafs {

// "No such file or directory": the reason alone, with the code that an errno stands for.
inline absl::Status ErrnoStatus(int error) { return absl::Status(absl::ErrnoToStatusCode(error), strerror(error)); }

// "what: No such file or directory".
inline absl::Status ErrnoStatus(int error, const std::string& what) { return absl::ErrnoToStatus(error, what); }

// The same error, of `what`.
inline absl::Status Annotate(const std::string& what, const absl::Status& status) {
  if (status.ok()) return status;
  absl::Status annotated(status.code(), absl::StrCat(what, ": ", status.message()));
  status.ForEachPayload([&](absl::string_view type, const absl::Cord& value) { annotated.SetPayload(type, value); });
  return annotated;
}

}  // namespace lisafs

#define LISAFS_RETURN_IF_NOT_OK(expr)                                 \
  do {                                                                \
    if (absl::Status status_ = (expr); !status_.ok()) return status_; \
  } while (false)

#endif  // LISAFS_BASE_STATUS_H_
