// Runs the suite against lisafs-gofer and against two vintages of gVisor's own server, each case on a server of its
// own.

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "tests/conformance/suite.h"
#include "tests/interop/gvisor_server.h"
#include "tests/support/files.h"
#include "tests/support/process.h"

namespace lisafs::conformance {
namespace {

using tests::DataFile;
using tests::Process;
using tests::TempDir;

#ifdef __SANITIZE_ADDRESS__
constexpr char kGofer[] = "tests/conformance/unconfined_gofer";
#else
constexpr char kGofer[] = "gofer/lisafs-gofer";
#endif

struct Kind {
  const char* name;
  const char* vintage;  // Of gVisor's server; null for lisafs-gofer.
  Serving serving;
};

const Kind kKinds[] = {
    {"Gofer", nullptr, {}},
    {"GoferReadOnly", nullptr, {.read_only = true}},
    {"GoferWithSockets", nullptr, {.sockets = true, .fifos = true}},
    {"GvisorServer", "newest", {}},
    {"GvisorServerReadOnly", "newest", {.read_only = true}},
    {"GvisorServerWithSockets", "newest", {.sockets = true, .fifos = true}},
    {"Gvisor2022", "december2022", {}},
    {"Gvisor2022ReadOnly", "december2022", {.read_only = true}},
    {"Gvisor2022WithSockets", "december2022", {.sockets = true, .fifos = true}},
};

struct Parameter {
  const Kind* kind;
  const Case* test_case;
  bool over_channel;
};

std::vector<Parameter> Parameters() {
  std::vector<Parameter> all;
  for (const Kind& kind : kKinds) {
    for (const Case& test_case : AllCases()) {
      if (!test_case.RunsOn(kind.serving)) continue;
      // What sockets and FIFOs have nothing to do with was asked without them.
      bool special = test_case.on == Case::On::kSockets || test_case.on == Case::On::kFifos ||
                     test_case.name == "Open.Types" || test_case.name == "Open.Fifos";
      if (kind.serving.sockets && !special) continue;
      // gVisor's servers have none of ours: "Encoding.Unannounced" asks them.
      if (kind.vintage != nullptr && test_case.needs >= Mid::kSleepFlags) continue;
      if (test_case.over != Case::Over::kChannel) all.push_back({&kind, &test_case, false});
      if (test_case.over != Case::Over::kSocket) all.push_back({&kind, &test_case, true});
    }
  }
  return all;
}

std::string Name(const testing::TestParamInfo<Parameter>& info) {
  std::string name = std::string(info.param.kind->name) + "_" + info.param.test_case->name +
                     (info.param.over_channel ? "_Channel" : "_Socket");
  std::ranges::replace(name, '.', '_');
  return name;
}

class ConformanceTest : public testing::TestWithParam<Parameter> {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "files of every type and owner can be made only by root";
    umask(0);
    const char* vintage = GetParam().kind->vintage;
    if (vintage == nullptr) {
      std::vector<std::string> errors;
      expectations_ = Expectations::Parse("", errors);
      return;
    }
    const tests::GvisorServer& server = tests::GetGvisorServer(vintage);
    if (server.broken) FAIL() << server.why_not;
    if (server.path.empty()) GTEST_SKIP() << server.why_not;
    std::vector<std::string> errors;
    auto text = tests::ReadFile(DataFile("tests/conformance/gvisor_" + std::string(vintage) + ".expect"));
    ASSERT_TRUE(text.has_value());
    expectations_ = Expectations::Parse(*text, errors);
    EXPECT_TRUE(errors.empty()) << errors[0];
  }

  const Expectations& expectations() const { return expectations_; }

  std::vector<std::string> Command(int socket, const std::string& directory) const {
    const Kind& kind = *GetParam().kind;
    const Serving& serving = kind.serving;
    std::string fd = std::to_string(socket);
    if (kind.vintage == nullptr) {
      return {DataFile(kGofer), "--serve",
              fd + "=" + directory + (serving.read_only ? ":ro" : "") +
                  (serving.sockets ? ":uds-open:uds-create" : "") + (serving.fifos ? ":fifo" : "")};
    }
    std::vector<std::string> command = {tests::GetGvisorServer(kind.vintage).path};
    if (serving.read_only) command.push_back("-read-only");
    if (serving.sockets) command.push_back("-sockets");
    if (serving.fifos) command.push_back("-fifos");
    command.push_back(fd);
    command.push_back(directory);
    return command;
  }

 private:
  Expectations expectations_;
};

TEST_P(ConformanceTest, Case) {
  const auto& [kind, test_case, over_channel] = GetParam();
  TempDir directory;
  ASSERT_EQ(chmod(directory.path().c_str(), 0777), 0);
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  Fd server_end(ends[0]), client_end(ends[1]);
  ASSERT_EQ(fcntl(client_end.get(), F_SETFD, FD_CLOEXEC), 0);
  Process server(Command(server_end.get(), directory.path()), {});
  server_end.reset();

  std::vector<Failure> failures;
  {
    Session session(std::move(client_end), directory.path(), kind->serving, expectations());
    auto ran = session.Run(*test_case, over_channel);
    ASSERT_TRUE(ran.has_value()) << "the server does not announce " << MessageName(test_case->needs);
    failures = std::move(*ran);
  }
  const std::string goes_on = "it goes on";
  std::string wanted = expectations().Wanted(test_case->name, "server ends", "status 0");
  auto ran = server.Wait(wanted == goes_on ? std::chrono::seconds(5) : tests::kPatience);
  std::string ended = ran.timed_out ? goes_on : Text("status", ran.status);
  if (ended != wanted) failures.push_back({"server ends", wanted, ended});
  for (const Failure& failure : failures) {
    ADD_FAILURE() << failure.row << ": wanted " << failure.wanted << ", got " << failure.got;
  }
  if (!failures.empty()) GTEST_LOG_(INFO) << "the server said: " << ran.err.substr(0, 2000);
}

INSTANTIATE_TEST_SUITE_P(All, ConformanceTest, testing::ValuesIn(Parameters()), Name);

}  // namespace
}  // namespace lisafs::conformance
