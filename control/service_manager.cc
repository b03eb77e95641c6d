#include "control/service_manager.h"

#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include "base/status.h"

namespace lisafs {

absl::StatusOr<std::optional<Fd>> TakeActivationSocket() {
  const int count = sd_listen_fds(/*unset_environment=*/1);
  if (count < 0) return ErrnoStatus(-count, "LISTEN_FDS");
  if (count == 0) return std::nullopt;
  if (count > 1) return absl::FailedPreconditionError("LISTEN_FDS: more than one socket");
  Fd socket(SD_LISTEN_FDS_START);
  if (sd_is_socket_unix(socket.get(), SOCK_STREAM, /*listening=*/1, nullptr, 0) <= 0) {
    return absl::FailedPreconditionError("LISTEN_FDS: not a unix stream socket that listens");
  }
  return socket;
}

std::optional<std::chrono::microseconds> WatchdogInterval() {
  uint64_t microseconds = 0;
  if (sd_watchdog_enabled(/*unset_environment=*/1, &microseconds) <= 0) return std::nullopt;
  return std::chrono::microseconds(microseconds / 2);
}

void NotifyReady(const std::string& status) { sd_notify(0, ("READY=1\nSTATUS=" + status).c_str()); }
void NotifyAlive() { sd_notify(0, "WATCHDOG=1"); }
void NotifyStopping() { sd_notify(0, "STOPPING=1"); }

}  // namespace lisafs
