#include "control/errors.h"

#include <gtest/gtest.h>

#include "base/status.h"
#include "proto/google/rpc/error_details.pb.h"
#include "proto/google/rpc/status.pb.h"

namespace lisafs {
namespace {

google::rpc::Status Details(const grpc::Status& status) {
  google::rpc::Status details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  return details;
}

TEST(ErrorsTest, CarryAReasonThroughAnnotations) {
  absl::Status status = Annotate("web", WithReason(absl::NotFoundError("gone"), "SANDBOX_NOT_FOUND", {{"id", "web"}}));
  grpc::Status error = ToGrpc(status);
  EXPECT_EQ(error.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(error.error_message(), "web: gone");
  EXPECT_EQ(ReasonOf(error), "SANDBOX_NOT_FOUND");
  google::rpc::Status details = Details(error);
  EXPECT_EQ(details.code(), static_cast<int>(grpc::StatusCode::NOT_FOUND));
  ASSERT_EQ(details.details_size(), 1);
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(details.details(0).UnpackTo(&info));
  EXPECT_EQ(info.domain(), "lisafs");
  EXPECT_EQ(info.metadata().at("id"), "web");
}

TEST(ErrorsTest, AreNamedAfterTheirCodeOtherwise) {
  EXPECT_EQ(ReasonOf(ToGrpc(absl::InternalError("x"))), "INTERNAL");
  EXPECT_EQ(ReasonOf(grpc::Status::CANCELLED), "");
  EXPECT_TRUE(ToGrpc(absl::OkStatus()).ok());
}

TEST(ErrorsTest, NameTheFieldThatIsWrong) {
  google::rpc::Status details = Details(ToGrpc(absl::InvalidArgumentError("mount 1: target: missing")));
  ASSERT_EQ(details.details_size(), 2);
  google::rpc::BadRequest request;
  ASSERT_TRUE(details.details(1).UnpackTo(&request));
  EXPECT_EQ(request.field_violations(0).field(), "mount 1: target");
  EXPECT_EQ(request.field_violations(0).description(), "missing");
}

}  // namespace
}  // namespace lisafs
