#include "control/metrics.h"

#include <initializer_list>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/program.h"
#include "base/result.h"

namespace lisafs {
namespace {

using control::v1::Event;
using control::v1::MessageStatistics;
using control::v1::MountStatistics;
using control::v1::ProcessStatistics;
using control::v1::Sandbox;

using Labels = std::initializer_list<std::pair<const char*, std::string>>;

std::string LabelValue(const std::string& text) {
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

// The text as it grows. All samples of one metric follow its header.
class Exposition {
 public:
  void Begin(const char* name, const char* type, const char* help) {
    name_ = name;
    absl::StrAppend(&text_, "# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n");
  }
  template <typename Value>
  void Add(Labels labels, Value value, const char* suffix = "") {
    absl::StrAppend(&text_, name_, suffix);
    char separator = '{';
    for (const auto& [label, content] : labels) {
      text_ += separator;
      absl::StrAppend(&text_, label, "=\"", LabelValue(content), "\"");
      separator = ',';
    }
    if (separator == ',') text_ += '}';
    absl::StrAppend(&text_, " ", value, "\n");
  }
  std::string Take() { return std::move(text_); }

 private:
  const char* name_ = "";
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

void AddHistogram(Exposition& out, const MountStatistics& mount, const MessageStatistics& message) {
  const auto& buckets = message.latency_histogram();
  uint64_t below = 0;
  int next = 0;
  for (size_t bound = kFirstBound; bound <= kLastBound; bound += kBoundStep) {
    for (; next < buckets.size() && next < static_cast<int>(bound); ++next) below += buckets[next];
    out.Add({{"sandbox", mount.sandbox_id()},
             {"mount", mount.target()},
             {"message", message.message()},
             {"le", Seconds(uint64_t{1} << bound)}},
            below, "_bucket");
  }
  for (; next < buckets.size(); ++next) below += buckets[next];
  const Labels labels = {
      {"sandbox", mount.sandbox_id()}, {"mount", mount.target()}, {"message", message.message()}, {"le", "+Inf"}};
  out.Add(labels, below, "_bucket");
  out.Add({{"sandbox", mount.sandbox_id()}, {"mount", mount.target()}, {"message", message.message()}},
          Seconds(message.latency_nanoseconds()), "_sum");
  out.Add({{"sandbox", mount.sandbox_id()}, {"mount", mount.target()}, {"message", message.message()}}, below,
          "_count");
}

void AddRequests(Exposition& out, const std::vector<MountStatistics>& mounts) {
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
    for (const MountStatistics& mount : mounts) {
      for (const MessageStatistics& message : mount.messages()) {
        out.Add({{"sandbox", mount.sandbox_id()}, {"mount", mount.target()}, {"message", message.message()}},
                (message.*metric.value)());
      }
    }
  }
  out.Begin("lisafs_request_errors_total", "counter", "Requests that gofers answered with an error.");
  for (const MountStatistics& mount : mounts) {
    for (const MessageStatistics& message : mount.messages()) {
      for (const auto& error : message.errnos()) {
        out.Add({{"sandbox", mount.sandbox_id()},
                 {"mount", mount.target()},
                 {"message", message.message()},
                 {"errno", ErrnoName(error.number())}},
                error.count());
      }
    }
  }
  out.Begin("lisafs_request_duration_seconds", "histogram",
            "Time from a request's arrival to its answer, in the gofer.");
  for (const MountStatistics& mount : mounts) {
    for (const MessageStatistics& message : mount.messages()) AddHistogram(out, mount, message);
  }
}

void AddMounts(Exposition& out, const std::vector<MountStatistics>& mounts) {
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
    for (const MountStatistics& mount : mounts) {
      out.Add({{"sandbox", mount.sandbox_id()}, {"mount", mount.target()}}, (mount.*metric.value)());
    }
  }
  out.Begin("lisafs_mount_data_hidden", "gauge", "1 if reads and writes may pass the gofer by, uncounted.");
  for (const MountStatistics& mount : mounts) {
    out.Add({{"sandbox", mount.sandbox_id()}, {"mount", mount.target()}}, mount.data_hidden() ? 1 : 0);
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
      out.Add({{"sandbox", process.sandbox_id()}, {"mount", process.mount_target()}, {"program", process.program()}},
              (process.*metric.value)());
    }
  }
  out.Begin("lisafs_process_cpu_seconds_total", "counter", "CPU time that it has used.");
  for (const ProcessStatistics& process : processes) {
    out.Add({{"sandbox", process.sandbox_id()}, {"mount", process.mount_target()}, {"program", process.program()}},
            Seconds(process.cpu_nanoseconds()));
  }
}

void AddControlPlane(Exposition& out, const Measurements& measurements) {
  uint64_t running = 0, failed = 0;
  for (const Sandbox& sandbox : measurements.sandboxes) {
    ++(sandbox.state() == Sandbox::STATE_FAILED ? failed : running);
  }
  out.Begin("lisafs_build_info", "gauge", "1, with the version of lisafsd.");
  out.Add({{"version", std::string(kVersion)}}, 1);
  out.Begin("lisafs_sandboxes", "gauge", "Sandboxes on this host, by state.");
  out.Add({{"state", "running"}}, running);
  out.Add({{"state", "failed"}}, failed);
  out.Begin("lisafs_control_calls_total", "counter", "Calls of the control plane, by gRPC code.");
  for (const auto& [call, count] : measurements.calls) out.Add({{"method", call.first}, {"code", call.second}}, count);
  out.Begin("lisafs_events_total", "counter", "What happened, as WatchEvents tells it.");
  for (const auto& [type, count] : measurements.events) {
    const std::string name = Event::Type_Name(type);
    out.Add({{"type", absl::AsciiStrToLower(absl::StripPrefix(name, "TYPE_"))}}, count);
  }
}

}  // namespace

std::string MetricsText(const Measurements& measurements) {
  Exposition out;
  AddControlPlane(out, measurements);
  AddMounts(out, measurements.mounts);
  AddRequests(out, measurements.mounts);
  AddProcesses(out, measurements.processes);
  return out.Take();
}

}  // namespace lisafs
