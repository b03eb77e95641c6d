#ifndef LISAFS_PROTO_COMPATIBILITY_H_
#define LISAFS_PROTO_COMPATIBILITY_H_

#include <google/protobuf/descriptor.pb.h>

#include <string>
#include <vector>

namespace lisafs {

// What of `before` a client that was made for it would miss in `after`, or understand wrongly: calls, messages, fields
// and enumerators that are gone, or have another name, number, type or place. Each as a line, such as
// "lisafs.control.v1.Sandbox.id: its type was string and is bytes". What `after` has in addition is fine.
std::vector<std::string> BreakingChanges(const google::protobuf::FileDescriptorSet& before,
                                         const google::protobuf::FileDescriptorSet& after);

}  // namespace lisafs

#endif  // LISAFS_PROTO_COMPATIBILITY_H_
