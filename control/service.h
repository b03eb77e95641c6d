#ifndef LISAFS_CONTROL_SERVICE_H_
#define LISAFS_CONTROL_SERVICE_H_

#include <atomic>
#include <chrono>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "control/events.h"
#include "control/gate.h"
#include "control/guarded_service.h"
#include "control/registry.h"
#include "proto/lisafs/control/v1/control.grpc.pb.h"

namespace lisafs {

// The gRPC service of control.proto: checks what it is asked, and asks the registry. Its constructor is the table of
// who may call what.
class ControlService final : public GuardedService {
 public:
  // All must outlive the service.
  ControlService(Registry& registry, Events& events, Gate& gate);

  // Ends the calls that would go on for ever, before the server is shut down.
  void Stop() { stopping_ = true; }

 private:
  grpc::Status CreateSandbox(grpc::ServerContext* context, const control::v1::CreateSandboxRequest* request,
                             control::v1::CreateSandboxResponse* response);
  grpc::Status ListSandboxes(grpc::ServerContext* context, const control::v1::ListSandboxesRequest* request,
                             control::v1::ListSandboxesResponse* response);
  grpc::Status GetSandbox(grpc::ServerContext* context, const control::v1::GetSandboxRequest* request,
                          control::v1::GetSandboxResponse* response);
  grpc::Status DeleteSandbox(grpc::ServerContext* context, const control::v1::DeleteSandboxRequest* request,
                             control::v1::DeleteSandboxResponse* response);
  grpc::Status ListMounts(grpc::ServerContext* context, const control::v1::ListMountsRequest* request,
                          control::v1::ListMountsResponse* response);
  grpc::Status AddMount(grpc::ServerContext* context, const control::v1::AddMountRequest* request,
                        control::v1::AddMountResponse* response);
  grpc::Status RemoveMount(grpc::ServerContext* context, const control::v1::RemoveMountRequest* request,
                           control::v1::RemoveMountResponse* response);
  grpc::Status UpdateMount(grpc::ServerContext* context, const control::v1::UpdateMountRequest* request,
                           control::v1::UpdateMountResponse* response);
  grpc::Status GetStatistics(grpc::ServerContext* context, const control::v1::GetStatisticsRequest* request,
                             control::v1::GetStatisticsResponse* response);
  grpc::Status WatchStatistics(grpc::ServerContext* context, const control::v1::WatchStatisticsRequest* request,
                               grpc::ServerWriter<control::v1::WatchStatisticsResponse>* writer);
  grpc::Status WatchEvents(grpc::ServerContext* context, const control::v1::WatchEventsRequest* request,
                           grpc::ServerWriter<control::v1::WatchEventsResponse>* writer);
  grpc::Status RecordAccess(grpc::ServerContext* context, const control::v1::RecordAccessRequest* request,
                            grpc::ServerWriter<control::v1::RecordAccessResponse>* writer);

  // The sandboxes that a request is about: the one with this id, or the page it wants of all of them.
  template <typename Request, typename Response>
  absl::StatusOr<std::vector<std::string>> Page(const std::string& id, const Request& request,
                                                Response& response) const;
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
