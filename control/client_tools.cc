#include "control/client_tools.h"

#include <google/protobuf/util/json_util.h>

#include <cstdio>

#include "base/program.h"

namespace lisafs {

void SetDeadline(grpc::ClientContext& context, std::chrono::seconds patience) {
  context.set_deadline(std::chrono::system_clock::now() + patience);
}

void Print(const std::string& text) {
  if (fwrite(text.data(), 1, text.size(), stdout) != text.size() || fflush(stdout) != 0) DieErrno("standard output");
}

void PrintJson(const google::protobuf::Message& message, bool one_line) {
  google::protobuf::util::JsonPrintOptions format;
  format.add_whitespace = !one_line;
  format.always_print_primitive_fields = true;
  std::string json;
  auto status = google::protobuf::util::MessageToJsonString(message, &json, format);
  if (!status.ok()) Die("JSON", std::string(status.message()));
  Print(one_line ? json + "\n" : json);
}

}  // namespace lisafs
