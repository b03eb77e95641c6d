// lisafsd over TCP: only with certificates on both sides.

#include <gmock/gmock.h>
#include <grpcpp/security/credentials.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>

#include "base/fd.h"
#include "control/errors.h"
#include "control/service_testing.h"

namespace lisafs {
namespace {

using grpc::StatusCode;
using testing::HasSubstr;

class TlsTest : public ServiceTest {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists("/usr/bin/openssl")) GTEST_SKIP() << "needs openssl";
    ServiceTest::SetUp();
    if (IsSkipped()) return;
    MakeAuthority("ca");
    MakeAuthority("other");
    MakeCertificate("server", "ca");
    for (const char* name : {"ops", "monitoring", "stranger"}) MakeCertificate(name, "ca");
    std::filesystem::create_directory(directory_ + "/forged");
    MakeCertificate("forged/ops", "other", "ops");
    address_ = "127.0.0.1:" + std::to_string(FreePort());
    Configure("[tls]\nlisten = \"" + address_ + "\"\ncertificate = \"" + directory_ + "/server.crt\"\nkey = \"" +
              directory_ + "/server.key\"\nclient_ca = \"" + directory_ +
              "/ca.crt\"\nadmins = [\"ops\"]\nreaders = [\"monitoring\"]\n");
    ASSERT_EQ(StopDaemon(SIGTERM), 0);
    StartDaemon();
  }

  void OpenSsl(const std::string& arguments) {
    const std::string command =
        "cd " + directory_ + " && /usr/bin/openssl " + arguments + " > " + directory_ + "/openssl.log 2>&1";
    ASSERT_EQ(system(command.c_str()), 0) << ReadFile(directory_ + "/openssl.log");
  }
  void MakeAuthority(const std::string& name) {
    OpenSsl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=" + name +
            " -keyout " + name + ".key -out " + name + ".crt");
  }
  // The common name is the file's unless there is another one.
  void MakeCertificate(const std::string& file, const std::string& authority, const std::string& name = "") {
    OpenSsl("req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=" + (name.empty() ? file : name) +
            " -keyout " + file + ".key -out " + file + ".csr");
    std::ofstream(directory_ + "/extensions") << "subjectAltName=IP:127.0.0.1\n";
    OpenSsl("x509 -req -days 2 -in " + file + ".csr -CA " + authority + ".crt -CAkey " + authority +
            ".key -CAcreateserial -extfile extensions -out " + file + ".crt");
  }

  // "" for a client without a certificate.
  std::unique_ptr<v1::Control::Stub> Connect(const std::string& name) {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = ReadFile(directory_ + "/ca.crt");
    if (!name.empty()) {
      options.pem_private_key = ReadFile(directory_ + "/" + name + ".key");
      options.pem_cert_chain = ReadFile(directory_ + "/" + name + ".crt");
    }
    return v1::Control::NewStub(grpc::CreateChannel(address_, grpc::SslCredentials(options)));
  }
  static grpc::Status ListAs(v1::Control::Stub& stub) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    v1::ListSandboxesResponse response;
    return stub.ListSandboxes(&context, {}, &response);
  }
  static grpc::Status DeleteAs(v1::Control::Stub& stub) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    v1::DeleteSandboxRequest request;
    request.set_id("web");
    v1::DeleteSandboxResponse response;
    return stub.DeleteSandbox(&context, request, &response);
  }

  std::string address_;
};

TEST_F(TlsTest, TheCertificateSaysWhoMayDoWhat) {
  ASSERT_TRUE(Create(Request("web")).ok());
  auto monitoring = Connect("monitoring");
  EXPECT_TRUE(ListAs(*monitoring).ok());
  grpc::Status refused = DeleteAs(*monitoring);
  EXPECT_EQ(refused.error_code(), StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(ReasonOf(refused), "ROLE_MISSING");
  EXPECT_THAT(refused.error_message(), HasSubstr("certificate monitoring lacks the role admin"));

  auto stranger = Connect("stranger");
  EXPECT_EQ(ListAs(*stranger).error_code(), StatusCode::PERMISSION_DENIED);

  auto ops = Connect("ops");
  EXPECT_TRUE(DeleteAs(*ops).ok());
  EXPECT_THAT(Log(), HasSubstr("\"caller\":\"certificate ops\",\"role\":\"admin\",\"method\":\"DeleteSandbox\""));
}

TEST_F(TlsTest, WithoutACertificateNobodyGetsIn) {
  for (const char* name : {"", "forged/ops"}) {
    auto stub = Connect(name);
    EXPECT_EQ(ListAs(*stub).error_code(), StatusCode::UNAVAILABLE) << name;
  }
  auto plain = v1::Control::NewStub(grpc::CreateChannel(address_, grpc::InsecureChannelCredentials()));
  EXPECT_EQ(ListAs(*plain).error_code(), StatusCode::UNAVAILABLE);
}

TEST_F(TlsTest, TheClientOfOperatorsSpeaksIt) {
  auto run = [&](const std::string& name) {
    const std::string files = directory_ + "/" + name;
    const std::string command = "control/lisafsctl --address " + address_ + " --ca " + directory_ +
                                "/ca.crt --certificate " + files + ".crt --key " + files + ".key sandboxes > " +
                                directory_ + "/out 2>&1";
    return system(command.c_str());
  };
  EXPECT_EQ(run("monitoring"), 0);
  EXPECT_EQ(ReadFile(directory_ + "/out"), "no sandboxes\n");
  EXPECT_NE(run("stranger"), 0);
  EXPECT_THAT(ReadFile(directory_ + "/out"), HasSubstr("lacks the role reader"));
}

TEST_F(TlsTest, CertificatesThatCannotBeUsedKeepItFromStarting) {
  ASSERT_EQ(StopDaemon(SIGTERM), 0);
  std::filesystem::remove(directory_ + "/server.key");
  pid_t second = SpawnDaemon();
  int status;
  ASSERT_EQ(waitpid(second, &status, 0), second);
  EXPECT_EQ(WEXITSTATUS(status), 1);
  EXPECT_THAT(Log(), HasSubstr("cannot serve: TLS: " + directory_ + "/server.key: cannot be read, or is empty"));
}

}  // namespace
}  // namespace lisafs
