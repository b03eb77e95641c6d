#include "control/metrics.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "base/program.h"
#include "base/result.h"

namespace lisafs {
namespace {

using control::v1::Event;
using control::v1::MessageStatistics;
using control::v1::MountStatistics;
using control::v1::PluginClaim;
using control::v1::ProcessStatistics;
using control::v1::Sandbox;

std::string LabelValue(absl::string_view text) {
  std::string escaped;
  for (char c : text) {
    if (c == '\\' || c == '"') escaped += '\\';
    if (c == '\n') {
      escaped += "\\n";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

// name="value",name="value": written once for the many samples that carry them.
using Labels = std::string;
Labels LabelsOf(std::initializer_list<std::pair<const char*, absl::string_view>> labels) {
  Labels text;
  for (const auto& [label, value] : labels) {
    absl::StrAppend(&text, text.empty() ? "" : ",", label, "=\"", LabelValue(value), "\"");
  }
  return text;
}

// The text as it is written. All samples of one metric follow its header.
class Exposition {
 public:
  explicit Exposition(absl::FunctionRef<void(absl::string_view)> write) : write_(write) {}
  ~Exposition() { write_(text_); }
  void Begin(const char* name, const char* type, const char* help) {
    name_ = name;
    absl::StrAppend(&text_, "# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n");
  }
  // `more` are further labels, with a comma before them.
  void Add(const Labels& labels, const absl::AlphaNum& value, absl::string_view suffix = "",
           absl::string_view more = "") {
    for (absl::string_view part : {name_, suffix, absl::string_view("{"), absl::string_view(labels), more,
                                   absl::string_view("} "), value.Piece(), absl::string_view("\n")}) {
      text_.append(part.data(), part.size());
    }
    if (text_.size() < kPiece) return;
    write_(text_);
    text_.clear();
  }

 private:
  static constexpr size_t kPiece = 1 << 16;

  const absl::FunctionRef<void(absl::string_view)> write_;
  absl::string_view name_;
  std::string text_;
};

// Exact to the nanosecond, which the default of six digits is not.
std::string Seconds(uint64_t nanoseconds) {
  std::string fraction = absl::StrCat(absl::Dec(nanoseconds % 1'000'000'000, absl::kZeroPad9));
  return absl::StrCat(nanoseconds / 1'000'000'000, ".", fraction);
}

std::string ErrnoName(int number) {
  const std::string text = Errno(number).ToString();
  return text.substr(0, text.find(':'));
}

// Of the histogram's buckets, which are powers of two nanoseconds, every other one: from 1 us to 17 s.
constexpr size_t kFirstBound = 10, kLastBound = 34, kBoundStep = 2;

// The labels of the buckets.
std::vector<std::string> Bounds() {
  std::vector<std::string> bounds;
  for (size_t bound = kFirstBound; bound <= kLastBound; bound += kBoundStep) {
    bounds.push_back(absl::StrCat(",le=\"", Seconds(uint64_t{1} << bound), "\""));
  }
  return bounds;
}

void AddHistogram(Exposition& out, const Labels& labels, const MessageStatistics& message) {
  static const std::vector<std::string> bounds = Bounds();
  const auto& buckets = message.latency_histogram();
  uint64_t below = 0;
  size_t next = 0;
  const size_t end = static_cast<size_t>(buckets.size());
  for (size_t i = 0; i < bounds.size(); ++i) {
    for (; next < std::min(end, kFirstBound + i * kBoundStep); ++next) below += buckets[static_cast<int>(next)];
    out.Add(labels, below, "_bucket", bounds[i]);
  }
  for (; next < end; ++next) below += buckets[static_cast<int>(next)];
  out.Add(labels, below, "_bucket", ",le=\"+Inf\"");
  out.Add(labels, Seconds(message.latency_nanoseconds()), "_sum");
  out.Add(labels, below, "_count");
}

// A mount's statistics, with its labels and those of its messages.
struct LabelledMount {
  explicit LabelledMount(const MountStatistics& of)
      : mount(of), labels(LabelsOf({{"sandbox", of.sandbox_id()}, {"mount", of.target()}})) {
    messages.reserve(static_cast<size_t>(of.messages_size()));
    for (const MessageStatistics& message : of.messages()) {
      messages.emplace_back(absl::StrCat(labels, ",", LabelsOf({{"message", message.message()}})), &message);
    }
  }

  const MountStatistics& mount;
  const Labels labels;
  std::vector<std::pair<Labels, const MessageStatistics*>> messages;
};

void AddRequests(Exposition& out, const std::vector<LabelledMount>& mounts) {
  struct Metric {
    const char* name;
    const char* help;
    uint64_t (MessageStatistics::*value)() const;
  };
  const Metric metrics[] = {
      {"lisafs_requests_total", "Requests that gofers answered.", &MessageStatistics::calls},
      {"lisafs_received_bytes_total", "Payload bytes of requests.", &MessageStatistics::bytes_received},
      {"lisafs_sent_bytes_total", "Payload bytes of answers.", &MessageStatistics::bytes_sent},
  };
  for (const Metric& metric : metrics) {
    out.Begin(metric.name, "counter", metric.help);
    for (const LabelledMount& mount : mounts) {
      for (const auto& [labels, message] : mount.messages) out.Add(labels, (message->*metric.value)());
    }
  }
  out.Begin("lisafs_request_errors_total", "counter", "Requests that gofers answered with an error.");
  for (const LabelledMount& mount : mounts) {
    for (const auto& [labels, message] : mount.messages) {
      for (const auto& error : message->errnos()) {
        out.Add(labels, error.count(), "", absl::StrCat(",errno=\"", ErrnoName(error.number()), "\""));
      }
    }
  }
  out.Begin("lisafs_request_duration_seconds", "histogram",
            "Time from a request's arrival to its answer, in the gofer.");
  for (const LabelledMount& mount : mounts) {
    for (const auto& [labels, message] : mount.messages) AddHistogram(out, labels, *message);
  }
}

void AddMounts(Exposition& out, const std::vector<LabelledMount>& mounts) {
  struct Metric {
    const char* name;
    const char* type;
    const char* help;
    uint64_t (MountStatistics::*value)() const;
  };
  const Metric metrics[] = {
      {"lisafs_mount_control_fds", "gauge", "Files that the gofer has in hand for the client.",
       &MountStatistics::control_fds},
      {"lisafs_mount_open_fds", "gauge", "Files that the gofer has open for the client.", &MountStatistics::open_fds},
      {"lisafs_mount_channels", "gauge", "Shared-memory channels that are up.", &MountStatistics::channels},
      {"lisafs_mount_refused_total", "counter", "Requests answered with EACCES, EPERM or EROFS.",
       &MountStatistics::refused},
      {"lisafs_mount_exhausted_total", "counter", "Requests answered with EMFILE, ENFILE, ENOSPC or EDQUOT.",
       &MountStatistics::exhausted},
      {"lisafs_mount_channel_calls_total", "counter", "Requests over shared memory.", &MountStatistics::channel_calls},
      {"lisafs_mount_socket_calls_total", "counter", "Requests over the socket.", &MountStatistics::socket_calls},
      {"lisafs_mount_passthrough_opens_total", "counter",
       "Files opened for passthrough, whose reads and writes are not counted.", &MountStatistics::passthrough_opens},
  };
  for (const Metric& metric : metrics) {
    out.Begin(metric.name, metric.type, metric.help);
    for (const LabelledMount& each : mounts) out.Add(each.labels, (each.mount.*metric.value)());
  }
  out.Begin("lisafs_mount_data_hidden", "gauge", "1 if reads and writes may pass the gofer by, uncounted.");
  for (const LabelledMount& each : mounts) out.Add(each.labels, each.mount.data_hidden() ? 1 : 0);
}

Labels LabelsOf(const ProcessStatistics& process) {
  return LabelsOf(
      {{"sandbox", process.sandbox_id()}, {"mount", process.mount_target()}, {"program", process.program()}});
}

void AddClaims(Exposition& out, const std::vector<LabelledMount>& mounts) {
  struct Metric {
    const char* name;
    const char* help;
    uint64_t (PluginClaim::*value)() const;
  };
  const Metric metrics[] = {
      {"lisafs_plugin_claimed_requests_total", "Requests of the kernel, as the plugin says, which is not trusted.",
       &PluginClaim::requests},
      {"lisafs_plugin_claimed_answers_total", "Of them those that it says it answered without the gofer.",
       &PluginClaim::answered_alone},
  };
  for (const Metric& metric : metrics) {
    out.Begin(metric.name, "counter", metric.help);
    for (const LabelledMount& each : mounts) {
      for (const PluginClaim& claim : each.mount.plugin_claims()) {
        out.Add(absl::StrCat(each.labels, ",", LabelsOf({{"kind", claim.kind()}})), (claim.*metric.value)());
      }
    }
  }
}

void AddProcesses(Exposition& out, const std::vector<ProcessStatistics>& processes) {
  struct Metric {
    const char* name;
    const char* help;
    uint64_t (ProcessStatistics::*value)() const;
  };
  const Metric metrics[] = {
      {"lisafs_process_resident_memory_bytes", "Memory that a process of lisafs has resident.",
       &ProcessStatistics::resident_bytes},
      {"lisafs_process_open_fds", "Descriptors that it has open.", &ProcessStatistics::open_fds},
      {"lisafs_process_threads", "Threads that it has.", &ProcessStatistics::threads},
  };
  for (const Metric& metric : metrics) {
    out.Begin(metric.name, "gauge", metric.help);
    for (const ProcessStatistics& process : processes) {
      out.Add(LabelsOf(process), (process.*metric.value)());
    }
  }
  out.Begin("lisafs_process_cpu_seconds_total", "counter", "CPU time that it has used.");
  for (const ProcessStatistics& process : processes) {
    out.Add(LabelsOf(process), Seconds(process.cpu_nanoseconds()));
  }
}

void AddControlPlane(Exposition& out, const Measurements& measurements) {
  uint64_t running = 0, failed = 0;
  for (const Sandbox& sandbox : measurements.sandboxes) {
    ++(sandbox.state() == Sandbox::STATE_FAILED ? failed : running);
  }
  out.Begin("lisafs_build_info", "gauge", "1, with the version of lisafsd.");
  out.Add(LabelsOf({{"version", std::string(kVersion)}}), 1);
  out.Begin("lisafs_sandboxes", "gauge", "Sandboxes on this host, by state.");
  out.Add(LabelsOf({{"state", "running"}}), running);
  out.Add(LabelsOf({{"state", "failed"}}), failed);
  out.Begin("lisafs_control_calls_total", "counter", "Calls of the control plane, by gRPC code.");
  for (const auto& [call, count] : measurements.calls)
    out.Add(LabelsOf({{"method", call.first}, {"code", call.second}}), count);
  out.Begin("lisafs_events_total", "counter", "What happened, as WatchEvents tells it.");
  for (const auto& [type, count] : measurements.events) {
    const std::string name = Event::Type_Name(type);
    out.Add(LabelsOf({{"type", absl::AsciiStrToLower(absl::StripPrefix(name, "TYPE_"))}}), count);
  }
}

}  // namespace

void WriteMetrics(const Measurements& measurements, absl::FunctionRef<void(absl::string_view)> write) {
  Exposition out(write);
  AddControlPlane(out, measurements);
  const std::vector<LabelledMount> mounts(measurements.mounts.begin(), measurements.mounts.end());
  AddMounts(out, mounts);
  AddRequests(out, mounts);
  AddClaims(out, mounts);
  AddProcesses(out, measurements.processes);
}

}  // namespace lisafs
