#include "control/record_command.h"

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/escape.h"

namespace lisafs {

namespace v1 = control::v1;

namespace {

// A letter, or a dash, for each.
std::string ModeOf(const v1::FileAccess& file) {
  std::string mode;
  for (auto [done, letter] : {std::pair(file.looked_up(), 'l'),
                              {file.read(), 'r'},
                              {file.written(), 'w'},
                              {file.executed(), 'x'},
                              {file.made(), 'c'},
                              {file.removed(), 'd'},
                              {file.attributes_changed(), 'a'},
                              {file.missing(), 'm'},
                              {file.refused(), '!'}}) {
    mode += done ? letter : '-';
  }
  return mode;
}

}  // namespace

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
  uint64_t missed = 0;
  v1::RecordAccessResponse response;
  while (reader->Read(&response)) {
    if (json) PrintJson(response, /*one_line=*/true);
    incomplete |= response.incomplete();
    missed += response.missed();
    for (const v1::FileAccess& file : response.files()) {
      modes[file.path()] = ModeOf(file);
    }
  }
  grpc::Status status = reader->Finish();
  if (!json) {
    for (const auto& [path, mode] : modes) Print(absl::StrCat(mode, " ", Escape(path), "\n"));
    if (missed > 0) Print(absl::StrCat("-- missed ", missed, ": too much happened at once\n"));
    if (incomplete && missed == 0) Print("-- not all of it: there are too many paths\n");
  }
  // That is how the time ends.
  return status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED ? grpc::Status::OK : status;
}

}  // namespace lisafs
