#ifndef LISAFS_CONTROL_CLIENT_TOOLS_H_
#define LISAFS_CONTROL_CLIENT_TOOLS_H_

#include <google/protobuf/message.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <string>

#include "proto/lisafs/control/v1/control.grpc.pb.h"

// What lisafsctl's commands have in common.

namespace lisafs {

using Stub = control::v1::Control::Stub;

// Of a call that does not go on for ever: without another one, of one that answers at once.
void SetDeadline(grpc::ClientContext& context, std::chrono::seconds patience = std::chrono::seconds(10));

// To standard output, at once. Ends the program if nobody takes it.
void Print(const std::string& text);
// One message as protobuf says it in JSON, for a stream on a line of its own.
void PrintJson(const google::protobuf::Message& message, bool one_line);

// All pages of a list as one response.
template <typename Request, typename Response>
grpc::Status CallForAll(Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                        Request request, Response& response) {
  do {
    grpc::ClientContext context;
    SetDeadline(context);
    Response page;
    grpc::Status status = (stub.*method)(&context, request, &page);
    if (!status.ok()) return status;
    request.set_page_token(page.next_page_token());
    page.clear_next_page_token();
    response.MergeFrom(page);
  } while (!request.page_token().empty());
  return grpc::Status::OK;
}

}  // namespace lisafs

#endif  // LISAFS_CONTROL_CLIENT_TOOLS_H_
