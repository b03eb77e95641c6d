#include "control/latency.h"

#include <algorithm>
#include <cmath>

namespace lisafs {

std::optional<uint64_t> LatencyAt(double fraction, std::span<const uint64_t> histogram) {
  double calls = 0;
  for (uint64_t count : histogram) calls += static_cast<double>(count);
  if (calls == 0) return std::nullopt;
  double wanted = fraction * calls, below = 0;
  for (size_t i = 0; i < histogram.size(); ++i) {
    double count = static_cast<double>(histogram[i]);
    if (count > 0 && below + count >= wanted) {
      double low = i == 0 ? 0 : std::ldexp(1, static_cast<int>(i));
      double high = std::ldexp(1, static_cast<int>(i) + 1);
      return static_cast<uint64_t>(low + (high - low) * std::clamp((wanted - below) / count, 0.0, 1.0));
    }
    below += count;
  }
  return std::nullopt;
}

}  // namespace lisafs
