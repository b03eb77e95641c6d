#ifndef LISAFS_BROKER_PROTOCOL_H_
#define LISAFS_BROKER_PROTOCOL_H_

#include <cstdint>

// What a gofer and its broker say to each other on a SEQPACKET socket: one struct a message, requests answered in
// order.

namespace lisafs {

enum class BrokerOperation : uint32_t {
  kOpen = 1,   // Comes with the descriptor of a regular file. Answered.
  kClose = 2,  // Not answered.
};

struct BrokerRequest {
  BrokerOperation operation;
  uint32_t mount;       // Whose FUSE file system: the mount's number on the gofer's command line.
  uint32_t backing_id;  // Of kClose.
};

struct BrokerReply {
  int32_t result;  // The backing id, or a negative errno.
};

}  // namespace lisafs

#endif  // LISAFS_BROKER_PROTOCOL_H_
