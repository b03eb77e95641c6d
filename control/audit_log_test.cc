#include "control/audit_log.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "proto/lisafs/control/v1/control.pb.h"

namespace lisafs {
namespace {

TEST(AuditLogTest, WritesALineForEachChange) {
  const std::string path = testing::TempDir() + "audit_log_test." + std::to_string(getpid());
  control::v1::DeleteSandboxRequest request;
  request.set_id("web");
  const Caller caller = {.name = "user 0, process 7", .identity = "user 0", .role = Role::kAdmin};
  for (int round = 0; round < 2; ++round) {
    auto log = AuditLog::Open(path);
    ASSERT_TRUE(log.ok()) << log.status();
    log->Write(caller, "DeleteSandbox", request,
               round == 0 ? grpc::Status::OK : grpc::Status(grpc::StatusCode::NOT_FOUND, "no\n\"such\" \xff"));
  }
  struct stat stat;
  ASSERT_EQ(::stat(path.c_str(), &stat), 0);
  EXPECT_EQ(stat.st_mode & 0777, 0600u);
  std::ifstream file(path);
  std::string line;
  ASSERT_TRUE(std::getline(file, line));
  auto first = nlohmann::json::parse(line);
  EXPECT_EQ(first["caller"], "user 0, process 7");
  EXPECT_EQ(first["role"], "admin");
  EXPECT_EQ(first["method"], "DeleteSandbox");
  EXPECT_EQ(first["request"]["id"], "web");
  EXPECT_EQ(first["code"], "OK");
  EXPECT_EQ(first["time"].get<std::string>().back(), 'Z');
  ASSERT_TRUE(std::getline(file, line));
  auto second = nlohmann::json::parse(line);
  EXPECT_EQ(second["code"], "NOT_FOUND");
  EXPECT_EQ(second["message"], "no\n\"such\" \xef\xbf\xbd");
  EXPECT_FALSE(std::getline(file, line));
  unlink(path.c_str());
}

TEST(AuditLogTest, SaysWhichFileCannotBeOpened) {
  auto log = AuditLog::Open("/nowhere/audit");
  EXPECT_EQ(log.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(log.status().message().find("/nowhere/audit"), std::string::npos);
}

}  // namespace
}  // namespace lisafs
