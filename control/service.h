#ifndef LISAFS_CONTROL_SERVICE_H_
#define LISAFS_CONTROL_SERVICE_H_

#include <atomic>
#include <chrono>

#include "control/events.h"
#include "control/registry.h"
#include "proto/lisafs/control/v1/control.grpc.pb.h"

namespace lisafs {

// The gRPC service of control.proto: checks what it is asked, and asks the registry.
class ControlService final : public control::v1::Control::Service {
 public:
  // Both must outlive the service.
  ControlService(Registry& registry, Events& events) : registry_(registry), events_(events) {}

  // Ends the calls that would go on for ever, before the server is shut down.
  void Stop() { stopping_ = true; }

  grpc::Status CreateSandbox(grpc::ServerContext* context, const control::v1::CreateSandboxRequest* request,
                             control::v1::CreateSandboxResponse* response) override;
  grpc::Status ListSandboxes(grpc::ServerContext* context, const control::v1::ListSandboxesRequest* request,
                             control::v1::ListSandboxesResponse* response) override;
  grpc::Status GetSandbox(grpc::ServerContext* context, const control::v1::GetSandboxRequest* request,
                          control::v1::GetSandboxResponse* response) override;
  grpc::Status DeleteSandbox(grpc::ServerContext* context, const control::v1::DeleteSandboxRequest* request,
                             control::v1::DeleteSandboxResponse* response) override;
  grpc::Status ListMounts(grpc::ServerContext* context, const control::v1::ListMountsRequest* request,
                          control::v1::ListMountsResponse* response) override;
  grpc::Status GetStatistics(grpc::ServerContext* context, const control::v1::GetStatisticsRequest* request,
                             control::v1::GetStatisticsResponse* response) override;
  grpc::Status WatchStatistics(grpc::ServerContext* context, const control::v1::WatchStatisticsRequest* request,
                               grpc::ServerWriter<control::v1::WatchStatisticsResponse>* writer) override;
  grpc::Status WatchEvents(grpc::ServerContext* context, const control::v1::WatchEventsRequest* request,
                           grpc::ServerWriter<control::v1::WatchEventsResponse>* writer) override;

 private:
  // What a call that would go on for ever ends with.
  grpc::Status WhyStopped(const grpc::ServerContext& context) const;
  // Sleeps until `end`; false if the call was cancelled, its deadline passed or the service stopped meanwhile.
  bool SleepUntil(const grpc::ServerContext& context, std::chrono::steady_clock::time_point end) const;

  Registry& registry_;
  Events& events_;
  std::atomic<bool> stopping_ = false;
};

}  // namespace lisafs

#endif  // LISAFS_CONTROL_SERVICE_H_
