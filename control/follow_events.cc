#include "control/follow_events.h"

#include <google/protobuf/util/time_util.h>

#include <chrono>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/escape.h"

namespace lisafs {
namespace {

namespace v1 = control::v1;

void PrintResponse(const v1::WatchEventsResponse& response, bool json) {
  if (json) {
    if (response.restarted() || response.missed() > 0 || response.events_size() > 0) PrintJson(response, true);
    return;
  }
  if (response.restarted()) Print("-- another lisafsd runs: what happened in between is not known\n");
  if (response.missed() > 0) Print(absl::StrCat("-- ", response.missed(), " events were missed\n"));
  for (const v1::Event& event : response.events()) Print(EventLine(event));
}

}  // namespace

std::string EventLine(const v1::Event& event) {
  using google::protobuf::util::TimeUtil;
  const auto seconds = TimeUtil::MillisecondsToTimestamp(TimeUtil::TimestampToMilliseconds(event.time()));
  const std::string type = v1::Event::Type_Name(event.type());
  std::string line =
      absl::StrCat(TimeUtil::ToString(seconds), " ", absl::AsciiStrToLower(absl::StripPrefix(type, "TYPE_")));
  if (!event.sandbox_id().empty()) absl::StrAppend(&line, " ", Escape(event.sandbox_id()));
  if (!event.mount_target().empty()) absl::StrAppend(&line, " ", Escape(event.mount_target()));
  return absl::StrCat(line, ": ", Escape(event.message()), "\n");
}

grpc::Status FollowEvents(Stub& stub, v1::WatchEventsRequest request, bool json) {
  constexpr auto kBetweenTries = std::chrono::seconds(1);
  while (true) {
    grpc::ClientContext context;
    auto reader = stub.WatchEvents(&context, request);
    v1::WatchEventsResponse response;
    while (reader->Read(&response)) {
      request.set_resume_token(response.resume_token());
      PrintResponse(response, json);
    }
    grpc::Status status = reader->Finish();
    if (status.error_code() != grpc::StatusCode::UNAVAILABLE || request.resume_token().empty()) return status;
    std::this_thread::sleep_for(kBetweenTries);
  }
}

}  // namespace lisafs
