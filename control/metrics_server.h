#ifndef LISAFS_CONTROL_METRICS_SERVER_H_
#define LISAFS_CONTROL_METRICS_SERVER_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lisafs {

// GET /metrics over HTTP on an address of the loopback, on threads of its own.
class MetricsServer {
 public:
  using Writer = absl::FunctionRef<void(absl::string_view)>;

  // `address` is "127.0.0.1:PORT"; a port of 0 takes a free one. `metrics` is asked for each scrape, by any
  // thread, and writes the text in as many pieces as it likes.
  // FAILED_PRECONDITION: it cannot listen there.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(const std::string& address,
                                                              std::function<void(Writer)> metrics);
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
