// Who may speak with lisafsd, and what else than sandboxes it answers about.

#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <fstream>
#include <string>

#include "control/service_testing.h"

namespace lisafs {
namespace {

using grpc::StatusCode;
using testing::HasSubstr;
using testing::IsEmpty;

// Calls a method that there is no generated code for here, with a serialized request.
std::string CallRaw(const std::shared_ptr<grpc::Channel>& channel, const std::string& method, std::string request) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  grpc::Slice slice(request);
  auto call = stub.PrepareCall(&context, method, &queue);
  auto await = [&queue] {
    void* tag;
    bool ok = false;
    queue.Next(&tag, &ok);
    return ok;
  };
  call->StartCall(nullptr);
  await();
  call->WriteLast(grpc::ByteBuffer(&slice, 1), {}, nullptr);
  await();
  grpc::ByteBuffer response;
  call->Read(&response, nullptr);
  std::string text;
  if (await()) {
    std::vector<grpc::Slice> slices;
    response.Dump(&slices).ok();
    for (const grpc::Slice& part : slices) text.append(reinterpret_cast<const char*>(part.begin()), part.size());
  }
  context.TryCancel();
  grpc::Status status;
  call->Finish(&status, nullptr);
  await();
  return text;
}

TEST_F(ServiceTest, OneLisafsdToAStateDirectory) {
  pid_t second = SpawnDaemon();  // With a log of its own.
  int status;
  ASSERT_EQ(waitpid(second, &status, 0), second);
  EXPECT_EQ(WEXITSTATUS(status), 1);
  EXPECT_THAT(Log(), HasSubstr("lisafsd: cannot serve: state directory: " + StateDir() + ": another lisafsd uses it"));
  EXPECT_THAT(List(), IsEmpty()) << "the first goes on";
}

TEST_F(ServiceTest, TheSocketIsForRootAlone) {
  struct stat stat;
  ASSERT_EQ(::stat(Socket().c_str(), &stat), 0);
  EXPECT_EQ(stat.st_mode & 07777, 0600u);
  // Even if somebody opens it up.
  ASSERT_EQ(chmod(directory_.c_str(), 0755), 0);
  ASSERT_EQ(chmod(Socket().c_str(), 0777), 0);
  pid_t stranger = fork();
  if (stranger == 0) {
    if (setgid(65534) != 0 || setuid(65534) != 0) _exit(2);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", Socket().c_str());
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) _exit(3);
    char byte;
    // A server that talks HTTP/2 would say something first.
    _exit(read(fd, &byte, 1) == 0 ? 0 : 4);
  }
  int status;
  ASSERT_EQ(waitpid(stranger, &status, 0), stranger);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_TRUE(Eventually([&] { return Log().find("of user 65534") != std::string::npos; }));
}

TEST_F(ServiceTest, LisafsdItselfGivesUpWhatItCan) {
  ASSERT_TRUE(List().empty()) << "it serves, and so is past its set-up";
  const std::string proc = "/proc/" + std::to_string(daemon_);
  auto line = [&](const std::string& file, const std::string& begin) {
    std::ifstream lines(proc + file);
    for (std::string text; std::getline(lines, text);) {
      if (text.starts_with(begin)) return text;
    }
    return std::string();
  };
  EXPECT_EQ(line("/status", "NoNewPrivs:"), "NoNewPrivs:\t1");
  EXPECT_THAT(line("/limits", "Max core file size"), testing::MatchesRegex("Max core file size +0 +0 +bytes +"));
}

TEST_F(ServiceTest, StatisticsAreChecked) {
  ASSERT_TRUE(Create(Request("web")).ok());
  grpc::ClientContext context;
  v1::GetStatisticsResponse response;
  ASSERT_TRUE(stub_->GetStatistics(&context, {}, &response).ok());
  ASSERT_EQ(response.mounts_size(), 2);
  EXPECT_EQ(response.mounts(0).sandbox_id(), "web");
  EXPECT_EQ(response.mounts(0).target(), "/");
  EXPECT_TRUE(response.mounts(0).data_hidden());
  EXPECT_FALSE(response.mounts(1).data_hidden());

  struct Bad {
    std::string id;
    uint32_t interval;
    StatusCode code;
  };
  for (const Bad& bad : {Bad{"", 99, StatusCode::INVALID_ARGUMENT}, Bad{"", 3'600'001, StatusCode::INVALID_ARGUMENT},
                         Bad{"a/b", 0, StatusCode::INVALID_ARGUMENT}, Bad{"nobody", 0, StatusCode::NOT_FOUND}}) {
    grpc::ClientContext watch_context;
    v1::WatchStatisticsRequest request;
    request.set_sandbox_id(bad.id);
    request.set_interval_milliseconds(bad.interval);
    auto reader = stub_->WatchStatistics(&watch_context, request);
    v1::WatchStatisticsResponse watched;
    EXPECT_FALSE(reader->Read(&watched));
    EXPECT_EQ(reader->Finish().error_code(), bad.code) << bad.id << " " << bad.interval;
  }
}

TEST_F(ServiceTest, AWatchEndsWithItsSandboxOrItsClient) {
  ASSERT_TRUE(Create(Request("web")).ok());
  v1::WatchStatisticsRequest request;
  request.set_sandbox_id("web");
  request.set_interval_milliseconds(100);
  v1::WatchStatisticsResponse response;

  grpc::ClientContext cancelled;
  auto reader = stub_->WatchStatistics(&cancelled, request);
  ASSERT_TRUE(reader->Read(&response));
  ASSERT_TRUE(reader->Read(&response));
  cancelled.TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), StatusCode::CANCELLED);

  grpc::ClientContext context;
  reader = stub_->WatchStatistics(&context, request);
  ASSERT_TRUE(reader->Read(&response));
  ASSERT_TRUE(Delete("web").ok());
  while (reader->Read(&response)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), StatusCode::NOT_FOUND);

  // An open watch does not keep lisafsd from stopping.
  grpc::ClientContext open;
  request.clear_sandbox_id();
  reader = stub_->WatchStatistics(&open, request);
  ASSERT_TRUE(reader->Read(&response));
  kill(daemon_, SIGTERM);
  while (reader->Read(&response)) {
  }
  grpc::Status stopped = reader->Finish();
  EXPECT_EQ(stopped.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_EQ(stopped.error_message(), "lisafsd stops");
  EXPECT_EQ(StopDaemon(SIGTERM), 0);
}

TEST_F(ServiceTest, StockClientsFindItsHealthAndItsDefinition) {
  // HealthCheckResponse{status: SERVING}.
  EXPECT_EQ(CallRaw(channel_, "/grpc.health.v1.Health/Check", ""), "\x08\x01");
  // ServerReflectionRequest{list_services: ""}.
  EXPECT_THAT(
      CallRaw(channel_, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", std::string("\x3a\x00", 2)),
      HasSubstr("lisafs.control.v1.Control"));
}

}  // namespace
}  // namespace lisafs
