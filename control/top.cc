#include "control/top.h"

#include <google/protobuf/util/time_util.h>
#include <stdio.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/escape.h"
#include "control/latency.h"
#include "control/table.h"

namespace lisafs {
namespace {

namespace v1 = control::v1;

// What a mount has been asked for, all messages together.
struct Sums {
  uint64_t calls = 0, errors = 0, bytes_received = 0, bytes_sent = 0;
  uint64_t asked = 0, alone = 0;  // Of the plugin, as it says. May wrap.
  std::vector<uint64_t> histogram;
};

Sums SumUp(const v1::MountStatistics& mount) {
  Sums sums;
  for (const v1::MessageStatistics& message : mount.messages()) {
    sums.calls += message.calls();
    sums.errors += message.errors();
    sums.bytes_received += message.bytes_received();
    sums.bytes_sent += message.bytes_sent();
    const auto size = static_cast<size_t>(message.latency_histogram_size());
    if (sums.histogram.size() < size) sums.histogram.resize(size);
    for (size_t i = 0; i < size; ++i) sums.histogram[i] += message.latency_histogram(static_cast<int>(i));
  }
  for (const v1::PluginClaim& claim : mount.plugin_claims()) {
    sums.asked += claim.requests();
    sums.alone += claim.answered_alone();
  }
  return sums;
}

// A mount that has counted less than before is another one of the same name.
uint64_t Since(uint64_t before, uint64_t now) { return now >= before ? now - before : now; }

struct Row {
  std::string name;
  double calls, errors, received, sent;  // A second.
  uint64_t p50 = 0, p99 = 0;             // Nanoseconds.
  std::optional<double> alone;           // What part of the kernel's requests the plugin says that it answered alone.
};

Row MakeRow(const std::string& name, const Sums& before, Sums now, double seconds) {
  auto rate = [&](uint64_t Sums::*member) { return static_cast<double>(Since(before.*member, now.*member)) / seconds; };
  Row row = {.name = name,
             .calls = rate(&Sums::calls),
             .errors = rate(&Sums::errors),
             .received = rate(&Sums::bytes_received),
             .sent = rate(&Sums::bytes_sent)};
  if (const uint64_t asked = Since(before.asked, now.asked); asked > 0) {
    row.alone = std::min(1.0, static_cast<double>(Since(before.alone, now.alone)) / static_cast<double>(asked));
  }
  for (size_t i = 0; i < std::min(before.histogram.size(), now.histogram.size()); ++i) {
    now.histogram[i] = Since(before.histogram[i], now.histogram[i]);
  }
  row.p50 = LatencyAt(0.5, now.histogram).value_or(0);
  row.p99 = LatencyAt(0.99, now.histogram).value_or(0);
  return row;
}

// "812", "12.3k", "4.5M".
std::string FormatRate(double rate) {
  const char* unit = "";
  for (const char* larger : {"k", "M", "G"}) {
    if (rate < 999.5) break;
    rate /= 1000;
    unit = larger;
  }
  char text[32];
  snprintf(text, sizeof text, rate < 99.95 && *unit != '\0' ? "%.1f%s" : "%.0f%s", rate, unit);
  return text;
}

std::string FormatLatency(uint64_t nanoseconds) { return nanoseconds == 0 ? "-" : FormatNanoseconds(nanoseconds); }

// Engines give ids of 64 characters, of which people use the first twelve.
std::string Name(const v1::MountStatistics& mount) {
  return absl::StrCat(mount.sandbox_id().substr(0, 12), " ", mount.target());
}

bool Before(const Row& a, const Row& b, TopOrder order) {
  auto key = [order](const Row& row) -> double {
    switch (order) {
      case TopOrder::kCalls:
        return row.calls;
      case TopOrder::kErrors:
        return row.errors;
      case TopOrder::kLatency:
        return static_cast<double>(row.p99);
      case TopOrder::kBytes:
        return row.received + row.sent;
      case TopOrder::kName:
        break;
    }
    return 0;
  };
  return key(a) != key(b) ? key(a) > key(b) : a.name < b.name;
}

const char* OrderName(TopOrder order) {
  switch (order) {
    case TopOrder::kCalls:
      return "calls";
    case TopOrder::kErrors:
      return "errors";
    case TopOrder::kLatency:
      return "latency";
    case TopOrder::kBytes:
      return "bytes";
    case TopOrder::kName:
      break;
  }
  return "name";
}

// The first so many lines, each cut to the width.
std::string Cut(const std::string& text, size_t lines, size_t columns) {
  std::string cut;
  for (size_t at = 0; at < text.size() && lines > 0; --lines) {
    const size_t end = text.find('\n', at);
    cut += text.substr(at, std::min(end - at, columns)) + "\n";
    at = end + 1;
  }
  return cut;
}

}  // namespace

std::optional<TopOrder> TopOrderOfKey(char key) {
  switch (key) {
    case 'c':
      return TopOrder::kCalls;
    case 'e':
      return TopOrder::kErrors;
    case 'l':
      return TopOrder::kLatency;
    case 'b':
      return TopOrder::kBytes;
    case 'n':
      return TopOrder::kName;
    default:
      return std::nullopt;
  }
}

std::string TopScreen(const v1::GetStatisticsResponse& before, const v1::GetStatisticsResponse& now, TopOrder order,
                      size_t lines, size_t columns) {
  using google::protobuf::util::TimeUtil;
  const double seconds =
      std::max(1e-3, static_cast<double>(TimeUtil::DurationToNanoseconds(now.time() - before.time())) * 1e-9);
  std::map<std::pair<std::string, std::string>, Sums> earlier;
  for (const v1::MountStatistics& mount : before.mounts()) earlier[{mount.sandbox_id(), mount.target()}] = SumUp(mount);
  std::vector<Row> rows;
  std::set<std::string> sandboxes;
  double calls = 0, errors = 0;
  for (const v1::MountStatistics& mount : now.mounts()) {
    sandboxes.insert(mount.sandbox_id());
    rows.push_back(MakeRow(Name(mount), earlier[{mount.sandbox_id(), mount.target()}], SumUp(mount), seconds));
    calls += rows.back().calls;
    errors += rows.back().errors;
  }
  std::sort(rows.begin(), rows.end(), [order](const Row& a, const Row& b) { return Before(a, b, order); });

  Table table({{"CALLS/S", Table::Align::kRight},
               {"ERR/S", Table::Align::kRight},
               {"P50", Table::Align::kRight},
               {"P99", Table::Align::kRight},
               {"IN/S", Table::Align::kRight},
               {"OUT/S", Table::Align::kRight},
               {"ALONE", Table::Align::kRight},
               {"SANDBOX MOUNT"}});
  for (const Row& row : rows) {
    table.AddRow({FormatRate(row.calls), FormatRate(row.errors), FormatLatency(row.p50), FormatLatency(row.p99),
                  FormatBytes(static_cast<uint64_t>(row.received)), FormatBytes(static_cast<uint64_t>(row.sent)),
                  row.alone ? absl::StrCat(static_cast<int>(*row.alone * 100), "%") : "-", row.name});
  }
  const std::string heading =
      absl::StrCat(sandboxes.size(), " sandboxes, ", rows.size(), " mounts, ", FormatRate(calls), " calls/s, ",
                   FormatRate(errors), " errors/s, by ", OrderName(order), "\n");
  return Cut(heading + table.ToString(), lines, columns);
}

}  // namespace lisafs
