// What callers with and without a role may do, and what is noted of it.

#include <gmock/gmock.h>
#include <grp.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "control/errors.h"
#include "control/service_testing.h"

namespace lisafs {
namespace {

using grpc::StatusCode;
using testing::HasSubstr;

constexpr gid_t kReaders = 64'123;
constexpr uid_t kStranger = 65'534;

// Runs this program again as another user, since a process that uses gRPC cannot go on in a fork. Gives the exit
// status.
int AsUser(const std::string& program, const std::string& socket, std::vector<gid_t> groups) {
  pid_t child = fork();
  if (child == 0) {
    if (setgroups(groups.size(), groups.data()) != 0 || setgid(kStranger) != 0 || setuid(kStranger) != 0) _exit(100);
    execl(program.c_str(), program.c_str(), "--reader", socket.c_str(), nullptr);
    _exit(101);
  }
  int status;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

class RolesTest : public ServiceTest {
 protected:
  void Restart(const std::string& config) {
    Configure(config);
    ASSERT_EQ(StopDaemon(SIGTERM), 0);
    StartDaemon();
  }
};

// What that process does: 0 if all was as it should be for a reader.
int ReaderMain(const std::string& socket) {
  auto channel = grpc::CreateChannel("unix:" + socket, grpc::InsecureChannelCredentials());
  if (!channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(10))) return 2;
  auto stub = v1::Control::NewStub(channel);
  grpc::ClientContext list_context;
  v1::ListSandboxesResponse sandboxes;
  if (!stub->ListSandboxes(&list_context, {}, &sandboxes).ok()) return 3;

  grpc::ClientContext watch_context;
  auto watch = stub->WatchEvents(&watch_context, {});
  v1::WatchEventsResponse event;
  if (!watch->Read(&event)) return 4;

  grpc::ClientContext delete_context;
  v1::DeleteSandboxRequest request;
  request.set_id("web");
  v1::DeleteSandboxResponse response;
  grpc::Status refused = stub->DeleteSandbox(&delete_context, request, &response);
  if (refused.error_code() != StatusCode::PERMISSION_DENIED || ReasonOf(refused) != "ROLE_MISSING") return 5;
  if (refused.error_message().find("lacks the role admin (it has reader)") == std::string::npos) return 6;
  grpc::ClientContext create_context;
  v1::CreateSandboxResponse created;
  if (stub->CreateSandbox(&create_context, {}, &created).error_code() != StatusCode::PERMISSION_DENIED) return 7;

  // It is told of its own refusal.
  if (!watch->Read(&event) || event.events_size() == 0) return 8;
  if (event.events(0).type() != v1::Event::TYPE_ACCESS_DENIED) return 9;
  watch_context.TryCancel();
  return 0;
}

TEST_F(RolesTest, AReaderMayLookAndNotTouch) {
  ASSERT_NO_FATAL_FAILURE(Restart("[access]\nreader_group = " + std::to_string(kReaders) + "\n[audit]\nfile = \"" +
                                  directory_ + "/audit\"\n"));
  struct stat stat;
  ASSERT_EQ(::stat(Socket().c_str(), &stat), 0);
  EXPECT_EQ(stat.st_mode & 0777, 0660u);
  EXPECT_EQ(stat.st_gid, kReaders);
  ASSERT_EQ(chmod(directory_.c_str(), 0755), 0);
  ASSERT_TRUE(Create(Request("web")).ok());

  // The program where another user can execute it.
  const std::string program = directory_ + "/reader";
  std::filesystem::copy_file("/proc/self/exe", program);
  EXPECT_EQ(AsUser(program, Socket(), {kReaders}), 0);
  EXPECT_EQ(AsUser(program, Socket(), {}), 2) << "in no group, not even connected";
  ASSERT_EQ(List().size(), 1u);
  ASSERT_TRUE(Delete("web").ok());

  std::ifstream audit(directory_ + "/audit");
  std::vector<std::string> lines;
  for (std::string line; std::getline(audit, line);) {
    auto entry = nlohmann::json::parse(line);
    lines.push_back(entry["role"].get<std::string>() + " " + entry["method"].get<std::string>() + " " +
                    entry["code"].get<std::string>());
    EXPECT_THAT(entry["caller"].get<std::string>(), HasSubstr("user "));
  }
  EXPECT_THAT(lines, testing::ElementsAre("admin CreateSandbox OK", "reader DeleteSandbox PERMISSION_DENIED",
                                          "reader CreateSandbox PERMISSION_DENIED", "admin DeleteSandbox OK"));
}

// A new call in the definition that was not given a role is not there.
TEST_F(RolesTest, EveryCallOfTheDefinitionIsServed) {
  const auto* service = v1::Event::descriptor()->file()->service(0);
  ASSERT_EQ(service->full_name(), "lisafs.control.v1.Control");
  const std::string source = ReadFile("control/service.cc");
  for (int i = 0; i < service->method_count(); ++i) {
    EXPECT_THAT(source, HasSubstr("Serve(\"" + service->method(i)->name() + "\", Role::k"));
  }
}

TEST_F(RolesTest, ACallerThatAsksTooMuchIsTurnedAway) {
  ASSERT_NO_FATAL_FAILURE(Restart("[limits]\ncalls_per_second = 5\nstreams_per_caller = 2\nmessage_bytes = 65536\n"));
  grpc::ClientContext first_context, second_context, third_context;
  v1::WatchEventsResponse event;
  auto first = stub_->WatchEvents(&first_context, {});
  auto second = stub_->WatchEvents(&second_context, {});
  ASSERT_TRUE(first->Read(&event) && second->Read(&event));
  auto third = stub_->WatchEvents(&third_context, {});
  EXPECT_FALSE(third->Read(&event));
  grpc::Status refused = third->Finish();
  EXPECT_EQ(refused.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ReasonOf(refused), "TOO_MANY_STREAMS");
  first_context.TryCancel();
  second_context.TryCancel();
  first->Finish();
  second->Finish();

  int refusals = 0;
  for (int i = 0; i < 40; ++i) {
    grpc::ClientContext context;
    v1::ListSandboxesResponse response;
    grpc::Status status = stub_->ListSandboxes(&context, {}, &response);
    if (status.ok()) continue;
    EXPECT_EQ(ReasonOf(status), "RATE_LIMITED") << status.error_message();
    ++refusals;
  }
  EXPECT_GT(refusals, 0);

  std::this_thread::sleep_for(std::chrono::seconds(1));
  v1::CreateSandboxRequest large = Request(std::string(70'000, 'x'));
  EXPECT_EQ(Create(large).error_code(), StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(ServiceTest, AWrongConfigurationKeepsItFromStarting) {
  Configure("\n[access]\ngroup = \"x\"\n");
  pid_t second = SpawnDaemon();
  int status;
  ASSERT_EQ(waitpid(second, &status, 0), second);
  EXPECT_EQ(WEXITSTATUS(status), 2);
  EXPECT_EQ(Log(), "lisafsd: configuration: " + directory_ + "/lisafsd.toml:3: access.group: unknown key\n");
}

}  // namespace
}  // namespace lisafs

int main(int argc, char** argv) {
  if (argc == 3 && std::string(argv[1]) == "--reader") return lisafs::ReaderMain(argv[2]);
  testing::InitGoogleMock(&argc, argv);
  return RUN_ALL_TESTS();
}
