#include "tests/interop/gvisor_server.h"

#include <chrono>
#include <map>

#include "tests/support/files.h"
#include "tests/support/process.h"

namespace lisafs::tests {
namespace {

constexpr int kAbsent = 77;  // run_go.sh's status where the vintage is not installed.

GvisorServer Build(const std::string& vintage, const std::string& path) {
  Ran ran =
      RunProgram({DataFile("tests/interop/run_go.sh"), vintage, "build", "-o", path, "lisafs/tests/interop/fsgofer"},
                 {.timeout = std::chrono::minutes(10)});
  if (ran.ok()) return {.path = path};
  if (ran.status == kAbsent) return {.why_not = ran.out.substr(0, ran.out.find('\n'))};
  return {.why_not = "building gVisor's server: " + ran.err, .broken = true};
}

}  // namespace

const GvisorServer& GetGvisorServer(const std::string& vintage) {
  struct Built {
    TempDir directory;
    std::map<std::string, GvisorServer> servers;
  };
  static Built built;
  auto [entry, is_new] = built.servers.try_emplace(vintage);
  if (is_new) entry->second = Build(vintage, built.directory / vintage);
  return entry->second;
}

}  // namespace lisafs::tests
