#include "control/record_command.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "base/escape.h"

namespace lisafs {

namespace v1 = control::v1;

grpc::Status Record(Stub& stub, const std::string& sandbox, const std::string& target, std::chrono::milliseconds time,
                    bool json) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + time);
  v1::RecordAccessRequest request;
  request.set_sandbox_id(sandbox);
  request.set_target(target);
  auto reader = stub.RecordAccess(&context, request);
  std::map<std::string, std::string> modes;
  bool incomplete = false;
  v1::RecordAccessResponse response;
  while (reader->Read(&response)) {
    if (json) PrintJson(response, /*one_line=*/true);
    incomplete |= response.incomplete();
    for (const v1::FileAccess& file : response.files()) {
      modes[file.path()] =
          absl::StrCat(file.read() ? "r" : "-", file.written() ? "w" : "-", file.executed() ? "x" : "-");
    }
  }
  grpc::Status status = reader->Finish();
  if (!json) {
    for (const auto& [path, mode] : modes) Print(absl::StrCat(mode, " ", Escape(path), "\n"));
    if (incomplete) Print("-- not all of it: too much happened\n");
  }
  // That is how the time ends.
  return status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED ? grpc::Status::OK : status;
}

}  // namespace lisafs
