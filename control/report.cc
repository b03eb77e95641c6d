#include "control/report.h"

#include "base/escape.h"
#include "control/table.h"

namespace lisafs {
namespace {

using control::v1::MessageStatistics;
using control::v1::MountSpec;
using control::v1::MountStatistics;
using control::v1::Sandbox;

std::string StateName(Sandbox::State state) {
  switch (state) {
    case Sandbox::STATE_RUNNING:
      return "running";
    case Sandbox::STATE_FAILED:
      return "failed";
    default:
      return "unknown";
  }
}

std::string Pid(int32_t pid) { return pid == 0 ? "-" : std::to_string(pid); }

std::string Rate(uint64_t per_second, uint64_t burst) {
  return std::to_string(per_second) + (burst != 0 ? "/" + std::to_string(burst) : "");
}

// As mount(8) writes them, and what has been taken away since.
std::string Options(const control::v1::Mount& mount) {
  const MountSpec& spec = mount.spec();
  const control::v1::MountPolicy& policy = mount.policy();
  std::string options = spec.read_only() || policy.read_only() ? "ro" : "rw";
  if (spec.nosuid()) options += ",nosuid";
  if (spec.nodev()) options += ",nodev";
  if (spec.noexec()) options += ",noexec";
  if (spec.recursive()) options += ",rec";
  if (spec.has_id_map()) options += spec.id_map_recursive() ? ",ridmap" : ",idmap";
  if (policy.cache() == MountSpec::CACHE_EXCLUSIVE) options += ",exclusive";
  if (policy.cache() == MountSpec::CACHE_SHARED) options += ",shared";
  if (spec.withhold_descriptors() || policy.withhold_descriptors()) options += ",withhold";
  if (spec.donate_mount_point()) options += ",directfs";
  if (spec.withhold_passthrough() || policy.withhold_passthrough()) options += ",nopassthrough";
  if (spec.open_host_sockets()) options += ",uds-open";
  if (spec.create_host_sockets()) options += ",uds-create";
  if (spec.open_host_fifos()) options += ",fifo";
  const control::v1::MountLimits& limits = policy.limits();
  if (limits.operations_per_second() != 0) {
    options += ",ops=" + Rate(limits.operations_per_second(), limits.operations_burst());
  }
  if (limits.bytes_per_second() != 0) options += ",bytes=" + Rate(limits.bytes_per_second(), limits.bytes_burst());
  if (policy.revoked()) options += ",revoked";
  return options;
}

std::string Latency(uint64_t nanoseconds) { return nanoseconds == 0 ? "-" : FormatNanoseconds(nanoseconds); }

// What plugins say may be anything.
uint64_t AddSaturating(uint64_t a, uint64_t b) { return a + b < a ? UINT64_MAX : a + b; }

std::string Claims(const MountStatistics& mount) {
  std::string kinds;
  uint64_t requests = 0, alone = 0;
  for (const control::v1::PluginClaim& claim : mount.plugin_claims()) {
    requests = AddSaturating(requests, claim.requests());
    alone = AddSaturating(alone, claim.answered_alone());
    kinds += (kinds.empty() ? "" : ", ") + Escape(claim.kind()) + " " + FormatCount(claim.answered_alone()) + " of " +
             FormatCount(claim.requests());
  }
  return "Of " + FormatCount(requests) + " requests of the kernel the plugin says that it answered " +
         FormatCount(alone) + " without the gofer: " + kinds + ".\n";
}

// A blank line before all groups but the first.
void StartGroup(std::string& out, const std::string& heading) {
  if (!out.empty()) out += "\n";
  out += heading + "\n";
}

}  // namespace

std::string SandboxesReport(const control::v1::ListSandboxesResponse& response,
                            std::chrono::system_clock::time_point now) {
  if (response.sandboxes().empty()) return "no sandboxes\n";
  // The name comes last: engines give names of 64 characters.
  Table table({{"STATE"},
               {"GOFER", Table::Align::kRight},
               {"PLUGIN", Table::Align::kRight},
               {"MOUNTS", Table::Align::kRight},
               {"AGE", Table::Align::kRight},
               {"NAME"}});
  std::string failures;
  for (const Sandbox& sandbox : response.sandboxes()) {
    auto created = std::chrono::system_clock::from_time_t(sandbox.create_time().seconds());
    table.AddRow({StateName(sandbox.state()), Pid(sandbox.gofer_pid()),
                  sandbox.has_own_client() ? "none" : Pid(sandbox.plugin_pid()), std::to_string(sandbox.mounts_size()),
                  FormatAge(std::chrono::duration_cast<std::chrono::seconds>(now - created)), sandbox.id()});
    if (!sandbox.failure().empty()) {
      failures += "\n" + Escape(sandbox.id()) + " failed: " + Escape(sandbox.failure()) + "\n";
    }
  }
  return table.ToString() + failures;
}

std::string MountsReport(const control::v1::ListMountsResponse& response) {
  if (response.entries().empty()) return "no mounts\n";
  std::string out;
  for (int i = 0; i < response.entries_size();) {
    const std::string& sandbox = response.entries(i).sandbox_id();
    std::string failures;
    Table table({{"TARGET"},
                 {"OPTIONS"},
                 {"FILES", Table::Align::kRight},
                 {"OPEN", Table::Align::kRight},
                 {"CHANNELS", Table::Align::kRight},
                 {"SOURCE"}});
    for (; i < response.entries_size() && response.entries(i).sandbox_id() == sandbox; ++i) {
      const control::v1::Mount& mount = response.entries(i).mount();
      table.AddRow({mount.spec().target(), Options(mount), FormatCount(mount.control_fds()),
                    FormatCount(mount.open_fds()), FormatCount(mount.channels()), mount.spec().source()});
      if (!mount.failure().empty()) {
        failures += Escape(mount.spec().target()) + " failed: " + Escape(mount.failure()) + "\n";
      }
    }
    StartGroup(out, "sandbox " + Escape(sandbox));
    out += table.ToString() + failures;
  }
  return out;
}

std::string StatisticsReport(const google::protobuf::RepeatedPtrField<MountStatistics>& mounts) {
  if (mounts.empty()) return "no mounts\n";
  std::string out;
  for (const MountStatistics& mount : mounts) {
    StartGroup(out, "sandbox " + Escape(mount.sandbox_id()) + " mount " + Escape(mount.target()));
    Table table({{"MESSAGE"},
                 {"CALLS", Table::Align::kRight},
                 {"ERRORS", Table::Align::kRight},
                 {"P50", Table::Align::kRight},
                 {"P99", Table::Align::kRight},
                 {"RECEIVED", Table::Align::kRight},
                 {"SENT", Table::Align::kRight}});
    for (const MessageStatistics& message : mount.messages()) {
      table.AddRow({message.message(), FormatCount(message.calls()), FormatCount(message.errors()),
                    Latency(message.latency_p50_nanoseconds()), Latency(message.latency_p99_nanoseconds()),
                    FormatBytes(message.bytes_received()), FormatBytes(message.bytes_sent())});
    }
    out += table.empty() ? "not used yet\n" : table.ToString();
    if (mount.plugin_claims_size() > 0) out += Claims(mount);
    if (mount.data_hidden())
      out +=
          "Reads and writes that the kernel passes through, or through descriptors that the host gave away, are not "
          "counted.\n";
  }
  return out;
}

}  // namespace lisafs
