#ifndef LISAFS_CONTROL_GUARDED_SERVICE_H_
#define LISAFS_CONTROL_GUARDED_SERVICE_H_

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/support/method_handler.h>

#include <functional>
#include <list>
#include <string>

#include "control/gate.h"

namespace lisafs {

// A gRPC service whose methods can be called through the gate only: it has no others than those that were added with a
// role. A method of the definition that was not added is answered with UNIMPLEMENTED.
//
//   MyService::MyService(Gate& gate) : GuardedService("my.package.Service", gate) {
//     Serve("GetThing", Role::kReader, &MyService::GetThing);
//     Serve("DeleteThing", Role::kAdmin, &MyService::DeleteThing);
//   }
class GuardedService : public grpc::Service {
 protected:
  // `gate` must outlive the service.
  GuardedService(std::string full_name, Gate& gate) : full_name_(std::move(full_name)), gate_(gate) {}

  template <typename Derived, typename Request, typename Response>
  void Serve(const std::string& name, Role role,
             grpc::Status (Derived::*method)(grpc::ServerContext*, const Request*, Response*)) {
    std::function<grpc::Status(Derived*, grpc::ServerContext*, const Request*, Response*)> call =
        [this, method, passed = Gate::Method{name, role, /*is_stream=*/false}](
            Derived* service, grpc::ServerContext* context, const Request* request, Response* response) {
          return gate_.Pass(*context, passed, *request, [&] { return (service->*method)(context, request, response); });
        };
    Add(name, grpc::internal::RpcMethod::NORMAL_RPC,
        new grpc::internal::RpcMethodHandler<Derived, Request, Response, grpc::protobuf::MessageLite,
                                             grpc::protobuf::MessageLite>(std::move(call),
                                                                          static_cast<Derived*>(this)));
  }

  template <typename Derived, typename Request, typename Response>
  void Serve(const std::string& name, Role role,
             grpc::Status (Derived::*method)(grpc::ServerContext*, const Request*, grpc::ServerWriter<Response>*)) {
    std::function<grpc::Status(Derived*, grpc::ServerContext*, const Request*, grpc::ServerWriter<Response>*)> call =
        [this, method, passed = Gate::Method{name, role, /*is_stream=*/true}](
            Derived* service, grpc::ServerContext* context, const Request* request,
            grpc::ServerWriter<Response>* writer) {
          return gate_.Pass(*context, passed, *request, [&] { return (service->*method)(context, request, writer); });
        };
    Add(name, grpc::internal::RpcMethod::SERVER_STREAMING,
        new grpc::internal::ServerStreamingHandler<Derived, Request, Response>(std::move(call),
                                                                               static_cast<Derived*>(this)));
  }

 private:
  // Takes the handler over.
  void Add(const std::string& name, grpc::internal::RpcMethod::RpcType type, grpc::internal::MethodHandler* handler) {
    // The method keeps the pointer.
    const std::string& path = paths_.emplace_back("/" + full_name_ + "/" + name);
    AddMethod(new grpc::internal::RpcServiceMethod(path.c_str(), type, handler));
  }

  const std::string full_name_;
  std::list<std::string> paths_;
  Gate& gate_;
};

}  // namespace lisafs

#endif  // LISAFS_CONTROL_GUARDED_SERVICE_H_
