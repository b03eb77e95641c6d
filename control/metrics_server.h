#ifndef LISAFS_CONTROL_METRICS_SERVER_H_
#define LISAFS_CONTROL_METRICS_SERVER_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace lisafs {

// GET /metrics over HTTP on an address of the loopback, on threads of its own.
class MetricsServer {
 public:
  // `address` is "127.0.0.1:PORT"; a port of 0 takes a free one. `text` is asked for each scrape, by any thread.
  // FAILED_PRECONDITION: it cannot listen there.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(const std::string& address,
                                                              std::function<std::string()> text);
  ~MetricsServer();

  // Where it listens.
  const std::string& address() const;

 private:
  struct Impl;
  explicit MetricsServer(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace lisafs

#endif  // LISAFS_CONTROL_METRICS_SERVER_H_
