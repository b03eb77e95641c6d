#ifndef LISAFS_SANDBOX_ID_MAP_MESSAGE_H_
#define LISAFS_SANDBOX_ID_MAP_MESSAGE_H_

#include "proto/lisafs/control/v1/control.pb.h"
#include "sandbox/id_map.h"

namespace lisafs {

// An IdMap as the control plane's messages have it, and back, whatever is in it.
control::v1::IdMap ToMessage(const IdMap& map);
IdMap FromMessage(const control::v1::IdMap& map);

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_ID_MAP_MESSAGE_H_
