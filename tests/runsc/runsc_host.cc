#include "tests/runsc/runsc_host.h"

#include <stdlib.h>
#include <unistd.h>

#include <map>
#include <nlohmann/json.hpp>

#include "tests/support/bundle.h"

namespace lisafs::tests {
namespace {

using Json = nlohmann::json;
using Vintage = RunscMode::Vintage;

std::vector<std::string> Flags(Vintage vintage) {
  // What the machine gives them: no virtualisation, whatever cgroups it has, no network to set up.
  std::vector<std::string> flags = {"--network=none", "--ignore-cgroups"};
  flags.push_back(vintage == Vintage::kDebian ? "--platform=ptrace" : "--platform=systrap");
  return flags;
}

// Whether runsc runs with its own gofer, so that a failure is not the machine's; or what it says.
std::string WhyNotAlone(const std::string& program, const RunscMode& mode) {
  TempDir dir;
  Bundle bundle(dir / "bundle");
  MakeBusyboxRoot(bundle.rootfs());
  bundle.Write();
  std::vector<std::string> argv = {program, "--root", dir / "root"};
  for (const std::string& flag : Flags(mode.vintage)) argv.push_back(flag);
  argv.insert(argv.end(), mode.flags.begin(), mode.flags.end());
  argv.insert(argv.end(), {"run", "--bundle", bundle.path(), "lisafs-test-alone-" + std::to_string(getpid())});
  Ran ran = RunProgram(argv);
  return ran.ok() ? "" : "ended with status " + std::to_string(ran.status) + ": " + ran.err;
}

}  // namespace

void PrintTo(const RunscMode& mode, std::ostream* stream) { *stream << mode.name; }

std::string RunscModeName(const testing::TestParamInfo<RunscMode>& info) { return info.param.name; }

std::vector<RunscMode> AllRunscModes() {
  return {
      {"Debian", Vintage::kDebian, {}},
      {"DebianOverlay", Vintage::kDebian, {"--overlay2=root:memory"}, /*overlay=*/true},
      {"Newest", Vintage::kNewest, {"--directfs=false", "--overlay2=none"}},
      {"NewestOverlay", Vintage::kNewest, {"--directfs=false"}, /*overlay=*/true},
      {"NewestDirectfs", Vintage::kNewest, {"--overlay2=none"}, /*overlay=*/false, /*directfs=*/true},
      {"NewestByDefault", Vintage::kNewest, {}, /*overlay=*/true, /*directfs=*/true},
  };
}

std::vector<RunscMode> PlainRunscModes() {
  std::vector<RunscMode> plain;
  for (const RunscMode& mode : AllRunscModes()) {
    if (!mode.overlay && !mode.directfs) plain.push_back(mode);
  }
  return plain;
}

void RunscHost::SetUp() {
  if (PlainRuntime()) GTEST_SKIP() << "is about lisafs-runtime";
  Host::SetUp();
  if (IsSkipped() || HasFatalFailure()) return;
  const RunscMode& mode = GetParam();
  std::string program = RunscProgram(mode.vintage);
  if (program.empty()) {
    GTEST_SKIP() << (mode.vintage == Vintage::kDebian ? "there is no /usr/bin/runsc (Debian's package runsc)"
                                                      : "there is no newest runsc: run scripts/setup.sh");
  }
  static std::map<std::string, std::string> why_not;  // By mode.
  if (!why_not.contains(mode.name)) why_not[mode.name] = WhyNotAlone(program, mode);
  if (!why_not[mode.name].empty()) GTEST_SKIP() << program << " does not run here by itself: " << why_not[mode.name];

  std::vector<std::string> flags = {"--runtime", program};
  for (const std::string& flag : Flags(mode.vintage)) flags.push_back(flag);
  flags.insert(flags.end(), mode.flags.begin(), mode.flags.end());
  SetRuntimeFlags(flags);
}

std::string RunscHost::RunscProgram(Vintage vintage) {
  const char* cache = getenv("LISAFS_CACHE");
  std::string program = vintage == Vintage::kDebian ? "/usr" : cache == nullptr ? "/var/cache/lisafs" : cache;
  program += "/bin/runsc";
  return access(program.c_str(), X_OK) == 0 ? program : "";
}

uint64_t RunscHost::Calls(const std::string& id, const std::string& target, const std::string& message) const {
  Ran ran = Control({"--json", "stats", id});
  EXPECT_TRUE(ran.ok()) << ran;
  Json stats = Json::parse(ran.out, nullptr, /*allow_exceptions=*/false);
  if (!stats.is_object()) return 0;
  for (const Json& mount : stats.value("mounts", Json::array())) {
    if (mount.value("target", "") != target) continue;
    for (const Json& counted : mount.value("messages", Json::array())) {
      // 64-bit numbers are strings in protobuf's JSON.
      if (counted.value("message", "") == message) return std::stoull(counted.value("calls", "0"));
    }
  }
  return 0;
}

std::vector<Descendant> RunscHost::Find(const std::string& text) {
  std::vector<Descendant> found;
  for (const Descendant& descendant : Descendants()) {
    if (descendant.command_line.find(text) != std::string::npos) found.push_back(descendant);
  }
  return found;
}

}  // namespace lisafs::tests
