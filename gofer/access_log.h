#ifndef LISAFS_GOFER_ACCESS_LOG_H_
#define LISAFS_GOFER_ACCESS_LOG_H_

#include <cstdint>
#include <mutex>

#include "base/result.h"
#include "lisafs/access_ring.h"
#include "lisafs/connection.h"
#include "lisafs/handler_table.h"
#include "lisafs/messages.h"

namespace lisafs {

// Says in an AccessRing which paths were asked for. Any thread may use it.
class AccessLog {
 public:
  // All zero at first; outlives the log.
  explicit AccessLog(AccessRing& ring) : writer_(ring) {}

  // A request to the mount of that number, after it was answered. What is no access to a name or a file's attributes,
  // such as reading an open file, is passed over.
  void Note(uint16_t mount, Connection& connection, Mid mid, const Call& call, const Result<size_t>& result);

 private:
  friend class AccessNote;

  std::mutex mutex_;
  AccessRingWriter writer_;  // Guarded by mutex_.
};

}  // namespace lisafs

#endif  // LISAFS_GOFER_ACCESS_LOG_H_
