#ifndef LISAFS_CONTROL_FOLLOW_EVENTS_H_
#define LISAFS_CONTROL_FOLLOW_EVENTS_H_

#include <string>

#include "control/client_tools.h"

namespace lisafs {

// One line of `lisafsctl events`.
std::string EventLine(const control::v1::Event& event);

// Prints events, a line each, until it is interrupted. When lisafsd goes away it waits for the next one and goes on
// where it was; what was missed is said on a line of its own. Returns if the first call fails, or one for another
// reason.
grpc::Status FollowEvents(Stub& stub, control::v1::WatchEventsRequest request, bool json);

}  // namespace lisafs

#endif  // LISAFS_CONTROL_FOLLOW_EVENTS_H_
