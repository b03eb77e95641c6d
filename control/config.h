#ifndef LISAFS_CONTROL_CONFIG_H_
#define LISAFS_CONTROL_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "control/caller.h"
#include "control/gate.h"
#include "control/prepared_sandbox.h"

namespace lisafs {

// What lisafsd is told, with its defaults. docs/operations.md describes the keys of the file.
struct Config {
  std::string socket = "/run/lisafs/control.sock";
  std::string state_directory = "/run/lisafs/state";
  SandboxPrograms programs;

  AccessRules access;
  Gate::Limits limits;
  int max_message_bytes = 1 << 20;
  int max_streams_per_connection = 64;
  int max_threads = 256;

  std::string metrics_address;  // "127.0.0.1:9469"; empty: none.

  std::string log_destination = "stderr";  // Or "journald", or a file's path.
  bool log_json = false;
  std::string log_level = "info";
  std::string audit_file;  // Empty: into the log.

  std::string tls_address;  // "0.0.0.0:7420"; empty: none.
  std::string tls_certificate, tls_key, tls_client_ca;
};

// Where lisafsd looks for its file if it is not told.
inline constexpr char kDefaultConfigPath[] = "/etc/lisafs/lisafsd.toml";

// Sets what the TOML file at `path` says. INVALID_ARGUMENT: "PATH:LINE: KEY: why", also for a key that is not known.
// NOT_FOUND: there is no such file.
absl::Status ReadConfig(const std::string& path, Config& config);

// The keys that a file may have: "socket", "access.reader_group".
std::vector<std::string> ConfigKeys();

// "ADDRESS:PORT" or "[ADDRESS]:PORT" of this machine's loopback.
bool IsLoopbackAddress(const std::string& address);

}  // namespace lisafs

#endif  // LISAFS_CONTROL_CONFIG_H_
