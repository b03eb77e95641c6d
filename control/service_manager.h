#ifndef LISAFS_CONTROL_SERVICE_MANAGER_H_
#define LISAFS_CONTROL_SERVICE_MANAGER_H_

#include <chrono>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "base/fd.h"

// What systemd and a service agree on: a socket that it listens on already, and being told how the service is. Without
// systemd all of it does nothing.

namespace lisafs {

// The unix socket that this process was started for; none if it was not. To be called once. FAILED_PRECONDITION: it was
// given something else.
absl::StatusOr<std::optional<Fd>> TakeActivationSocket();

// How often the service manager wants to hear that the service lives, half of what it allows; nothing if it does not.
std::optional<std::chrono::microseconds> WatchdogInterval();

void NotifyReady(const std::string& status);
void NotifyAlive();
void NotifyStopping();

}  // namespace lisafs

#endif  // LISAFS_CONTROL_SERVICE_MANAGER_H_
